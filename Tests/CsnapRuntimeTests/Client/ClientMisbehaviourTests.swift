import CsnapCore
import CsnapRuntime
import Glibc
import Testing

/// A connection by raw bytes, for what no decent client sends.
struct RawPeer {
    let descriptor: Int32

    init(_ path: String) { descriptor = Wire.connect(path: path) }

    /// After the greeting and the client's flags.
    static func greeted(_ path: String, flags: UInt32 = 3) -> RawPeer {
        let peer = RawPeer(path)
        _ = Wire.receive(peer.descriptor, 18)
        peer.send(NBDPeer.big(flags))
        return peer
    }

    /// In the transmission phase, with simple replies.
    static func opened(_ path: String) -> RawPeer {
        let peer = greeted(path)
        peer.send(option(1))
        _ = Wire.receive(peer.descriptor, 10)
        return peer
    }

    static func option(_ code: UInt32, _ data: [UInt8] = [], length: UInt32? = nil) -> [UInt8] {
        NBDPeer.big(UInt64(0x4948_4156_454F_5054)) + NBDPeer.big(code)
            + NBDPeer.big(length ?? UInt32(data.count)) + data
    }

    static func request(
        _ type: UInt16, flags: UInt16 = 0, offset: UInt64 = 0, length: UInt32 = 512, magic: UInt32 = 0x2560_9513
    ) -> [UInt8] {
        NBDPeer.big(magic) + NBDPeer.big(flags) + NBDPeer.big(type) + NBDPeer.big(UInt64(9)) + NBDPeer.big(offset)
            + NBDPeer.big(length)
    }

    func send(_ bytes: [UInt8]) { Wire.send(descriptor, bytes) }

