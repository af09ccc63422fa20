import CsnapCore
import CsnapRuntime
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct TransportUDPTests {
    /// What one transport received, for the test to wait for.
    private final class Inbox: Sendable {
        private let received = Mutex<[(Sender, Message)]>([])

        func add(_ sender: Sender, _ messages: [Message]) {
            received.withLock { $0 += messages.map { (sender, $0) } }
        }
        var messages: [Message] { received.withLock { $0.map(\.1) } }
        var senders: [Sender] { received.withLock { $0.map(\.0) } }
    }

    private struct Node: Sendable {
        let transport: UDPTransport
        let inbox = Inbox()
        let address: Address

        static func start(
            node: UInt32, boot: UInt64 = 1, startBits: UInt64? = nil, port: UInt16 = 0,
            keys: KeyRing = SealedPeer.keys, timing: Timing = .lan, peers: [Address] = []
        ) async throws -> Node {
            let loopback = Address.ipv4(127, 0, 0, 1, port: port)
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let identity = TransportIdentity(
                clusterName: "lab", keys: keys, process: NodeBoot(node: NodeID(node), boot: Boot(boot)),
                startBits: Bits128(high: UInt64(node), low: startBits ?? boot), advertised: loopback,
                timing: timing.digest)
            let transport = try await UDPTransport.bind(
                listen: loopback, peers: peers, identity: identity, cluster: SealedPeer.group, on: loop
            ).get()
            let bound = try #require(transport.localAddress)
            let node = Node(transport: transport, address: .ipv4(127, 0, 0, 1, port: bound.port))
            let inbox = node.inbox
            try await loop.submit { transport.onReceive { inbox.add($0, $1) } }.get()
            return node
        }

        func send(_ messages: [Message], to node: Node) async throws {
            let transport = transport
            try await transport.eventLoop.submit { transport.send(to: node.address, messages: messages) }.get()
        }

        func drops() async throws -> DropCounts {
            let transport = transport
            return try await transport.eventLoop.submit { transport.drops }.get()
        }

        func strangers() async throws -> [Stranger] {
            let transport = transport
            return try await transport.eventLoop.submit { transport.strangers(at: BootClock.now()) }.get()
        }

        func stop() async throws {
            let transport = transport
            try await transport.eventLoop.flatSubmit { transport.close() }.get()
            try await transport.closed.get()
        }
    }

    private func wait(for condition: () async throws -> Bool) async throws {
        for _ in 0..<6000 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("the condition did not come true in a minute")
    }

    @Test func theLogIsToldOnceOfAStranger() {
        let peers = (1...20).map { Address.ipv4(192, 0, 2, UInt8($0), port: 7411) }
        var table = StrangerTable(peers: peers)
        var now = Instant(nanoseconds: 1_000_000_000)
        var told: [Address] = []
        // Forged packets between real ones, from all of them, and a look each second.
        for _ in 0..<60 {
            now = now + .seconds(1)
            for peer in peers {
                table.understood(peer)
                table.refused(.stranger, from: peer, at: now)
            }
            if let news = table.takeNews(at: now) { told.append(news.address) }
        }
        #expect(told == Array(peers[..<16]), "each once, one a second, and no more than the table holds")
        for peer in peers { table.understood(peer) }
        #expect(table.takeNews(at: now) == nil)
        table.refused(.version, from: peers[1], at: now + .seconds(40))
        #expect(table.takeNews(at: now + .seconds(40))?.reason == .version)
        table.refused(.stranger, from: peers[1], at: now + .seconds(41))
        #expect(table.takeNews(at: now + .seconds(41))?.reason == .stranger, "it was quiet for long")
    }

    @Test func aPeerWithAnotherKeyIsNamedUntilItIsMended() async throws {
        let bob = try await Node.start(node: 2)
        let alice = try await Node.start(node: 1, peers: [bob.address])
        let wrong = try await Node.start(
            node: 2, port: 0, keys: KeyRing(.generate()), peers: [])
        // Nobody's peer: it may send what it likes and is not talked about.
        try await wrong.send([makePing(1)], to: alice)
        try await wait { try await alice.drops()[.stranger] == 1 }
        #expect(try await alice.strangers() == [])
        try await bob.stop()

        let mistaken = try await Node.start(node: 2, port: bob.address.port, keys: KeyRing(.generate()))
        try await wait {
            try await mistaken.send([makePing(1)], to: alice)
            return try await alice.strangers().map(\.address) == [bob.address]
        }
        #expect(try await alice.strangers().map(\.reason) == [.stranger])
        try await mistaken.stop()

        let mended = try await Node.start(node: 2, boot: 2, port: bob.address.port)
        try await wait {
            try await mended.send([makePing(2)], to: alice)
            return try await alice.strangers() == []
        }
        for node in [alice, wrong, mended] { try await node.stop() }
    }

    /// A lease of one might outlive a promise of the other, so neither may obey the other.
    @Test func whoHasOtherTimersIsNamedAndNotObeyed() async throws {
        let alice = try await Node.start(node: 1)
        let bob = try await Node.start(node: 2, timing: .fast)
        try await wait {
            try await bob.send([makePing(1)], to: alice)
            return try await alice.drops()[.timers] > 0
        }
        #expect(alice.inbox.messages == [])
        #expect(try await alice.strangers().map(\.reason) == [.timers])
        #expect(try await alice.strangers().map(\.address) == [bob.address])
        try await alice.stop()
        try await bob.stop()
    }

    @Test func twoTransports() async throws {
        let alice = try await Node.start(node: 1)
        let bob = try await Node.start(node: 2)
        // The first Renew is withheld, and an empty packet comes back at once that teaches the start bits.
        try await alice.send([makePing(1), makeRenew(1)], to: bob)
        try await wait { bob.inbox.messages == [makePing(1)] }
        try await wait {
            try await alice.send([makeRenew(2)], to: bob)
            return bob.inbox.messages.contains(makeRenew(2))
        }
        try await bob.send([makeRenew(3)], to: alice)
        try await wait { alice.inbox.messages == [makeRenew(3)] }
        #expect(alice.inbox.senders.first?.process == NodeBoot(node: NodeID(2), boot: Boot(1)))
        #expect(alice.inbox.senders.first?.source == bob.address)
        #expect(try await bob.drops()[.unproven] >= 1)
        try await alice.stop()
        try await bob.stop()
    }

    @Test func manyMessagesInManyDatagrams() async throws {
        let alice = try await Node.start(node: 1)
        let bob = try await Node.start(node: 2)
        let pings = (1...200).map { makePing(UInt64($0)) }
        try await alice.send(pings, to: bob)
        try await wait { bob.inbox.messages.count == 200 }
        #expect(bob.inbox.messages == pings)
        try await alice.stop()
        try await bob.stop()
    }

    /// A restarted peer is heard as soon as it asks, and the old echo is forgotten.
    @Test func restartedPeer() async throws {
        let alice = try await Node.start(node: 1)
        let bob = try await Node.start(node: 2)
        try await bob.send([makePing(1)], to: alice)
        try await wait { alice.inbox.messages.count == 1 }
        try await bob.stop()
        let again = try await Node.start(node: 2, boot: 2, port: bob.address.port)
        try await wait {
            try await alice.send([makeRenew(2)], to: again)
            return again.inbox.messages.contains(makeRenew(2))
        }
        try await alice.stop()
        try await again.stop()
    }

    /// A clone of node 1 on another machine has counted a boot more: it asks again and again, and node 1 is heard.
    @Test func aCloneThatAsksDoesNotShutTheOriginalOut() async throws {
        let alice = try await Node.start(node: 1)
        let bob = try await Node.start(node: 2)
        let clone = try await Node.start(node: 1, boot: 2, startBits: 99)
        try await wait {
            try await alice.send([makeRenew(1)], to: bob)
            return bob.inbox.messages.contains(makeRenew(1))
        }
        let join = makeJoin(SealedPeer(node: 1, boot: 2))
        for round in UInt64(2)...6 {
            try await clone.send([join], to: bob)
            // Until it has our start bits, and so could prove itself.
            try await wait { bob.inbox.messages.count { $0 == join } >= round - 1 }
            try await bob.send([.idConflict(IdConflict(nonce: 77, node: NodeID(1), address: alice.address))], to: clone)
            try await wait { clone.inbox.messages.count >= round - 1 }
            try await alice.send([makeRenew(round)], to: bob)
            try await wait { bob.inbox.messages.contains(makeRenew(round)) }
        }
        #expect(try await bob.drops()[.olderBoot] == 0)
        for node in [alice, bob, clone] { try await node.stop() }
    }

    @Test func garbageIsCountedOnceASummary() async throws {
        let alice = try await Node.start(node: 1)
        let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let target = try alice.address.socketAddress()
        for count in [0, 3, 68, 1232, 1233, 4000] {
            let data = ByteBuffer(bytes: [UInt8](repeating: 0x43, count: count))
            try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: target, data: data))
        }
        try await wait { try await alice.drops()[.malformed] == 6 }
        let transport = alice.transport
        let summary = try await transport.eventLoop.submit { transport.takeDropSummary() }.get()
        #expect(summary?.description == "6 malformed")
        #expect(try await transport.eventLoop.submit { transport.takeDropSummary() }.get() == nil)
        try await channel.close()
        try await alice.stop()
    }

    /// What a partition does to sendto is counted, and the transport lives on.
    @Test func refusedSendIsCounted() async throws {
        let alice = try await Node.start(node: 1)
        let bob = try await Node.start(node: 2)
        let transport = alice.transport
        // From a socket bound to loopback there is no way to another network: EINVAL, which closes a NIO channel.
        let unreachable = Address.ipv4(192, 0, 2, 1, port: 9)
        try await transport.eventLoop.submit { transport.send(to: unreachable, messages: [makePing(1)]) }.get()
        #expect(try await alice.drops()[.unsent] == 1)
        try await alice.send([makePing(2)], to: bob)
        try await wait { bob.inbox.messages == [makePing(2)] }
        try await alice.stop()
        try await bob.stop()
    }

    @Test func portInUseIsNamed() async throws {
        let alice = try await Node.start(node: 1)
        do {
            _ = try await Node.start(node: 2, port: alice.address.port)
            Issue.record("bound twice")
        } catch let error as UDPSocketError {
            #expect(error.description.contains("UDP port \(alice.address.port) of 127.0.0.1 is in use"))
        }
        try await alice.stop()
    }

    @Test func addressesComeBack() throws {
        let addresses = [
            Address.ipv4(192, 0, 2, 11, port: 7411), .ipv4(0, 0, 0, 0, port: 0),
            Address(bits: Bits128(high: 0x2001_0db8_0000_0000, low: 1), port: 65535, isIPv4: false),
        ]
        for address in addresses { #expect(Address(try address.socketAddress()) == address) }
        #expect(try addresses[0].socketAddress().ipAddress == "192.0.2.11")
        #expect(try addresses[2].socketAddress().ipAddress == "2001:db8::1")
        let mapped = try SocketAddress(ipAddress: "::ffff:192.0.2.11", port: 7411)
        #expect(Address(mapped) == addresses[0])
    }
}
