import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Testing

/// Thousands of snapshots are thousands of exports.
@Suite(.serialized) struct ClientManyExportsTests {
    @Test func aListLongerThanTheSocketHoldsIsWhole() throws {
        let rig = try ClientRig(offersSnapshots: true)
        let count: UInt64 = 8000
        rig.server.set { state in
            state.snapshots = (1...count).map {
                SnapshotEntry(number: $0, uuid: .zero, name: "snapshot-\($0)", size: ClientRig.size, createdAt: 0)
            }
        }
        #expect(rig.attach(ClientRig.tenure(1)))
        // The last is there when all are.
        let name = Array("snap/snapshot-\(count)".utf8)
        let ask = RawPeer.option(6, NBDPeer.big(UInt32(name.count)) + name + [0, 0])
        #expect(
            eventually {
                let peer = RawPeer.greeted(rig.socket)
                defer { close(peer.descriptor) }
                peer.send(ask)
                return peer.optionReply == 3
            })
        let peer = RawPeer.greeted(rig.socket)
        peer.send(RawPeer.option(3))
        // It reads nothing until the socket is full.
        var before: Int32 = -1
        var now: Int32 = 0
        #expect(
            eventually {
                before = now
                _ = ioctl(peer.descriptor, UInt(FIONREAD), &now)
                usleep(50_000)
                return now > 0 && now == before
            })
        var listed: UInt64 = 0
        while let head = Wire.receive(peer.descriptor, 20) {
            let numbers = stride(from: 12, to: 20, by: 4).map { head[$0..<$0 + 4].reduce(0) { $0 << 8 | Int($1) } }
            if numbers[0] == 1 { break }
            listed += 1
            _ = Wire.receive(peer.descriptor, numbers[1])
        }
        #expect(listed == count + 1, "the origin and all snapshots")
        close(peer.descriptor)
        #expect(rig.stop())
    }
}
