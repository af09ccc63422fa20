import CsnapCore
import CsnapRuntime
import Testing

@Suite struct TransportProofTests {
    private let alice = SealedPeer(node: 1, boot: 5)
    private let bob = SealedPeer(node: 2)

    @Test func unprovenMayOnlyAsk() throws {
        let joined = Message.joinAck(
            JoinAck(
                nonce: 1, cluster: SealedPeer.group, records: [], claim: nil, configuration: nil, pending: nil,
                highestEpoch: .none))
        let messages = [makeRenew(1), makePing(2), .renewAck(RenewAck(epoch: Epoch(1), nonce: 3)), joined]
        let packet = try #require(try bob.open(alice.seal(messages), from: alice))
        #expect(packet.messages == [makePing(2), joined])
        #expect(packet.wantsProof && packet.mayBeEchoed)
        #expect(bob.opener.drops[.unproven] == 1)
    }

    /// A packet made for another process, or for an earlier one of ours, proves nothing, whatever came before.
    @Test func proofIsOfThePacket() throws {
        #expect(try bob.open(alice.seal([makeRenew(1)], echo: bob.startBits), from: alice)?.messages.count == 1)
        let misled = try alice.seal([makeRenew(2)], echo: Bits128(high: 1, low: 2))
        #expect(bob.open(misled, from: alice)?.messages.isEmpty == true)
    }

    @Test func recordingsOfEarlierDaysDoNothing() throws {
        let recorded = try alice.seal([makeRenew(1)], echo: bob.startBits)
        let restarted = SealedPeer(node: 2, boot: 2)
        let packet = try #require(restarted.open(recorded, from: alice))
        #expect(packet.messages.isEmpty && packet.wantsProof)
    }

    @Test func earlierBootIsHeardOnlyToJoin() throws {
        let earlier = SealedPeer(node: 1, boot: 4)
        #expect(try bob.open(earlier.seal([makePing(1)], echo: bob.startBits), from: earlier) != nil)
        // A Join of a higher boot may be a clone's and proves nothing yet; its next packets do.
        #expect(try bob.open(alice.seal([makeJoin(alice)], echo: bob.startBits), from: alice) != nil)
        #expect(try bob.open(earlier.seal([makePing(3)], echo: bob.startBits), from: earlier) != nil)
        #expect(try bob.open(alice.seal([makePing(1)], echo: bob.startBits), from: alice) != nil)
        #expect(try bob.open(earlier.seal([makePing(2)], echo: bob.startBits), from: earlier) == nil)
        #expect(bob.opener.drops[.olderBoot] == 1)
        let packet = try #require(try bob.open(earlier.seal([makeJoin(earlier)]), from: earlier))
        #expect(packet.messages == [makeJoin(earlier)])
        #expect(!packet.mayBeEchoed)
        // Another message of that size is not heard.
        let bulk = Message.syncDigest(SyncDigest(ranges: [], configurationHash: 0, claimHash: 0))
        var payload = MessageCodec.encode([bulk])
        var filler = ByteWriter()
        filler.byte(0xf0)
        filler.counted([UInt8](repeating: 0, count: Limits.payload - payload.count - 3))
        payload += filler.bytes
        let datagram = earlier.sealer.seal(payload, echo: bob.startBits)
        let sealed = try #require(datagram)
        #expect(sealed.count == Limits.fullDatagram)
        #expect(bob.open(sealed, from: earlier) == nil)
        #expect(bob.opener.drops[.olderBoot] == 2)
    }

    /// A cloned machine counts its boot up like any other; until the group answers it, the original is heard.
    @Test(arguments: [false, true]) func aCloneOfAHigherBootDoesNotShutTheOriginalOut(knowsUs: Bool) throws {
        let clone = SealedPeer(node: 1, boot: 6, startBits: 99)
        let echo = knowsUs ? bob.startBits : .zero
        #expect(try bob.open(alice.seal([makeRenew(1)], echo: bob.startBits), from: alice)?.messages.count == 1)
        for round in UInt64(1)...20 {
            let join = try #require(try bob.open(clone.seal([makeJoin(clone)], echo: echo), from: clone))
            #expect(join.messages == [makeJoin(clone)], "the core must hear of it, to name the conflict")
            #expect(try bob.open(clone.seal([makePing(round), makeRenew(round)]), from: clone) != nil)
            #expect(try bob.open(clone.seal([], echo: echo), from: clone) != nil)
            let original = try bob.open(alice.seal([makeRenew(round)], echo: bob.startBits), from: alice)
            #expect(original?.messages == [makeRenew(round)])
        }
        #expect(bob.opener.drops[.olderBoot] == 0)
    }

