import CsnapSandbox
import Testing

@Suite("Cyclic load")
struct CyclicLoadTests {
    static let model = CyclicModel(node: 2)

    /// The region after that many writes.
    static func image(after count: UInt64, without missing: UInt64? = nil) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: CyclicModel.regionSize)
        for sequence in 1...count where sequence != missing {
            let pattern = model.pattern(sequence)
            let start = Int(pattern.offset - model.base)
            image.replaceSubrange(start..<start + BlockPattern.size, with: pattern.bytes)
        }
        return image
    }

    @Test("every write of one round has a block of its own")
    func permutation() {
        #expect(Set((1...CyclicModel.slots).map { Self.model.pattern($0).offset }).count == Int(CyclicModel.slots))
    }

    @Test("the image after so many writes is right for that number, and for no other")
    func right() {
        let image = Self.image(after: 700)
        #expect(Self.model.fault(in: image, least: 700, most: 700) == nil)
        #expect(Self.model.fault(in: image, least: 690, most: 710) == nil)
        #expect(Self.model.fault(in: image, least: 701, most: 710) != nil, "an acknowledged write is missing")
        #expect(Self.model.fault(in: image, least: 600, most: 699) != nil, "a write is in it that came later")
    }

    @Test("a hole in the history, a changed byte or a short image is wrong")
    func wrong() {
        let hole = Self.image(after: 700, without: 650)
        #expect(Self.model.fault(in: hole, least: 600, most: 800) != nil)
        var changed = Self.image(after: 700)
        changed[100_000] ^= 1
        #expect(Self.model.fault(in: changed, least: 600, most: 800) != nil)
        #expect(Self.model.fault(in: Array(changed.dropLast()), least: 600, most: 800) != nil)
        // One block of a later time, as a missing copy-out shows it.
        var late = Self.image(after: 700)
        let pattern = Self.model.pattern(701)
        let start = Int(pattern.offset - Self.model.base)
        late.replaceSubrange(start..<start + BlockPattern.size, with: pattern.bytes)
        #expect(Self.model.fault(in: late, least: 690, most: 700) != nil)
    }

    @Test("what is read while it is written has at least what was answered before, and nothing that was not begun")
    func living() {
        var image = Self.image(after: 700)
        #expect(Self.model.fault(inLiving: image, least: 700, most: 700) == nil)
        #expect(Self.model.fault(inLiving: image, least: 690, most: 710) == nil)
        #expect(Self.model.fault(inLiving: image, least: 701, most: 710) != nil, "an answered write is missing")
        #expect(Self.model.fault(inLiving: image, least: 600, most: 699) != nil, "a write is in it that was not begun")
        #expect(Self.model.fault(inLiving: Self.image(after: 500), least: 500, most: 500) != nil, "it is not filled")
        let hole = Self.image(after: 700, without: 650)
        #expect(Self.model.fault(inLiving: hole, least: 649, most: 710) == nil)
        #expect(Self.model.fault(inLiving: hole, least: 650, most: 710) != nil)
        image[100_000] ^= 1
        #expect(Self.model.fault(inLiving: image, least: 600, most: 800) != nil)
        let other = CyclicModel(node: 2, isOfBranch: true)
        #expect(other.fault(inLiving: Self.image(after: 700), least: 690, most: 710) != nil, "the origin's blocks")
    }

    @Test("a snapshot that has a write of the chain and lacks its cause is wrong")
    func causality() {
        let chain = CyclicModel(node: CyclicModel.chain)
        var image = [UInt8](repeating: 0, count: CyclicModel.regionSize)
        // Write 601, of the next node, was begun when 600 was answered.
        for sequence in 1...UInt64(601) where sequence != 600 {
            let pattern = chain.pattern(sequence)
            let start = Int(pattern.offset - chain.base)
            image.replaceSubrange(start..<start + BlockPattern.size, with: pattern.bytes)
        }
        #expect(chain.fault(in: image, least: 590, most: 610) != nil)
    }
}
