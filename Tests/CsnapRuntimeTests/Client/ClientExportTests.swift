import CsnapCore
import CsnapSession
import Glibc
import Testing

/// What the export of a snapshot offers.
@Suite(.serialized) struct ClientExportTests {
    private static func entry(_ number: UInt64, _ name: String, isDamaged: Bool = false) -> SnapshotEntry {
        SnapshotEntry(
            number: number, uuid: .zero, name: name, size: ClientRig.size, createdAt: 0, isDamaged: isDamaged)
    }

    /// Returns when a client of these snapshots offers the last one.
    private func rig(_ snapshots: [SnapshotEntry]) throws -> ClientRig {
        let rig = try ClientRig(offersSnapshots: true)
        rig.server.set { $0.snapshots = snapshots }
        #expect(rig.attach(ClientRig.tenure(1)))
        let last = try #require(snapshots.last)
        #expect(eventually { isOffered("snap/\(last.name)", rig) })
        return rig
    }

    private func isOffered(_ name: String, _ rig: ClientRig) -> Bool {
        let peer = RawPeer.greeted(rig.socket)
        defer { close(peer.descriptor) }
        peer.send(RawPeer.option(6, NBDPeer.big(UInt32(name.utf8.count)) + Array(name.utf8) + [0, 0]))
        return peer.optionReply == 3
    }

    private func contexts(_ name: String, _ rig: ClientRig) -> [String] {
        let peer = RawPeer.greeted(rig.socket)
        defer { close(peer.descriptor) }
        peer.send(RawPeer.option(8))
        #expect(peer.optionReply == 1)
        peer.send(
            RawPeer.option(9, NBDPeer.big(UInt32(name.utf8.count)) + Array(name.utf8) + NBDPeer.big(UInt32(0))))
        var names: [String] = []
        while let head = Wire.receive(peer.descriptor, 20), head[15] == 4 {
            // Behind the context's number.
            let data = Wire.receive(peer.descriptor, Int(head[18]) << 8 | Int(head[19])) ?? []
            names.append(String(decoding: data.dropFirst(4), as: UTF8.self))
        }
        return names
    }

    /// Whatever it is called by then.
    @Test func aNumberOpensASnapshot() throws {
        let rig = try rig([Self.entry(1, "a"), Self.entry(7, "b")])
        #expect(isOffered("snap#1", rig) && isOffered("snap#7", rig))
        #expect(!isOffered("snap#2", rig) && !isOffered("snap#", rig))
        #expect(rig.stop())
    }

    /// A repair has dropped entries of it, so that a difference may lack them.
    @Test func aDamagedSnapshotHasNoContextAndNoneSinceIt() throws {
        let rig = try rig([Self.entry(1, "a"), Self.entry(2, "b", isDamaged: true), Self.entry(3, "c")])
        #expect(contexts("snap/c", rig) == ["base:allocation", "csnap:changed-since:a"])
        #expect(contexts("snap/b", rig) == ["base:allocation"])
        #expect(rig.stop())
    }
}
