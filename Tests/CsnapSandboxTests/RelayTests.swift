import CsnapSandbox
import Foundation
import Testing

/// A plain UDP or TCP socket of a pretended node.
private final class TestSocket {
    let descriptor: Int32

    init(_ type: Int32, at host: String, port: UInt16) throws {
        descriptor = socket(AF_INET, type, 0)
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        let bound = TestSocket.with(host, port) { bind(descriptor, $0, $1) }
        try #require(bound == 0, "bind \(host):\(port): \(String(cString: strerror(errno)))")
    }

    init(accepted descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    func send(_ text: String, to host: String, port: UInt16) {
        let bytes = Array(text.utf8)
        _ = TestSocket.with(host, port) { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }
    }

    func connect(to host: String, port: UInt16) throws {
        try #require(TestSocket.with(host, port) { Glibc.connect(descriptor, $0, $1) } == 0)
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// What arrives within `seconds`, and from where; nil if nothing does, "" at the end of a stream.
    func receive(seconds: Double) -> (text: String, host: String)? {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, Int32(seconds * 1000)) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 2048)
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, &buffer, buffer.count, 0, $0, &length)
            }
        }
        guard count >= 0 else { return ("error \(errno)", "") }
        return (String(decoding: buffer[0..<count], as: UTF8.self), String(cString: inet_ntoa(address.sin_addr)))
    }

    func accept(seconds: Double) -> TestSocket? {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, Int32(seconds * 1000)) == 1 else { return nil }
        let accepted = Glibc.accept(descriptor, nil, nil)
        return accepted < 0 ? nil : TestSocket(accepted: accepted)
    }

    private static func with<Result>(
        _ host: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, host, &address.sin_addr)
        return withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

private final class Network {
    let addresses: SandboxAddresses
    let relay: Relay
    let port = SandboxAddresses.port
    let service = SandboxAddresses.servicePort

    init(nodes: Int = 2) throws {
        addresses = try SandboxAddresses()
        relay = try Relay(addresses: addresses, nodes: nodes, faults: LinkFaults())
    }

    deinit { relay.stop() }

    func agent(_ node: Int) throws -> TestSocket {
        try TestSocket(Int32(SOCK_DGRAM.rawValue), at: addresses.listen(node), port: port)
    }

    func server(_ node: Int) throws -> TestSocket {
        let socket = try TestSocket(Int32(SOCK_STREAM.rawValue), at: addresses.listen(node), port: service)
        try #require(listen(socket.descriptor, 8) == 0)
        return socket
    }

    func client(_ node: Int) throws -> TestSocket {
        try TestSocket(Int32(SOCK_STREAM.rawValue), at: addresses.listen(node), port: 0)
    }

    /// A connection from node 1 to node 2, both ends.
    func connection() throws -> (client: TestSocket, server: TestSocket) {
        let listener = try server(2)
        let client = try client(1)
        try client.connect(to: addresses.advertise(2), port: service)
        let server = try #require(listener.accept(seconds: 30))
        client.write("a")
        #expect(server.receive(seconds: 30)?.text == "a")
        return (client, server)
    }
}

@Suite(.serialized, .timeLimit(.minutes(2)))
struct RelayTests {
    /// Long enough for what must not come.
    private let silence = 0.3

    @Test func aPacketComesFromTheAdvertisedAddress() throws {
        let network = try Network()
        let one = try network.agent(1)
        let two = try network.agent(2)
        one.send("hello", to: network.addresses.advertise(2), port: network.port)
        let packet = try #require(two.receive(seconds: 30))
        #expect(packet.text == "hello")
        #expect(packet.host == network.addresses.advertise(1))
        two.send("answer", to: packet.host, port: network.port)
        #expect(one.receive(seconds: 30)?.text == "answer")
    }

