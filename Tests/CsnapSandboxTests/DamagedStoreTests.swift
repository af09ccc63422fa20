import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A store with destroyed bytes under a real group: it is refused or served, both by name, and mended as far as
/// docs/data-plane.md promises. Every byte is tried by `csnap-sim store`; here one of each kind.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(5)))
struct DamagedStoreTests {
    /// What is destroyed.
    enum Kind: String, CaseIterable {
        case slotCopy, slot, anchorCopy, anchor, journal, root, leaf, catalog, spaceMap
    }

    /// What becomes of it.
    enum Service {
        case refused
        /// All is right.
        case whole
        /// Some chunks of snapshots cannot be read.
        case partial
    }

    struct Expectation {
        var service: Service
        /// What the check calls it; nil: nothing is wrong.
        var problem: String?
        /// A repair helps; false: it is refused.
        var isMended = true
        var losesData = false
    }

    static func expectation(_ kind: Kind) -> Expectation {
        switch kind {
        case .slotCopy: Expectation(service: .whole)
        case .slot: Expectation(service: .refused, problem: "damagedSlot")
        case .anchorCopy: Expectation(service: .whole)
        case .anchor: Expectation(service: .refused, isMended: false)
        case .journal: Expectation(service: .refused, problem: "damagedJournal", losesData: true)
        case .root: Expectation(service: .partial, problem: "damagedNode", losesData: true)
        case .leaf: Expectation(service: .partial, problem: "damagedNode", losesData: true)
        case .catalog: Expectation(service: .refused, isMended: false)
        // The journal behind the checkpoint cannot be replayed without it.
        case .spaceMap: Expectation(service: .refused, problem: "damagedNode")
        }
    }

    @Test func destroyedBytesAreNamedAndMended() throws {
        let story = try DamagedStore()
        for (number, kind) in Kind.allCases.enumerated() {
            do {
                try story.play(kind, mask: [0x01, 0x80, 0xFF][number % 3], Self.expectation(kind))
            } catch {
                Issue.record("\(kind): \(error)\n\(story.log.suffix(4000))")
                return
            }
        }
    }
}

/// A volume with snapshots, whose sound state is put back before each damage.
private final class DamagedStore {
    private static let size = 8 << 20
    private static let chunk = 4096
    /// Bytes of one read.
    private static let part = 64 << 10

    private let volume: LoneVolume
    private var snapshots: [String: Data] = [:]
    var log: String { volume.log("csnap-agent") }
    private var config: [String] { ["--config", volume.directory + "/csnap.yaml"] }

    /// Three snapshots, a tree of two levels, and a journal of some groups behind it.
    init() throws {
        volume = try LoneVolume(size: Self.size, chunkSize: UInt32(Self.chunk))
        var model = Data(count: Self.size)
        try volume.write([0..<4 << 20], &model)
        try snapshot("monday", model)
        try volume.write([0..<3 << 20], &model)
        try snapshot("tuesday", model)
        // A group of the journal for each, until a checkpoint passes them.
        let chunks = stride(from: 0, to: 600 * Self.chunk, by: Self.chunk).map { $0..<$0 + Self.chunk }
        try volume.write(chunks, &model)
        try waitUntil("a tree of two levels", seconds: 60) { StoreFile.hasTree(volume.store) }
        try snapshot("wednesday", model)
        for start in [5 << 20, 6 << 20, 7 << 20] { try volume.write([start..<start + Self.chunk], &model) }
        try volume.stop()
        for name in Self.kept { try copy(name, name + ".sound") }
    }

    private func snapshot(_ name: String, _ model: Data) throws {
        try volume.snapshot(name)
        snapshots[name] = model
    }

    private static let kept = ["store", "origin", "state"]

    private func copy(_ from: String, _ to: String) throws {
        let (from, to) = (volume.directory + "/" + from, volume.directory + "/" + to)
        let run = try Program.run("/bin/cp", ["--recursive", "--sparse=always", "--no-target-directory", from, to])
        #expect(run.code == 0, "\(run.output)")
    }