    /// The server closes, after whatever it still says; waited for up to 60 s.
    var isClosed: Bool {
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 60_000) > 0 else { return false }
            if Wire.receiveSome(descriptor) == nil { return true }
        }
    }

    /// The type of the next option reply.
    var optionReply: UInt32? { Self.number(Wire.receive(descriptor, 20), 12) }

    /// The error of the next simple reply.
    var error: UInt32? { Self.number(Wire.receive(descriptor, 16), 4) }

    private static func number(_ bytes: [UInt8]?, _ offset: Int) -> UInt32? {
        bytes.map { $0[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    }
}

/// What a client does wrong, and whether it got what it deserves.
struct Misbehaviour: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let isServedRight: @Sendable (String) -> Bool

    init(_ name: String, _ isServedRight: @escaping @Sendable (String) -> Bool) {
        testDescription = name
        self.isServedRight = isServedRight
    }

    private static func closed(_ name: String, _ peer: @escaping @Sendable (String) -> RawPeer) -> Misbehaviour {
        Misbehaviour(name) { path in
            let peer = peer(path)
            defer { close(peer.descriptor) }
            return peer.isClosed
        }
    }

    /// It leaves in the middle; that others go on is looked at afterwards.
    private static func left(_ name: String, _ peer: @escaping @Sendable (String) -> RawPeer) -> Misbehaviour {
        Misbehaviour(name) { path in close(peer(path).descriptor) == 0 }
    }

    /// An option is answered by that type, and the handshake goes on.
    private static func answered(_ name: String, _ type: UInt32, _ option: [UInt8]) -> Misbehaviour {
        Misbehaviour(name) { path in
            let peer = RawPeer.greeted(path)
            defer { close(peer.descriptor) }
            peer.send(option)
            guard peer.optionReply == type else { return false }
            peer.send(RawPeer.option(1))
            return Wire.receive(peer.descriptor, 10) != nil
        }
    }

    /// A request gets that error, and the next one is served.
    private static func refused(_ name: String, _ error: UInt32, _ request: [UInt8]) -> Misbehaviour {
        Misbehaviour(name) { path in
            let peer = RawPeer.opened(path)
            defer { close(peer.descriptor) }
            peer.send(request + RawPeer.request(3, length: 0))
            return peer.error == error && peer.error == 0
        }
    }

    private static func sending(_ peer: RawPeer, _ bytes: [UInt8]) -> RawPeer {
        peer.send(bytes)
        return peer
    }

    static let handshakes: [Misbehaviour] = [
        left("says nothing") { RawPeer($0) },
        left("leaves amid its flags") { sending(RawPeer($0), [0, 0]) },
        left("leaves after its flags") { RawPeer.greeted($0) },
        left("leaves amid an option's header") { sending(RawPeer.greeted($0), Array(RawPeer.option(1).prefix(9))) },
        left("leaves amid an option's data") { sending(RawPeer.greeted($0), RawPeer.option(1, [1], length: 9)) },
        left("leaves right after the handshake") { RawPeer.opened($0) },
        closed("has unknown flags") { RawPeer.greeted($0, flags: 0xFF) },
        closed("has a wrong option magic") { sending(RawPeer.greeted($0), [UInt8](repeating: 7, count: 16)) },
        closed("has an option of 1 GiB") { sending(RawPeer.greeted($0), RawPeer.option(7, length: 1 << 30)) },
        closed("sends options without end") { path in
            let peer = RawPeer.greeted(path)
            for _ in 0..<300 { peer.send(RawPeer.option(99)) }
            return peer
        },
        closed("speaks HTTP") { sending(RawPeer($0), Array("GET / HTTP/1.1\r\nHost: origin\r\n\r\n".utf8)) },
        closed("asks for an unknown export by name") { sending(RawPeer.greeted($0), RawPeer.option(1, [65, 66])) },
        closed("sends a request before it chose an export") { sending(RawPeer.greeted($0), RawPeer.request(0)) },
        closed("aborts") { sending(RawPeer.greeted($0), RawPeer.option(2)) },
        answered("has an unknown option", 0x8000_0001, RawPeer.option(77, [1, 2, 3])),
        answered("wants TLS", 0x8000_0001, RawPeer.option(5)),
        answered("goes to an unknown export", 0x8000_0006, RawPeer.option(7, [0, 0, 0, 1, 65, 0, 0])),
        answered("goes to a name beyond its data", 0x8000_0003, RawPeer.option(7, [0, 0, 0, 200, 65, 0, 0])),
        answered("goes with too few requests", 0x8000_0003, RawPeer.option(7, [0, 0, 0, 0, 0, 9])),
        answered("sends data with STRUCTURED_REPLY", 0x8000_0003, RawPeer.option(8, [1])),
        answered(
            "wants contexts without structured replies", 0x8000_0003, RawPeer.option(10, [0, 0, 0, 0, 0, 0, 0, 0])),
        answered("lists with data", 0x8000_0003, RawPeer.option(3, [1])),
    ]

    static let transmissions: [Misbehaviour] = [
        closed("has a wrong request magic") { sending(RawPeer.opened($0), RawPeer.request(0, magic: 1)) },
        closed("sends garbage after the handshake") {
            sending(RawPeer.opened($0), [UInt8](repeating: 0xEE, count: 8192))
        },
        closed("writes more than 32 MiB") { sending(RawPeer.opened($0), RawPeer.request(1, length: 33 << 20)) },
        closed("goes on after its good-bye") {
            sending(RawPeer.opened($0), RawPeer.request(2) + RawPeer.request(0) + RawPeer.request(3, length: 0))
        },
        closed("shuts its side amid a header") { path in
            let peer = sending(RawPeer.opened(path), Array(RawPeer.request(0).prefix(11)))
            shutdown(peer.descriptor, Int32(SHUT_WR))
            return peer
        },
        left("leaves amid a header") { sending(RawPeer.opened($0), Array(RawPeer.request(0).prefix(27))) },
        left("leaves amid a payload") {
            sending(RawPeer.opened($0), RawPeer.request(1, length: 4096) + [UInt8](repeating: 1, count: 100))
        },
        left("leaves with reads at the disk") { path in
            let peer = RawPeer.opened(path)
            for block in UInt64(0)..<100 { peer.send(RawPeer.request(0, offset: block * 65536, length: 65536)) }
            return peer
        },
        left("never reads its replies") { path in
            let peer = RawPeer.opened(path)
            let flags = fcntl(peer.descriptor, F_GETFL)
            _ = fcntl(peer.descriptor, F_SETFL, flags | O_NONBLOCK)
            for _ in 0..<5000 { peer.send(RawPeer.request(0, length: 65536)) }
            return peer
        },
        refused("reads more than 32 MiB", 22, RawPeer.request(0, length: 33 << 20)),
        refused("reads unaligned", 22, RawPeer.request(0, offset: 1)),
        refused("reads nothing", 22, RawPeer.request(0, length: 0)),
        refused("reads beyond the end", 22, RawPeer.request(0, offset: ClientRig.size)),
        refused("reads where offsets overflow", 22, RawPeer.request(0, offset: .max - 511, length: 1024)),
        refused(
            "writes beyond the end", 28,
            RawPeer.request(1, offset: ClientRig.size) + [UInt8](repeating: 1, count: 512)),
        refused("writes unaligned", 22, RawPeer.request(1, length: 700) + [UInt8](repeating: 1, count: 700)),
        refused("trims beyond the end", 28, RawPeer.request(4, length: 0xFFFF_FE00)),
        refused("has an unknown command", 22, RawPeer.request(9)),
        refused("has unknown flags", 22, RawPeer.request(0, flags: 0x80)),
        refused("wants extents it never negotiated", 22, RawPeer.request(7)),
    ]
}

