import Foundation
import FuzzCore
import FuzzRuntime
import Testing

/// What fuzzing tries, with the inputs that are kept: so that a find stays fixed, and the targets stay buildable.
@Suite("Fuzzing: kept inputs", .serialized)
struct KeptInputTests {
    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("corpus")

    private static func contents(of directory: URL) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
    }

    private static var targets: [String: ([UInt8]) -> Void] {
        CoreTargets.all.merging(RuntimeTargets.all) { first, _ in first }
    }

    static var names: [String] { targets.keys.sorted() }

    @Test("each target has a corpus, and each corpus a target")
    func complete() throws {
        #expect(try Self.contents(of: Self.corpus).map(\.lastPathComponent).sorted() == Self.names)
    }

    /// A target traps at a defect: no later line appears then.
    @Test("no kept input traps", arguments: names)
    func replay(_ name: String) throws {
        let target = try #require(Self.targets[name])
        let inputs = try Self.contents(of: Self.corpus.appendingPathComponent(name))
        #expect(!inputs.isEmpty)
        for input in inputs { target([UInt8](try Data(contentsOf: input))) }
    }
}
