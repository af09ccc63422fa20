import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A saved chunk that is not what was saved is no answer, on any node (docs/decisions/0091).
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(5)))
struct DamagedDataTests {
    private static let chunk = 64 << 10

    @Test func aFlippedBitOfSavedDataFailsTheReadsOfItsChunkAlone() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<16 * Self.chunk], &model)
        try volume.snapshot("monday")
        let monday = model
        try volume.write([0..<16 * Self.chunk], &model)
        let saved = try #require(
            try Data(contentsOf: URL(fileURLWithPath: volume.store)).range(of: monday[5 * Self.chunk..<6 * Self.chunk])
        ).lowerBound
        try flip(volume.store, saved + 50_000)
        let export = try volume.connect("snap/monday")
        for chunk in 0..<16 where chunk != 5 {
            #expect(
                try export.read(offset: UInt64(chunk * Self.chunk), count: Self.chunk) == [UInt8](part(monday, chunk)))
        }
        // Also where the bytes that are asked for are right.
        for (offset, count) in [
            (5 * Self.chunk, 4096), (5 * Self.chunk - 4096, 8192), (4 * Self.chunk, 3 * Self.chunk),
        ] {
            #expect(throws: (any Error).self) { try export.read(offset: UInt64(offset), count: count) }
        }
        let log = volume.log("csnap-client")
        #expect(log.contains("at byte \(saved) of the store is damaged"), "\(log.suffix(2000))")
        #expect(log.components(separatedBy: "is damaged").count == 2, "said once")
        let check = try Program.csnapctl([
            "volume", "check", "data", "--json", "--config", volume.directory + "/csnap.yaml",
        ])
        #expect(check.code == 1 && check.output.contains("damagedData"), "\(check.output)")
        try flip(volume.store, saved + 50_000)
        #expect(try export.read(offset: UInt64(5 * Self.chunk), count: Self.chunk) == [UInt8](part(monday, 5)))
        export.disconnect()
        try volume.stop()
    }

    private func part(_ model: Data, _ chunk: Int) -> Data { model[chunk * Self.chunk..<(chunk + 1) * Self.chunk] }

    private func flip(_ path: String, _ place: Int) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(place))
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: UInt64(place))
        try file.write(contentsOf: [byte ^ 0x10])
    }
}