/// Clients that do wrong lose their own connection at most; others do not notice.
@Suite(.serialized) struct ClientMisbehaviourTests {
    let block = [UInt8](repeating: 0x5A, count: 4096)

    @Test(arguments: DiskEngine.allCases, Misbehaviour.handshakes + Misbehaviour.transmissions)
    func onlyItsOwnConnectionSuffers(engine: DiskEngine, wrong: Misbehaviour) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(ClientRig.tenure(1)))
        rig.resume(ClientRig.tenure(1))
        let decent = NBDPeer(rig.socket)
        decent.write(block, at: 1 << 20)
        #expect(decent.reply() == 0)
        #expect(wrong.isServedRight(rig.socket))
        decent.write(block, at: 2 << 20)
        #expect(decent.reply() == 0)
        let next = NBDPeer(rig.socket)
        #expect(next.isOpen)
        #expect(rig.stored(0, 4096) == [UInt8](repeating: 0, count: 4096))
        #expect(rig.stored(2 << 20, 4096) == block)
        next.end()
        decent.end()
        #expect(rig.stop())
    }

    /// More programs than there are places: who is turned away finds out why in the log, once a minute.
    @Test func oneTooManyIsNoted() throws {
        let rig = try ClientRig()
        var peers = (0..<64).map { _ in NBDPeer(rig.socket) }
        #expect(peers.allSatisfy { $0.isOpen })
        peers += (0..<2).map { _ in NBDPeer(rig.socket) }
        #expect(!peers[64].isOpen && !peers[65].isOpen)
        let notes = rig.log.all.filter { $0.contains("64 programs are connected") }
        #expect(notes.count == 1 && notes[0].contains(rig.socket), "\(rig.log.all)")
        for peer in peers { peer.end() }
        #expect(rig.stop())
    }

    /// Held requests of peers that left free their places: more come and go than there are.
    @Test(arguments: DiskEngine.allCases) func heldRequestsOfTheGoneAreForgotten(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        for _ in 0..<80 {
            let peer = RawPeer(rig.socket)
            close(peer.descriptor)
        }
        for _ in 0..<3 {
            let peers = (0..<20).map { _ in NBDPeer(rig.socket) }
            for peer in peers {
                for place in UInt64(0)..<10 { peer.write(block, at: place * 65536) }
                peer.end()
            }
        }
        // All 64 places become free: every one is seen to be gone. Before that a write of theirs might still land.
        // A place that was found is kept: given back with the others, it would be in the way of the next attempt.
        var peers: [NBDPeer] = []
        #expect(
            eventually {
                let peer = NBDPeer(rig.socket)
                peer.isOpen ? peers.append(peer) : peer.end()
                return peers.count == 64
            })
        for peer in peers { peer.end() }
        #expect(rig.attach(ClientRig.tenure(1)))
        rig.resume(ClientRig.tenure(1))
        #expect(
            eventually {
                let peer = NBDPeer(rig.socket)
                defer { peer.end() }
                guard peer.isOpen else { return false }
                peer.request(3, offset: 0, length: 0)
                return peer.reply() == 0
            })
        #expect(rig.stored(0, 4096) == [UInt8](repeating: 0, count: 4096))
        #expect(rig.stop())
    }
}