    /// The same boot with other start bits: a cloned machine, or a recording. It may ask, and takes no one's echo.
    @Test func otherProcessOfTheSameBoot() throws {
        let clone = SealedPeer(node: 1, boot: 5, startBits: 99)
        #expect(try bob.open(alice.seal([makeRenew(1)], echo: bob.startBits), from: alice)?.messages.count == 1)
        let packet = try #require(try bob.open(clone.seal([makeRenew(1), makePing(2)]), from: clone))
        #expect(packet.messages == [makePing(2)])
        #expect(!packet.mayBeEchoed && !packet.wantsProof)
        // Each has its own window: the same counters do not collide.
        #expect(try bob.open(alice.seal([makeRenew(2)], echo: bob.startBits), from: alice)?.messages.count == 1)
    }

    @Test func clonesDoNotPushOutTheProven() throws {
        let first = try alice.seal([makeRenew(1)], echo: bob.startBits)
        #expect(bob.open(first, from: alice) != nil)
        for bits in UInt64(100)..<120 {
            let clone = SealedPeer(node: 1, boot: 5, startBits: bits)
            #expect(try bob.open(clone.seal([makePing(1)]), from: clone) != nil)
        }
        #expect(bob.open(first, from: alice) == nil)
        #expect(bob.opener.drops[.replayed] == 1)
        for bits in UInt64(200)..<206 {
            let clone = SealedPeer(node: 1, boot: 5, startBits: bits)
            _ = try bob.open(clone.seal([makePing(1)], echo: bob.startBits), from: clone)
        }
        #expect(bob.opener.drops[.tableFull] == 3)
    }

    @Test func otherGroupMayAskToJoin() throws {
        let foreign = SealedPeer(node: 3, cluster: Bits128(high: 8, low: 8))
        let word = Message.foreignGroup(ForeignGroup(nonce: 1, cluster: Bits128(high: 8, low: 8)))
        let first = try foreign.seal([makePing(1), makeRenew(2), word], echo: bob.startBits)
        #expect(bob.open(first, from: foreign)?.messages == [word])
        #expect(try bob.open(foreign.seal([makeJoin(foreign)]), from: foreign)?.messages == [makeJoin(foreign)])
        #expect(bob.opener.drops[.foreignCluster] == 1)
    }

    @Test func withoutGroupOneMayAsk() throws {
        let fresh = SealedPeer(node: 3, cluster: .zero)
        let datagram = try fresh.seal([makePing(1), makeRenew(2)], echo: bob.startBits)
        #expect(bob.open(datagram, from: fresh)?.messages == [makePing(1)])
        #expect(bob.opener.drops[.unpinned] == 1)
        // And hears the group's answer before it knows the uuid.
        #expect(try fresh.open(alice.seal([makeRenew(1)], echo: fresh.startBits), from: alice)?.messages.count == 1)
    }

    @Test func rotationOfKeys() throws {
        let old = ClusterKey.generate(id: 1)
        let new = ClusterKey.generate(id: 2)
        let before = SealedPeer(node: 1, keys: KeyRing(old, other: new))
        let after = SealedPeer(node: 2, keys: KeyRing(new, other: old))
        let there = try before.seal([makePing(1)])
        let back = try after.seal([makePing(2)])
        #expect(after.open(there, from: before)?.messages == [makePing(1)])
        #expect(before.open(back, from: after)?.messages == [makePing(2)])
        let late = SealedPeer(node: 3, keys: KeyRing(old))
        #expect(late.open(back, from: after) == nil)
        #expect(late.opener.drops[.stranger] == 1)
        #expect(late.open(there, from: before) != nil)
    }

    @Test func summaryNamesReasons() throws {
        _ = bob.open([1, 2, 3], from: alice)
        let before = bob.opener.drops
        let datagram = try alice.seal([makePing(1)])
        for _ in 0..<3 { _ = bob.open(datagram, from: alice) }
        #expect(bob.opener.drops.description == "1 malformed, 2 replayed")
        #expect(bob.opener.drops.since(before).description == "2 replayed")
    }
}