    @Test func whatEachNodeSendsIsCountedEvenIfItIsLost() throws {
        let network = try Network()
        let one = try network.agent(1)
        network.relay.faults.cut(from: 1, to: 2)
        one.send("hello", to: network.addresses.advertise(2), port: network.port)
        one.send("again!", to: network.addresses.advertise(2), port: network.port)
        try waitUntil("both are counted", seconds: 30) { network.relay.sent[0].packets == 2 }
        #expect(network.relay.sent[0].bytes == 11)
        #expect(network.relay.sent[1].packets == 0)
    }

    @Test func aCutWorksOneWay() throws {
        let network = try Network()
        let one = try network.agent(1)
        let two = try network.agent(2)
        network.relay.faults.cut(from: 1, to: 2)
        one.send("lost", to: network.addresses.advertise(2), port: network.port)
        #expect(two.receive(seconds: silence) == nil)
        two.send("through", to: network.addresses.advertise(1), port: network.port)
        #expect(one.receive(seconds: 30)?.text == "through")
        network.relay.faults.heal(from: 1, to: 2)
        one.send("again", to: network.addresses.advertise(2), port: network.port)
        #expect(two.receive(seconds: 30)?.text == "again")
    }

    @Test func fullLossLosesAndDelayDelays() throws {
        let network = try Network()
        let one = try network.agent(1)
        let two = try network.agent(2)
        network.relay.faults.setLoss(percent: 100)
        one.send("lost", to: network.addresses.advertise(2), port: network.port)
        try waitUntil("it has come to the relay", seconds: 30) { network.relay.sent[0].packets == 1 }
        #expect(two.receive(seconds: silence) == nil)
        network.relay.faults.setLoss(percent: 0)
        network.relay.faults.setDelay(milliseconds: 150)
        let begun = boottime()
        one.send("late", to: network.addresses.advertise(2), port: network.port)
        #expect(two.receive(seconds: 30)?.text == "late")
        #expect(boottime() - begun >= 150_000_000)
    }

    @Test func aStrangersPacketsAreDropped() throws {
        let network = try Network()
        let two = try network.agent(2)
        let stranger = try TestSocket(Int32(SOCK_DGRAM.rawValue), at: "127.0.0.1", port: 0)
        stranger.send("boo", to: network.addresses.advertise(2), port: network.port)
        try waitUntil("it is counted", seconds: 30) { network.relay.strangersSeen == 1 }
        #expect(two.receive(seconds: silence) == nil)
    }

    @Test func aStreamPassesBothWaysAndItsEndToo() throws {
        let network = try Network()
        var (client, server): (TestSocket?, TestSocket) = try network.connection()
        server.write("answer")
        #expect(client?.receive(seconds: 30)?.text == "answer")
        client = nil
        #expect(server.receive(seconds: 30)?.text == "")
    }

    @Test func aCutStreamIsSilentAndGoesOnAfterwards() throws {
        let network = try Network()
        let (client, server) = try network.connection()
        network.relay.faults.cutBothWays(1, 2)
        client.write("held")
        #expect(server.receive(seconds: silence) == nil)
        network.relay.faults.healAll()
        #expect(server.receive(seconds: 30)?.text == "held")
    }

    @Test func theEndOfACutPeerIsNotHeard() throws {
        let network = try Network()
        var (client, server): (TestSocket, TestSocket?) = try network.connection()
        network.relay.faults.isolate(2, from: 1...2)
        _ = server
        server = nil
        #expect(client.receive(seconds: silence) == nil)
        network.relay.faults.rejoin(2)
        #expect(client.receive(seconds: 30) != nil)
    }

    @Test func aPortNobodyListensOnRefuses() throws {
        let network = try Network()
        let client = try network.client(1)
        try client.connect(to: network.addresses.advertise(2), port: network.service)
        #expect(client.receive(seconds: 30) != nil)
    }

    @Test func twoSandboxesHaveDifferentNetworks() throws {
        let one = try SandboxAddresses()
        let two = try SandboxAddresses()
        #expect(one.network != two.network)
    }
}
