import CsnapSandbox
import Foundation
import Testing

/// `make install` into an empty directory gives a system that systemd and man accept.
@Suite(.enabled(if: Tool.isBuilt), .timeLimit(.minutes(3)))
struct InstallTests {
    private static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// Exit code, and all it said.
    private func run(_ words: String...) throws -> (code: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    private func installed(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/csnap-install-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        let prefix = String(cString: made)
        defer { try? FileManager.default.removeItem(atPath: prefix) }
        let make = try run(
            "make", "-C", Self.repository, "install", "DESTDIR=", "PREFIX=\(prefix)", "BIN=\(Tool.directory)")
        #expect(make.code == 0, "\(make.output)")
        try body(prefix)
    }

    @Test func everythingIsThereAndTheUnitsNameIt() throws {
        try installed { prefix in
            for file in [
                "sbin/csnap-agent", "sbin/csnap-server", "sbin/csnap-client", "bin/csnapctl",
                "lib/sysusers.d/csnap.conf", "lib/tmpfiles.d/csnap.conf", "lib/systemd/catalog/csnap.catalog",
                "lib/systemd/system-preset/80-csnap.preset", "share/man/man5/csnap.yaml.5",
                "share/bash-completion/completions/csnapctl", "share/zsh/site-functions/_csnapctl",
                "share/fish/vendor_completions.d/csnapctl.fish",
            ] {
                #expect(access("\(prefix)/\(file)", R_OK) == 0, "\(file) is missing")
            }
            let units = ["csnap-agent", "csnap-client@", "csnap-snapshot@"].map {
                "\(prefix)/lib/systemd/system/\($0).service"
            }
            for (unit, program) in zip(units, ["sbin/csnap-agent", "sbin/csnap-client", "bin/csnapctl"]) {
                let text = try String(contentsOfFile: unit, encoding: .utf8)
                #expect(text.contains("ExecStart=\(prefix)/\(program) "))
            }
            for unit in units[..<2] {
                let text = try String(contentsOfFile: unit, encoding: .utf8)
                let before = text.matches(of: #/(?m)^After=(.*)$/#).flatMap { $0.1.split(separator: " ") }
                for disks in ["remote-fs-pre.target", "iscsid", "open-iscsi", "iscsi", "multipathd"] {
                    // Else a shutdown takes the disks away from whoever still writes. An agent waits for no disk: its
                    // vote may be needed.
                    let isAfter = before.contains { $0 == disks || $0 == disks + ".service" }
                    #expect(isAfter == unit.contains("client"), "\(unit): \(disks)")
                }
                // Else NOTIFY_SOCKET is not set, and `ServiceManager.waitBeforeNextTry` waits for nobody.
                #expect(text.contains("\nNotifyAccess=main\n"), "\(unit)")
            }
            let timer = "\(prefix)/lib/systemd/system/csnap-snapshot@.timer"
            let verified = try run("systemd-analyze", "verify", "--man=no", units[0], units[1], units[2], timer)
            #expect(verified.code == 0)
            // Of the machine's own units it may say what it likes.
            #expect(!verified.output.contains("csnap"), "\(verified.output)")
            for (unit, threshold) in zip(units, [20, 30, 20]) {
                let security = try run(
                    "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=\(threshold)", unit)
                #expect(security.code == 0, "\(security.output.suffix(200))")
            }
            let users = try run("systemd-sysusers", "--dry-run", prefix + "/lib/sysusers.d/csnap.conf")
            #expect(users.code == 0, "\(users.output)")
        }
    }

    @Test func theManualsAreSound() throws {
        for page in ["csnapctl.1", "csnap.yaml.5", "csnap-agent.8", "csnap-server.8", "csnap-client.8"] {
            let shown = try run("sh", "-c", "man -l --warnings \(Self.repository)/docs/man/\(page) 2>&1 >/dev/null")
            #expect(shown.code == 0 && shown.output == "", "\(page): \(shown.output)")
        }
    }

    /// Usage, manual and completion come from the same declarations; the manual is written by hand, so it is compared.
    @Test func theManualKnowsEveryCommandAndOption() throws {
        let manual = try String(contentsOfFile: Self.repository + "/docs/man/csnapctl.1", encoding: .utf8)
        let words = Set(manual.split { !$0.isLetter && $0 != "-" }.map(String.init))
        let help = try run(Tool.directory + "/csnapctl", "--help").output
        let commands = help.matches(of: #/(?m)^  ([a-z]+) {2,}/#).map { String($0.1) }.filter { $0 != "help" }
        #expect(commands.count >= 15)
        for command in commands {
            #expect(words.contains(command), "\(command) is not in the manual")
            let help = try run(Tool.directory + "/csnapctl", command, "--help").output
            for option in help.matches(of: #/(?m)^  --([a-z-]+)/#).map({ String($0.1) }) {
                #expect(words.contains(option), "\(command) --\(option) is not in the manual")
            }
        }
        for shell in ["bash", "zsh", "fish"] {
            let completion = try run(Tool.directory + "/csnapctl", "completion", shell)
            #expect(completion.code == 0)
            for command in commands { #expect(completion.output.contains(command), "\(shell): \(command)") }
        }
    }
}
