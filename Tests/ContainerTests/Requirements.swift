import Foundation
import Testing

/// What this machine must have for containers with systemd as PID 1.
enum Requirements {
    /// With CI=true nothing may be skipped.
    static var mustRun: Bool { ProcessInfo.processInfo.environment["CI"] == "true" }

    /// Why the containers cannot run here; nil if they can.
    static let unmet: String? = {
        if getuid() != 0 { return "the containers need root: run `sudo make containers`" }
        let missing = ["systemd-nspawn", "debootstrap", "nsenter", "unshare", "ip", "flock", "make"]
            .filter { !Program.exists($0) }
        if !missing.isEmpty {
            return "missing: \(missing.joined(separator: ", ")). `scripts/setup test` installs them"
        }
        for file in ["csnap-agent", "csnap-server", "csnap-client", "csnapctl"]
        where access(binaries + "/" + file, X_OK) != 0 {
            return "no \(file) in \(binaries): run `make build`, or set CSNAP_BIN"
        }
        do {
            try Program.output(["unshare", "--mount", "--propagation", "private", "true"])
        } catch {
            return "no mount namespaces here: \(error)"
        }
        return nil
    }()

    /// Whether the tests run: what is unmet is said aloud, and fails them where nothing may be skipped.
    static let areMet: Bool = {
        guard let unmet else { return true }
        let fate = mustRun ? "FAILED" : "SKIPPED"
        FileHandle.standardError.write(Data("container tests \(fate): \(unmet)\n".utf8))
        return mustRun
    }()

    /// Why the tests are skipped, for their report.
    static var comment: Comment { Comment(rawValue: unmet ?? "they can run") }

    /// The root of the repository.
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// Of $CSNAP_BIN, else of the release build, else of the debug build.
    static let binaries: String = {
        if let named = ProcessInfo.processInfo.environment["CSNAP_BIN"] { return named }
        let release = repository + "/.build/release"
        return access(release + "/csnap-agent", X_OK) == 0 ? release : repository + "/.build/debug"
    }()
}
