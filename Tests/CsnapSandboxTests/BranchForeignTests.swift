import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// Programs of others write a branch and read it back, through the deaths of servers, and its snapshot stays as it is.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct BranchForeignTests {
    /// Part of it is data, the rest zeros; with the parts at other places for each `shift`.
    private func image(_ shift: Int) -> Data {
        var image = Data(count: LoneVolume.size)
        for start in stride(from: shift << 20, to: LoneVolume.size - (1 << 20), by: 5 << 20) {
            var bytes = [UInt8](repeating: 0, count: 1 << 20 + 512)
            arc4random_buf(&bytes, bytes.count)
            image.replaceSubrange(start..<start + min(bytes.count, image.count - start), with: bytes)
        }
        return image
    }

    /// A branch `try` of a snapshot `base`, whose image this is; the origin was overwritten since.
    private func branched() throws -> (LoneVolume, Data) {
        let volume = try LoneVolume()
        var base = Data(count: LoneVolume.size)
        try volume.write([0..<1 << 20, (5 << 20) + 512..<7 << 20, LoneVolume.size - 8192..<LoneVolume.size], &base)
        try volume.snapshot("base")
        var ignored = base
        try volume.write([0..<2 << 20], &ignored)
        try volume.branch("try", of: "base")
        return (volume, base)
    }

    private func expect(_ export: String, _ image: Data, _ volume: LoneVolume, _ what: String = "") throws {
        let device = try volume.connect("snap/\(export)")
        let part = 1 << 20
        for start in stride(from: 0, to: image.count, by: part) {
            let bytes = try device.read(offset: UInt64(start), count: part)
            #expect(bytes.elementsEqual(image[start..<start + part]), "\(export) at \(start) \(what)")
        }
        device.disconnect()
    }

    @Test func copiersWriteAndReadIt() throws {
        let (volume, base) = try branched()
        let uri = volume.uri("snap/try")
        let file = volume.directory + "/file"
        let copies = [
            ("qemu-img", ["convert", "-n", "-W", "-m", "16", "-f", "raw", "-O", "raw"]),
            ("nbdcopy", ["--requests=64", "--connections=4", "--flush"]),
        ]
        for (number, (tool, words)) in copies.enumerated() {
            let image = image(number)
            try image.write(to: URL(fileURLWithPath: file))
            let server = try #require(try volume.status().serverPid)
            Thread.detachNewThread {
                pause(milliseconds: 150)
                kill(server, SIGKILL)
            }
            guard let onto = try Foreign.run(tool, words + [file, uri]) else { continue }
            #expect(onto.code == 0, "\(tool): \(onto.output)")
            try expect("try", image, volume, "after \(tool) \(words)")
            let copy = "\(volume.directory)/copy-\(number)"
            try SandboxDirectory.makeSparse(copy, size: UInt64(image.count))
            let from = try #require(try Foreign.run(tool, words + [uri, copy]))
            #expect(from.code == 0, "\(tool): \(from.output)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == image, "\(words)")
        }
        try expect("base", base, volume)
    }

    @Test func itsFlagsAreThoseOfADisk() throws {
        let (volume, _) = try branched()
        guard let info = try Foreign.run("nbdinfo", [volume.uri("snap/try")]) else { return }
        for fact in [
            "is_read_only: false", "can_flush: true", "can_fua: true", "can_trim: true", "can_zero: true",
            "can_multi_conn: true", "export-size: 33554432", "block_size_preferred: 65536", "branch try of volume data",
        ] {
            #expect(info.output.contains(fact), "\(fact) is missing in\n\(info.output)")
        }
        #expect(!info.output.contains("changed-since"), "it changes at any time\n\(info.output)")
        let commands = ["write -f 0 4k", "write -z 64k 100k", "discard 0 64k", "flush", "read -P 0 64k 100k"]
        let words = commands.flatMap { ["-c", $0] }
        let run = try Foreign.run("qemu-io", ["-f", "raw"] + words + [volume.uri("snap/try")])
        #expect(run?.code ?? 0 == 0, "\(run?.output ?? "")")
    }

    @Test func fioVerifiesWhatItWrote() throws {
        let (volume, base) = try branched()
        func fio(_ words: String...) throws -> Program.Run? {
            try Foreign.run(
                "fio",
                ["--name=v", "--ioengine=nbd", "--uri=\(volume.uri("snap/try"))", "--bs=4k", "--iodepth=16"]
                    + ["--size=2M", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"] + words)
        }
        let server = try #require(try volume.status().serverPid)
        Thread.detachNewThread {
            pause(milliseconds: 500)
            kill(server, SIGKILL)
        }
        guard let written = try fio("--rw=randwrite", "--do_verify=1", "--randseed=1") else { return }
        if written.output.contains("engine nbd not loadable") {
            return print("SKIPPED: this fio has no nbd engine; no test against it was made")
        }
        #expect(written.code == 0 && written.output.contains("err= 0"), "\(written.output)")
        try volume.killServer()
        let verified = try #require(try fio("--rw=read"))
        #expect(verified.code == 0 && verified.output.contains("err= 0"), "\(verified.output)")
        try expect("base", base, volume)
    }
}
