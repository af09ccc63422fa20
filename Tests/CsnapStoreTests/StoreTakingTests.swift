import CsnapCore
import CsnapStore
import Testing

@Suite("Taking a store")
struct StoreTakingTests {
    @Test("a fresh store is taken whatever the last active epoch, and pins its cluster")
    func fresh() throws {
        var device = try Sample.device()
        guard case .taken(let superblock) = take(Sample.claim(5, lastActive: 4), &device) else {
            Issue.record("not taken")
            return
        }
        #expect(superblock.store == Bits128(high: 1, low: 2))
        #expect(superblock.cluster == Sample.cluster)
        #expect(superblock.generation == 1)
        #expect(superblock.geometry == Sample.geometry)
        #expect(superblock.slot == 1)
        #expect(device.unsynced.isEmpty, "all is durable before it is taken")
        let foreign = Bits128(high: 7, low: 7)
        #expect(refusal(Sample.claim(6, cluster: foreign), &device) == .foreign(cluster: Sample.cluster))
    }

    @Test("what is not above all slots is refused by name and writes nothing")
    func refusals() throws {
        var device = try Sample.device()
        _ = take(Sample.claim(5), &device)
        let before = device
        let there = StoreRefusal.tenure(
            Tenure(epoch: Epoch(5), round: Round(1)), owner: Sample.claim(5).owner.process)
        #expect(refusal(Sample.claim(4), &device) == there)
        #expect(refusal(Sample.claim(5), &device) == there, "the same tenure twice")
        #expect(refusal(Sample.claim(5, round: 2, node: 2), &device) == there, "the same epoch by another")
        #expect(there.epochSeen(by: Tenure(epoch: Epoch(4), round: Round(1))) == Epoch(5))
        #expect(there.failure == .storeTenure)
        let stale = StoreRefusal.stale(highest: Epoch(5), lastActive: Epoch(6))
        #expect(refusal(Sample.claim(7, lastActive: 6), &device) == stale)
        #expect(stale.failure == .storeStale)
        let base = StoreRefusal.slotOfBase(Tenure(epoch: Epoch(5), round: Round(1)))
        #expect(refusal(Sample.claim(9), &device) == base, "9 mod 4 is 5 mod 4")
        #expect(base.epochSeen(by: Sample.claim(9).tenure) == Epoch(9), "so the agent claims 10")
        #expect(device == before)
        guard case .taken = take(Sample.claim(5, round: 2), &device) else {
            Issue.record("a restart in place was refused")
            return
        }
        guard case .taken = take(Sample.claim(10, lastActive: 5), &device) else {
            Issue.record("the next epoch was refused")
            return
        }
    }

    @Test("blank, foreign, truncated, newer and damaged devices are refused by name")
    func devices() throws {
        var blank = MemoryDevice(size: Sample.deviceSize)
        #expect(refusal(Sample.claim(1), &blank) == .blank)
        _ = blank.perform(.write(offset: 0, bytes: [UInt8](repeating: 3, count: 4096)))
        #expect(refusal(Sample.claim(1), &blank) == .notAStore)
        #expect(StoreRefusal.blank.sentence("/dev/x").contains("csnapctl volume create"))
        #expect(StoreRefusal.notAStore.failure == .storeFormat)

        var device = try Sample.device()
        var claim = Sample.claim(1)
        claim.deviceSize -= 1
        let size = Sample.geometry.storeSize
        let truncated = StoreRefusal.truncated(device: size - 1, store: size)
        #expect(refusal(claim, &device) == truncated)
        #expect(truncated.failure == .storeTruncated)
        var newer = try Sample.device()
        for copy in 0..<2 { newer.reseal(block: copy) { $0[8] = 2 } }
        #expect(refusal(Sample.claim(1), &newer) == .version(2))
        #expect(StoreRefusal.version(2).failure == .storeVersion)
        #expect(StoreRefusal.version(2).sentence("/dev/x").contains("upgrade csnap"))

        // One copy of anything may be damaged, not both.
        device.damage(at: 100)
        device.damage(at: Int(StoreLayout.slotsOffset) + 3 * 4096 + 17)
        guard case .taken = take(Sample.claim(2), &device) else {
            Issue.record("a single damaged copy stops the store")
            return
        }
        device.damage(at: Int(StoreLayout.slotsOffset) + 6 * 4096 + 17)
        device.damage(at: Int(StoreLayout.slotsOffset) + 7 * 4096 + 17)
        #expect(refusal(Sample.claim(4), &device) == .damagedSlot(3))
        device.damage(at: 4096 + 100)
        #expect(refusal(Sample.claim(4), &device) == .notAStore)
    }

