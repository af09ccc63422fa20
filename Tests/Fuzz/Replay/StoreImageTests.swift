import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import FuzzCore
import Testing

/// What fuzzing changes in a store reaches the code behind the checksums.
@Suite("Fuzzing: images of stores", .serialized)
struct StoreImageTests {
    /// Everywhere but in the slots and anchors.
    private static func places(of pattern: [UInt8]) -> [Int] {
        let image = StoreImageTarget.image
        let start = Int(StoreLayout.dataOffset)
        let bytes = image.bytes(image.size - start, at: start)
        return (0..<bytes.count - pattern.count)
            .filter { bytes[$0] == pattern[0] && bytes[$0..<$0 + pattern.count].elementsEqual(pattern) }
            .map { $0 + start }
    }

    private static func names(_ store: SnapshotStore<SimulatedDevice>) -> [String] {
        (store.snapshots + store.branches).map { $0.about.name }
    }

    /// One of them stands in the catalog, one in a group of the journal that others follow.
    @Test func eachNameMayBeChanged() throws {
        let sound = try #require(StoreImageTarget.taken([])).store
        #expect(sound.branches.count == 2 && sound.awaitsSpace)
        for name in Self.names(sound) {
            let letter = UInt8(ascii: "z") ^ name.utf8.first!
            let changed = Self.places(of: Array(name.utf8)).map { (offset: $0, mask: letter) }
            let store = try #require(StoreImageTarget.taken(changed), "\(name)").store
            let expected = Self.names(sound).map { $0 == name ? "z" + $0.dropFirst() : $0 }
            #expect(Self.names(store) == expected, "\(name)")
        }
    }

    /// An entry that says so, with all checksums right: nobody reads there, here or on another node.
    @Test func noChunkLiesBehindTheStore() throws {
        var sound = try #require(StoreImageTarget.taken([])).store
        let snapshot = try #require(sound.snapshots.first).number
        let first = try sound.locate(snapshot, 0..<1)
        guard case .store(let offset) = first.first?.place else {
            Issue.record("chunk 0 of the oldest snapshot is not saved")
            return
        }
        let places = Self.places(of: withUnsafeBytes(of: offset.littleEndian) { Array($0) })
        for mask: UInt8 in [0x01, 0x80] {
            var store = try #require(StoreImageTarget.taken(places.map { ($0 + 7, mask) })).store
            let damaged = StoreError.damagedData(snapshot, chunk: 0)
            #expect(throws: damaged) { try store.read(snapshot, chunk: 0) }
            #expect(throws: damaged) { try store.locate(snapshot, 0..<1) }
        }
    }
}
