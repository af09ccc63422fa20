import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// What is refused and changes nothing exits with 4, what was typed wrongly with 2 (docs/troubleshooting.md).
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct RefusedCommandTests {
    @Test(
        arguments: [
            ("512", 512), ("64K", 64 << 10), ("3m", 3 << 20), ("2G", 2 << 30), ("1T", 1 << 40), ("", nil), ("G", nil),
            ("1.5G", nil), ("-1", nil), ("99999999999T", nil),
        ] as [(String, UInt64?)])
    func sizes(text: String, bytes: UInt64?) { #expect(ByteCount(argument: text)?.value == bytes) }

    @Test func filesThatAreThereAreRefused() throws {
        let directory = "/var/tmp/csnap-refused-\(getpid())"
        #expect(mkdir(directory, 0o755) == 0)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let (origin, store, key) = (directory + "/origin", directory + "/store", directory + "/key")
        try SandboxDirectory.makeSparse(origin, size: 16 << 20)
        let create = ["volume", "create", "data", "--origin", origin, "--store", store, "--size", "80M"]
        #expect(try Program.csnapctl(create).code == 0)
        #expect(try FileManager.default.attributesOfItem(atPath: store)[.size] as? UInt64 == 80 << 20)
        let again = try Program.csnapctl(create)
        #expect(again.code == 4 && again.output.contains("holds a snapshot store already"), "\(again.output)")
        let wrong = try Program.csnapctl(create.dropLast() + ["much"])
        #expect(wrong.code == 2, "\(wrong.output)")
        // No file may have a byte.
        let full = "trap '' XFSZ; ulimit -f 0; exec \"$0\" key generate \"$1\""
        let vain = try Program.run("/bin/sh", ["-c", full, Tool.directory + "/csnapctl", key])
        #expect(vain.code == 1 && vain.output.contains("File too large"), "\(vain.output)")
        #expect(try Program.csnapctl(["key", "generate", key]).code == 0)
        #expect(try Program.csnapctl(["key", "generate", key]).code == 4)
        let early = try Program.csnapctl(["key", "rotate", "finish", key])
        #expect(early.code == 4 && early.output.contains("start with `begin`"), "\(early.output)")
    }

    /// It returns when the node serves; the voters are shown when they have changed.
    @Test func aTransferIsDoneWhenItReturns() throws {
        try withThreeVoters { group, _ in
            let socket = ["--socket", group.directory.controlSocket(1)]
            for node in [2, 3, 1] as [UInt32] {
                let run = try Program.csnapctl(["transfer", "\(node)"] + socket)
                #expect(run.code == 0, "\(run.output)")
                let status = try #require(group.status(1))
                #expect(status.server == node && status.phase == "active")
            }
            let healthy = try Program.csnapctl(["strike", "2"] + socket)
            #expect(healthy.code == 4 && healthy.output.contains("`csnapctl strike 2 --anyway`"), "\(healthy.output)")
            #expect(group.status(1)?.admissions.allSatisfy { $0.status == "admitted" } == true)
            let same = try Program.csnapctl(["voters", "replace", "9", "2"] + socket)
            #expect(same.code == 0 && same.output == "voters: 1, 2, 3\n", "nothing was to be done, and that is shown")
            let wrong = try Program.csnapctl(["transfer", "0"] + socket)
            #expect(wrong.code == 2, "\(wrong.output)")
        }
    }
}
