import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// Programs of others read snapshots of a living volume: equal bytes, whatever happened to the origin since.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct SnapshotForeignTests {
    /// Ranges that begin and end inside of chunks, cross them, and touch both ends of the volume.
    static let layers: [[Range<Int>]] = [
        [0..<1 << 20, (5 << 20) + 512..<(7 << 20) + 1024, LoneVolume.size - 8192..<LoneVolume.size],
        [4096..<8192, (6 << 20)..<(9 << 20), (20 << 20)..<(20 << 20) + 512],
        [0..<2 << 20, (6 << 20) + 512..<(6 << 20) + 1536, LoneVolume.size - 512..<LoneVolume.size],
    ]

    /// Snapshots `0` and `1` below two later layers, and their images.
    private func twoSnapshots(_ volume: LoneVolume) throws -> [Data] {
        var model = Data(count: LoneVolume.size)
        var images: [Data] = []
        for (index, layer) in Self.layers.enumerated() {
            try volume.write(layer, &model)
            if index < 2 { try volume.snapshot("\(index)") }
            images.append(model)
        }
        return images
    }

    @Test func copiersSeeTheImage() throws {
        let volume = try LoneVolume()
        let images = try twoSnapshots(volume)
        for (index, image) in images.prefix(2).enumerated() {
            let uri = volume.uri("snap/\(index)")
            let copies = [
                ("qemu-img", ["convert", "-f", "raw", "-O", "raw", uri]),
                ("qemu-img", ["convert", "-n", "-W", "-m", "16", "-f", "raw", "-O", "raw", uri]),
                ("nbdcopy", ["--requests=64", "--connections=4", uri]),
            ]
            for (number, (tool, words)) in copies.enumerated() {
                let copy = "\(volume.directory)/copy-\(index)-\(number)"
                try SandboxDirectory.makeSparse(copy, size: UInt64(image.count))
                guard let run = try Foreign.run(tool, words + [copy]) else { continue }
                #expect(run.code == 0, "\(tool): \(run.output)")
                #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == image, "\(words)")
            }
            if let run = try Foreign.run("qemu-img", ["compare", "-f", "raw", "-F", "raw", uri, volume.uri("origin")]) {
                #expect(run.code == 1 && run.output.contains("Content mismatch"), "\(run.output)")
            }
        }
    }

    @Test func mapsCoverTheImage() throws {
        let volume = try LoneVolume()
        _ = try twoSnapshots(volume)
        guard let run = try Foreign.run("nbdinfo", ["--map", volume.uri("snap/0")]) else { return }
        #expect(run.code == 0, "\(run.output)")
        // Offset, length, type, words.
        var end = 0
        for line in run.output.split(separator: "\n") {
            let fields = line.split(separator: " ")
            #expect(Int(fields[0]) == end)
            end += Int(fields[1]) ?? 0
        }
        #expect(end == LoneVolume.size)
        let info = try #require(try Foreign.run("nbdinfo", [volume.uri("snap/0")]))
        for fact in ["is_read_only: true", "export-size: 33554432", "base:allocation", "block_size_preferred: 65536"] {
            #expect(info.output.contains(fact), "\(fact) is missing in\n\(info.output)")
        }
        let write = try Foreign.run("qemu-io", ["-f", "raw", "-c", "write 0 4k", volume.uri("snap/0")])
        #expect(write?.code == 1, "a snapshot was written: \(write?.output ?? "")")
    }

    /// Whole chunks that these writes touch, as (offset, length) of runs.
    private func chunks(_ writes: [Range<Int>]) -> [[Int]] {
        let chunk = 64 << 10
        let numbers = Set(writes.flatMap { $0.lowerBound / chunk...($0.upperBound - 1) / chunk }).sorted()
        var runs: [[Int]] = []
        for number in numbers {
            if let last = runs.last, last[0] + last[1] == number * chunk {
                runs[runs.count - 1][1] += chunk
            } else {
                runs.append([number * chunk, chunk])
            }
        }
        return runs
    }

    @Test func whatChangedIsAMetadataContext() throws {
        let volume = try LoneVolume()
        _ = try twoSnapshots(volume)
        let changed = chunks(Self.layers[1])
        let context = "csnap:changed-since:0"
        if let run = try Foreign.run("nbdinfo", ["--map=\(context)", volume.uri("snap/1")]) {
            #expect(run.code == 0, "\(run.output)")
            let lines = run.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(
                lines.filter { $0[2] == "1" }.map { $0.prefix(2).compactMap { Int($0) } } == changed, "\(run.output)")
            #expect(lines.reduce(0) { $0 + (Int($1[1]) ?? 0) } == LoneVolume.size)
        }
        if let run = try Foreign.run("nbdinfo", [volume.uri("snap/1")]) {
            #expect(run.output.contains(context) && !run.output.contains("since:1"), "\(run.output)")
        }
        if let run = try Foreign.run("nbdinfo", ["--map=\(context)", volume.uri("snap/0")]) {
            #expect(run.code != 0, "an image has no changes since itself")
        }
        // QEMU reads such a context as a dirty bitmap: what is dirty looks like no data.
        let options = "driver=nbd,server.type=unix,server.path=\(volume.nbd),export=snap/1,x-dirty-bitmap=\(context)"
        if let run = try Foreign.run("qemu-img", ["map", "--output=json", "--image-opts", options]) {
            struct Run: Decodable {
                var start: Int
                var length: Int
                var data: Bool
            }
            let runs = try JSONDecoder().decode([Run].self, from: Data(run.output.utf8))
            #expect(runs.filter { !$0.data }.map { [$0.start, $0.length] } == changed, "\(run.output)")
        }
    }

    @Test func csnapctlListsWhatChanged() throws {
        let volume = try LoneVolume()
        _ = try twoSnapshots(volume)
        func diff(_ words: String...) throws -> (code: Int32?, lines: [[Int]]) {
            let tool = try Tool(["snapshot", "diff", "--socket", volume.socket] + words)
            let code = try tool.exitCode(seconds: 60)
            let lines = tool.output.split(separator: "\n").map { $0.split(separator: "\t").compactMap { Int($0) } }
            return (code, lines)
        }
        #expect(try diff("0", "1") == (0, chunks(Self.layers[1])))
        #expect(try diff("1") == (0, chunks(Self.layers[2])))
        #expect(try diff("0") == (0, chunks(Self.layers[1] + Self.layers[2])))
        #expect(try diff("1", "0").code == 4)
        #expect(try diff("none").code == 4)
        let tool = try Tool(["snapshot", "diff", "0", "1", "--json", "--socket", volume.socket])
        #expect(try tool.exitCode(seconds: 60) == 0)
        let report = try JSON.decode(JSONValue.self, from: Array(tool.lastLine.utf8))
        #expect(report["from"] == .string("0") && report["to"] == .string("1"))
        #expect(report["size"] == .integer(Int64(LoneVolume.size)) && report["chunkSize"] == .integer(65536))
        #expect(report["changedBytes"] == .integer(Int64(chunks(Self.layers[1]).reduce(0) { $0 + $1[1] })))
    }

    /// What fio wrote and snapshotted verifies after it was overwritten, and while the server dies.
    @Test func fioVerifiesAnOverwrittenImage() throws {
        let volume = try LoneVolume()
        func fio(_ export: String, _ words: String...) throws -> Program.Run? {
            try Foreign.run(
                "fio",
                ["--name=v", "--ioengine=nbd", "--uri=\(volume.uri(export))", "--bs=4k", "--iodepth=16", "--size=4M"]
                    + ["--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"] + words)
        }
        guard let written = try fio("origin", "--rw=randwrite", "--do_verify=0", "--randseed=1") else { return }
        if written.output.contains("engine nbd not loadable") {
            return print("SKIPPED: this fio has no nbd engine; no test against it was made")
        }
        #expect(written.code == 0, "\(written.output)")
        try volume.snapshot("fio")
        var ignored = Data(count: LoneVolume.size)
        try volume.write([0..<2 << 20], &ignored)
        try volume.killServer()
        let verified = try #require(try fio("snap/fio", "--rw=read"))
        #expect(verified.code == 0 && verified.output.contains("err= 0"), "\(verified.output)")
        let other = try #require(try fio("origin", "--rw=read"))
        #expect(other.code != 0, "the origin was overwritten, so this must not verify")
    }
}