    func play(_ kind: DamagedStoreTests.Kind, mask: UInt8, _ expected: DamagedStoreTests.Expectation) throws {
        for name in Self.kept {
            try FileManager.default.removeItem(atPath: volume.directory + "/" + name)
            try copy(name + ".sound", name)
        }
        let places = try destroy(kind, mask)
        let found = try check(kind, expected, places)
        try volume.start()
        switch expected.service {
        case .refused:
            try waitUntil("\(kind): the server says why it refuses", seconds: 60) {
                Self.names(places, volume.log("csnap-agent"))
            }
        case .whole, .partial: try serve(kind, expected.service, places)
        }
        try volume.stop()
        if found { try repair(kind, expected) }
    }

    private func destroy(_ kind: DamagedStoreTests.Kind, _ mask: UInt8) throws -> [Int] {
        let file = try StoreFile(volume.store)
        let blocks =
            switch kind {
            case .slotCopy: [try file.olderSlot[0]]
            case .slot: try file.olderSlot
            case .anchorCopy: [file.newestAnchor[0]]
            case .anchor: file.newestAnchor
            case .journal: [try file.journalGroup]
            case .root: [file.root]
            case .leaf: [try file.leaf]
            case .catalog: [file.catalog]
            case .spaceMap: file.spacePages
            }
        #expect(!blocks.isEmpty)
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: volume.store))
        for block in blocks {
            let place = UInt64(block + 40)
            try handle.seek(toOffset: place)
            let byte = try #require(try handle.read(upToCount: 1)?.first)
            try handle.seek(toOffset: place)
            try handle.write(contentsOf: [byte ^ mask])
        }
        try handle.close()
        return blocks
    }

    /// A sentence that names one of the places and says what to do.
    private static func names(_ places: [Int], _ text: String) -> Bool {
        text.split(separator: "\n").contains { line in
            let slot = (places[0] - 1 << 20) / (2 * 4096)
            return line.contains("csnapctl volume check")
                && (places.contains { line.contains("at byte \($0);") } || line.contains("copies of slot \(slot) "))
        }
    }

    // MARK: Checks

    /// True if it found problems.
    private func check(
        _ kind: DamagedStoreTests.Kind, _ expected: DamagedStoreTests.Expectation, _ places: [Int]
    ) throws -> Bool {
        let run = try Program.csnapctl(["volume", "check", "data", "--offline", "--json"] + config)
        guard expected.isMended else {
            #expect(run.code == 1 && Self.names(places, run.output), "\(kind): \(run.output)")
            let repair = try Program.csnapctl(["volume", "check", "data", "--repair"] + config)
            #expect(repair.code == 1 && Self.names(places, repair.output), "\(kind): \(repair.output)")
            return false
        }
        let report = try JSONDecoder().decode(VolumeCheck.self, from: run.json)
        #expect(run.code == (expected.problem == nil ? 0 : 1), "\(kind): \(run.output)")
        guard let problem = expected.problem else {
            #expect(report.problems == [])
            return false
        }
        #expect(report.problems.contains { $0.code == problem }, "\(kind): \(report.problems)")
        if problem == "damagedNode" {
            let isNamed = report.problems.contains { found in places.contains { found.text.contains("byte \($0) ") } }
            #expect(isNamed, "\(kind): \(report.problems)")
        }
        return true
    }

    private func repair(_ kind: DamagedStoreTests.Kind, _ expected: DamagedStoreTests.Expectation) throws {
        let run = try Program.csnapctl(["volume", "check", "data", "--repair", "--json"] + config)
        let report = try JSONDecoder().decode(VolumeCheck.self, from: run.json)
        let losses = report.losses ?? []
        #expect(run.code == (expected.losesData ? 1 : 0), "\(kind): \(run.output)")
        #expect(report.repaired == true && losses.isEmpty != expected.losesData, "\(kind): \(run.output)")
        let again = try Program.csnapctl(["volume", "check", "data", "--offline"] + config)
        #expect(again.code == 0 && again.output.contains("clean"), "\(kind): \(again.output)")
        try volume.start()
        try volume.waitForService()
        if kind == .leaf { try expectNoSource() }
        let outcome = try read(losses)
        #expect(outcome.wrong == [] && outcome.unreadable == 0, "\(kind): after the repair")
        try volume.stop()
    }

    /// What has lost something is not sent, compared, gone back to or added to as if it were whole.
    private func expectNoSource() throws {
        let known = try volume.caller.snapshots(LoneVolume.name)
        #expect(known.count == 3 && known.allSatisfy(\.damaged))
        let commands = [
            "diff monday tuesday", "diff tuesday", "send tuesday --from monday", "send wednesday", "revert data monday",
        ]
        for command in commands {
            let words = ["snapshot"] + command.split(separator: " ").map { String($0) }
            let run = try Program.csnapctl(words + ["--socket", volume.socket])
            #expect(run.code == 4 && run.output.contains("day' is damaged: a repair"), "\(command): \(run.output)")
        }
        #expect(try volume.caller.volume(LoneVolume.name).revert == nil)
        let header = StreamHeader(
            cluster: .zero, volume: "other", snapshot: Bits128(high: 1, low: 2), name: "thursday", created: 0,
            base: try #require(Bits128(hex: known[0].uuid)), size: UInt64(Self.size), chunkSize: UInt32(Self.chunk),
            start: 0)
        var stream: [UInt8] = []
        var writer = try StreamWriter(header) { stream += $0 }
        try writer.put(.end)
        let file = volume.directory + "/stream"
        try Data(stream).write(to: URL(fileURLWithPath: file))
        let receive = "\(Tool.directory)/csnapctl snapshot receive --socket \(volume.socket) <\(file)"
        let run = try Program.run("/bin/sh", ["-c", receive])
        #expect(run.code == 4 && run.output.contains("'monday', which is damaged here"), "\(run.output)")
    }

    // MARK: Service

    private func serve(_ kind: DamagedStoreTests.Kind, _ service: DamagedStoreTests.Service, _ places: [Int]) throws {
        try volume.waitForService()
        let outcome = try read([])
        #expect(outcome.wrong == [], "\(kind): a wrong answer")
        #expect((outcome.unreadable > 0) == (service == .partial), "\(kind): \(outcome.unreadable) parts failed")
        // Chunks that no snapshot has in the store yet.
        let device = try volume.connect()
        let write = Result { try device.write([UInt8](repeating: 3, count: Self.chunk), offset: UInt64(4 << 20)) }
        device.disconnect()
        let isWritten = (try? write.get()) != nil
        #expect(isWritten == (service == .whole || kind == .leaf), "\(kind): \(write)")
        if service != .whole { #expect(Self.names(places, volume.log("csnap-agent")), "\(kind): \(places)") }
        let run = try Program.csnapctl(["volume", "check", "data", "--json"] + config)
        let report = try JSONDecoder().decode(VolumeCheck.self, from: run.json)
        #expect(run.code == (service == .whole ? 0 : 1), "\(kind): \(run.output)")
        let isNamed = report.problems.contains { found in places.contains { found.text.contains("byte \($0) ") } }
        #expect(isNamed == (service != .whole), "\(kind): \(run.output)")
    }

    /// Every part of every snapshot, but for chunks that are lost: which are wrong, and how many cannot be read.
    private func read(_ losses: [VolumeCheck.Loss]) throws -> (wrong: [String], unreadable: Int) {
        var outcome = (wrong: [String](), unreadable: 0)
        for (name, model) in snapshots {
            // A lost journal takes the snapshots with it whose creation was in it.
            guard let export = try connect(name, losses) else { continue }
            for start in stride(from: 0, to: model.count, by: Self.part) {
                guard let bytes = try? export.read(offset: UInt64(start), count: Self.part) else {
                    outcome.unreadable += 1
                    continue
                }
                for offset in stride(from: 0, to: Self.part, by: Self.chunk) {
                    let chunk = (start + offset) / Self.chunk
                    if losses.contains(where: { $0.covers(chunk, of: name) }) { continue }
                    let isRight = bytes[offset..<offset + Self.chunk]
                        .elementsEqual(model[start + offset..<start + offset + Self.chunk])
                    if !isRight { outcome.wrong.append("\(name), chunk \(chunk)") }
                }
            }
            export.disconnect()
        }
        return outcome
    }

    private func connect(_ name: String, _ losses: [VolumeCheck.Loss]) throws -> NBDClient? {
        var export: NBDClient?
        try waitUntil("snap/\(name) is offered", seconds: 60) {
            export = try? volume.connect("snap/\(name)")
            return export != nil || losses.contains { $0.firstChunk == nil }
        }
        return export
    }
}

extension VolumeCheck.Loss {
    fileprivate func covers(_ chunk: Int, of snapshot: String) -> Bool {
        guard snapshots.contains(snapshot) else { return false }
        guard let firstChunk else { return true }
        return chunk >= firstChunk && endChunk.map { chunk < $0 } ?? true
    }
}
