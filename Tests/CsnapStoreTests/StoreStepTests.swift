import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

/// Failpoints and held writes on real processes find a step by the bytes of its write: each must be told.
@Suite("Steps of a store")
struct StoreStepTests {
    /// The steps of an operation, in their order, each once in a row.
    private func steps(_ world: inout StoreWorld, _ operation: StoreOperation) throws -> [StoreStep] {
        world.disk.events = []
        world.disk.isRecording = true
        try world.perform(operation)
        var steps: [StoreStep] = []
        for case .write(let write) in world.disk.events {
            let step = write.bytes.withUnsafeBytes { StoreStep($0) }
            if steps.last != step { steps.append(step) }
        }
        return steps
    }

    @Test func everyWriteIsTold() throws {
        var world = try StoreWorld(StoreWorld.format())
        #expect(try steps(&world, .create).last == .created)
        #expect(try steps(&world, .write([0..<3])).suffix(2) == [.data, .copied])
        #expect(Set(try steps(&world, .checkpoint)).isSuperset(of: [.node, .page, .checkpoint]))
        #expect(try steps(&world, .takeOver).starts(with: [.claim, .taking]))
        #expect(try steps(&world, .rename).last == .other)
        #expect(try steps(&world, .deleteOldest) == [.deleted])
        #expect(try steps(&world, .settle).contains(.swept))
        // Until a window is full.
        _ = try steps(&world, .create)
        var seen: [StoreStep] = []
        for chunk in 0..<StoreWorld.chunks { seen += try steps(&world, .write([chunk..<chunk + 1])) }
        #expect(seen.contains(.opened))
    }
}