    @Test("a device that fails or loses the claim is never taken")
    func lostWrites() throws {
        // Each request fails in turn; then each write is acknowledged and lost in turn.
        for failing in 0..<8 {
            for loses in [false, true] {
                var device = try Sample.device()
                var taking = StoreTaking(Sample.claim(1))
                var request = taking.first
                var isTaken = false
                var wasHit = false
                for index in 0... {
                    var answer: StoreAnswer
                    if index == failing, loses, case .write = request {
                        answer = .done
                        wasHit = true
                    } else {
                        answer = device.perform(request)
                        if index == failing, !loses {
                            answer = .failed(5)
                            wasHit = true
                        }
                    }
                    let step = taking.answered(answer)
                    guard case .perform(let next) = step else {
                        if case .taken = step { isTaken = true }
                        break
                    }
                    request = next
                }
                #expect(isTaken != wasHit, "request \(failing), lost: \(loses)")
            }
        }
    }

    @Test("power lost at any step: the next claimer takes the store, and nothing older is forgotten")
    func crashes() throws {
        for seed in 0..<20 as Range<UInt64> {
            for steps in 0..<8 {
                var generator = Generator(seed: seed * 8 + UInt64(steps))
                var device = try Sample.device()
                _ = take(Sample.claim(1), &device)
                var claimer = Claimer(Sample.claim(6, node: 2))
                for _ in 0..<steps { _ = claimer.step(&device) }
                device.crash(&generator)
                let lastActive: UInt64 = claimer.isTaken ? 6 : 1
                guard case .taken = take(Sample.claim(7, node: 3, lastActive: lastActive), &device) else {
                    Issue.record("stuck after \(steps) steps, seed \(seed)")
                    continue
                }
                // Whoever was deposed stays so.
                #expect(refusal(Sample.claim(6, round: 2, node: 2), &device) != nil)
            }
        }
    }

    @Test("two claimers, all interleavings: after the higher epoch was taken, the lower is not")
    func interleavings() throws {
        for (left, right) in [(1, 2), (2, 1), (4, 5), (6, 5)] as [(UInt64, UInt64)] {
            let outcome = try explored(left, right)
            #expect(outcome.schedules > 500)
            #expect(outcome.violations == 0)
            #expect(outcome.bothTaken > 0 && outcome.bothTaken < outcome.schedules)
        }
    }

    /// The bound of the layout, and the proof that the test above can fail: a claimer that slept through as many epochs
    /// as there are slots overwrites its successor unseen. Only its lease, checked before each write, stops it.
    @Test("two claimers of one slot do harm each other")
    func oneSlot() throws {
        #expect(try explored(1, 5).violations > 0)
    }

    private struct Outcome {
        var schedules = 0
        var bothTaken = 0
        /// The lower epoch was taken after the higher, or a refusal had another reason than a tenure.
        var violations = 0
    }

    private func explored(_ left: UInt64, _ right: UInt64) throws -> Outcome {
        var first = Claimer(Sample.claim(left, node: 1))
        var second = Claimer(Sample.claim(right, node: 2))
        var device = try Sample.device()
        // Readings of the format block do not matter: it never changes.
        _ = first.step(&device)
        _ = second.step(&device)
        var outcome = Outcome()
        explore([first, second], device, [], &outcome)
        return outcome
    }

    private func explore(
        _ claimers: [Claimer], _ device: MemoryDevice, _ taken: [Epoch], _ outcome: inout Outcome
    ) {
        if claimers.allSatisfy({ $0.request == nil }) {
            outcome.schedules += 1
            if taken.count == 2 { outcome.bothTaken += 1 }
            let isOrdered = taken == taken.sorted()
            let areTenures = claimers.allSatisfy { claimer in
                guard case .refused(let refusal) = claimer.end else { return true }
                return refusal.failure == .storeTenure
            }
            if !isOrdered || !areTenures { outcome.violations += 1 }
            return
        }
        for mover in claimers.indices where claimers[mover].request != nil {
            var claimers = claimers
            var device = device
            _ = claimers[mover].step(&device)
            let now = claimers[mover].isTaken ? [claimers[mover].taking.claim.tenure.epoch] : []
            explore(claimers, device, taken + now, &outcome)
        }
    }
}
