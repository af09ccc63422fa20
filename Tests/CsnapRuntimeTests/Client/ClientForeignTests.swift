import CsnapCore
import CsnapRuntime
import Foundation
import Testing

/// Programs of others against a living client daemon: what they read, write and think of it.
@Suite(.serialized) struct ClientForeignTests {
    static let tools = ["nbdinfo", "nbdcopy", "qemu-io", "qemu-img", "fio"]

    struct Run {
        var status: Int32
        var output: String
    }

    static func path(_ tool: String) -> String? {
        ["/usr/bin/", "/usr/local/bin/", "/bin/"].map { $0 + tool }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Nil, and said aloud, if the tool is not installed.
    static func run(_ tool: String, _ arguments: [String]) throws -> Run? {
        guard let path = path(tool) else {
            print("SKIPPED: \(tool) is not installed; no test against it was made")
            return nil
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Run(status: process.terminationStatus, output: String(decoding: output, as: UTF8.self))
    }

    static func random(_ count: Int) -> Data {
        var data = Data(count: count)
        data.withUnsafeMutableBytes { bytes in
            if let start = bytes.baseAddress { arc4random_buf(start, bytes.count) }
        }
        return data
    }

    func serving(size: UInt64 = ClientRig.size) throws -> ClientRig {
        let rig = try ClientRig(size: size)
        let tenure = ClientRig.tenure(1)
        #expect(rig.attach(tenure))
        rig.resume(tenure)
        return rig
    }

    func uri(_ rig: ClientRig, _ export: String = "origin") -> String { "nbd+unix:///\(export)?socket=\(rig.socket)" }

    @Test func nbdinfoReadsTheExport() throws {
        let rig = try serving()
        if let run = try Self.run("nbdinfo", [uri(rig)]) {
            #expect(run.status == 0, "\(run.output)")
            for fact in [
                "newstyle-fixed", "export=\"origin\"", "export-size: 8388608", "can_multi_conn: true", "can_fua: true",
                "can_trim: true", "can_zero: true", "can_flush: true", "is_read_only: false", "base:allocation",
                "block_size_minimum: 512", "block_size_maximum: 33554432",
            ] { #expect(run.output.contains(fact), "\(fact) is missing in\n\(run.output)") }
        }
        if let run = try Self.run("nbdinfo", ["--list", "nbd+unix:///?socket=\(rig.socket)"]) {
            #expect(run.status == 0 && run.output.contains("export=\"origin\""), "\(run.output)")
        }
        if let run = try Self.run("nbdinfo", ["--map", uri(rig, "")]) {
            #expect(run.status == 0 && run.output.contains("8388608"), "\(run.output)")
        }
        if let run = try Self.run("nbdinfo", [uri(rig, "nothing")]) { #expect(run.status != 0) }
        #expect(rig.stop())
    }

    @Test func nbdcopyCopiesThereAndBack() throws {
        let rig = try serving()
        let source = rig.directory + "/source"
        let copy = rig.directory + "/copy"
        var data = Self.random(Int(ClientRig.size))
        data.resetBytes(in: (3 << 20)..<(4 << 20))
        try data.write(to: URL(fileURLWithPath: source))
        if let run = try Self.run("nbdcopy", ["--flush", source, uri(rig)]) {
            #expect(run.status == 0, "\(run.output)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: rig.origin)) == data)
            let back = try Self.run("nbdcopy", [uri(rig), copy])
            #expect(back?.status == 0, "\(back?.output ?? "")")
            #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == data)
        }
        unlink(source)
        unlink(copy)
        #expect(rig.stop())
    }

    @Test func qemuWritesReadsTrimsAndZeroes() throws {
        let rig = try serving()
        let commands = [
            "write -P 0x11 0 1M", "write -f -P 0x22 64k 4k", "read -P 0x11 0 64k", "read -P 0x22 64k 4k", "flush",
            "write -z 128k 64k", "read -P 0 128k 64k", "write -z -u 256k 64k", "read -P 0 256k 64k",
            "discard 512k 64k", "aio_write -P 0x33 2M 512k", "aio_write -P 0x44 3M 512k", "aio_flush",
            "read -P 0x33 2M 512k", "read -P 0x44 3M 512k",
        ]
        let arguments = ["-f", "raw"] + commands.flatMap { ["-c", $0] } + [uri(rig)]
        if let run = try Self.run("qemu-io", arguments) {
            #expect(run.status == 0, "\(run.output)")
            #expect(!run.output.contains("rror") && !run.output.contains("failed"), "\(run.output)")
            #expect(rig.stored(65536, 4096) == [UInt8](repeating: 0x22, count: 4096))
        }
        if let run = try Self.run("qemu-img", ["map", "-f", "raw", uri(rig)]) {
            #expect(run.status == 0, "\(run.output)")
        }
        #expect(rig.stop())
    }

    @Test func fioVerifiesRandomWrites() throws {
        let rig = try serving()
        let arguments = [
            "--name=v", "--ioengine=nbd", "--uri=\(uri(rig))", "--rw=randwrite", "--bs=4k", "--iodepth=16",
            "--size=4M", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0",
        ]
        if let run = try Self.run("fio", arguments) {
            if run.output.contains("engine nbd not loadable") || run.output.contains("Unknown ioengine") {
                print("SKIPPED: this fio has no nbd engine; no test against it was made")
            } else {
                #expect(run.status == 0, "\(run.output)")
                #expect(run.output.contains("err= 0"), "\(run.output)")
            }
        }
        #expect(rig.stop())
    }

    /// A copy runs while the gate closes and opens, server and lease change: slower, never wrong, never an error.
    @Test func aCopySurvivesFailOvers() throws {
        let rig = try serving(size: 64 << 20)
        let source = rig.directory + "/source"
        let data = Self.random(64 << 20)
        try data.write(to: URL(fileURLWithPath: source))
        let stop = Stop()
        let movements = Stop()
        let agent = rig
        Wire.thread {
            for epoch in UInt64(2)...200 where !stop.isSet {
                let tenure = ClientRig.tenure(epoch)
                guard agent.attach(tenure) else { break }
                agent.resume(tenure, lease: .milliseconds(30))
                agent.server.cut()
                usleep(20_000)
            }
            let last = ClientRig.tenure(1000)
            if agent.attach(last) { agent.resume(last) }
            movements.set()
        }
        // From the second session on leases are short.
        #expect(eventually { rig.server.hellos.count >= 2 })
        if let run = try Self.run("nbdcopy", ["--flush", "--requests=4", source, uri(rig)]) {
            #expect(run.status == 0, "\(run.output)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: rig.origin)) == data)
        }
        stop.set()
        #expect(eventually { movements.isSet })
        #expect(rig.server.hellos.count > 10)
        unlink(source)
        #expect(rig.stop())
    }
}
