import CsnapRuntime
import Testing

@Suite("Session seal")
struct SessionSealTests {
    private static let key = KeyRing(.generate())

    /// Both sides, their preambles exchanged.
    private static func pair(
        client: KeyRing = key, server: KeyRing = key
    ) throws -> (client: SessionSeal, server: SessionSeal) {
        var ends = (SessionSeal(side: .client, keys: client), SessionSeal(side: .server, keys: server))
        #expect(try ends.0.open(ends.1.preamble) == [])
        #expect(try ends.1.open(ends.0.preamble) == [])
        return ends
    }

    private static func error(_ body: () throws -> Void) -> SessionSealError? {
        do {
            try body()
            return nil
        } catch {
            return error as? SessionSealError
        }
    }

    @Test("what one side seals the other opens, cut at every place, in both directions")
    func roundTrip() throws {
        var (client, server) = try Self.pair()
        let long = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        for plain in [[1], Array("hello".utf8), long] {
            var opened: [UInt8] = []
            let sealed = client.seal(plain)
            for start in stride(from: 0, to: sealed.count, by: 4093) {
                opened += try server.open(sealed[start..<min(start + 4093, sealed.count)])
            }
            #expect(opened == plain)
            #expect(try client.open(server.seal(plain)) == plain)
        }
        #expect(client.buffered == 0)
    }

    @Test("changed, repeated, reordered and reflected records are refused for ever")
    func refusals() throws {
        var (client, server) = try Self.pair()
        let first = client.seal([1, 2, 3])
        let second = client.seal([4, 5, 6])
        for bit in 0..<first.count * 8 {
            var changed = first
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            var copy = server
            // A longer length waits for bytes that never come; nothing is opened.
            #expect((try? copy.open(changed)) ?? [] == [])
        }
        var reordered = server
        #expect(Self.error { _ = try reordered.open(second) } == .authentication)
        #expect(Self.error { _ = try reordered.open(first) } == .authentication, "it stays refused")
        #expect(try server.open(first) == [1, 2, 3])
        #expect(Self.error { _ = try server.open(first) } == .authentication)
        #expect(Self.error { _ = try client.open(second) } == .authentication, "reflected")
    }

    @Test("a recording of one connection does not open in another")
    func replay() throws {
        var (client, server) = try Self.pair()
        let recorded = client.preamble + client.seal([7])
        #expect(try server.open(recorded.dropFirst(client.preamble.count)) == [7])
        var fresh = SessionSeal(side: .server, keys: Self.key)
        #expect(Self.error { _ = try fresh.open(recorded) } == .authentication)
    }

    @Test("another key, no key, another protocol and too long records are refused by name")
    func names() throws {
        var (client, server) = try Self.pair(client: KeyRing(.generate()))
        #expect(Self.error { _ = try server.open(client.seal([1])) } == .authentication)
        var secure = SessionSeal(side: .server, keys: Self.key)
        let insecure = SessionSeal(side: .client, keys: .insecure)
        #expect(Self.error { _ = try secure.open(insecure.preamble) } == .keyExpected(peerIsSecure: false))
        var open = SessionSeal(side: .server, keys: .insecure)
        #expect(Self.error { _ = try open.open(client.preamble) } == .keyExpected(peerIsSecure: true))
        var other = SessionSeal(side: .server, keys: Self.key)
        #expect(Self.error { _ = try other.open("GET / HTTP".utf8) } == .foreign)
        var long = try Self.pair().server
        #expect(Self.error { _ = try long.open([0, 0, 2, 0]) } == .tooLong(131_072))
        var (free, other2) = try Self.pair(client: .insecure, server: .insecure)
        #expect(try other2.open(free.seal([1])) == [1])
    }

    @Test("during a change of key both keys serve")
    func rotation() throws {
        let old = ClusterKey.generate(id: 1)
        let new = ClusterKey.generate(id: 2)
        var (client, server) = try Self.pair(client: KeyRing(old, other: new), server: KeyRing(new, other: old))
        #expect(try server.open(client.seal([1])) == [1])
        #expect(try client.open(server.seal([2])) == [2])
    }
}
