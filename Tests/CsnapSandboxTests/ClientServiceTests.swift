import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// csnap-client as a service: its words have fields, and SIGHUP takes what it can and names the rest.
@Suite(.enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct ClientServiceTests {
    @Test func aReloadTakesWhatItCanAndNamesTheRest() throws {
        let directory = "/var/tmp/csnap-client-service-\(getpid())"
        try FileManager.default.createDirectory(atPath: directory + "/state", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let origin = open(directory + "/origin", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        #expect(ftruncate(origin, 4 << 20) == 0)
        close(origin)
        let file = directory + "/csnap.yaml"
        func write(_ volume: String, _ more: String = "") throws {
            let text = """
                cluster: lone
                node: 1
                listen: 127.0.0.1:7411
                insecure: true
                state-directory: \(directory)/state
                runtime-directory: \(directory)
                volumes:
                  \(volume): { origin: \(directory)/origin, store: \(directory)/store }
                \(more)
                """
            try text.write(toFile: file, atomically: true, encoding: .utf8)
        }
        try write("data")
        let log = directory + "/log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        func said(_ words: String) -> Bool {
            (try? String(contentsOfFile: log, encoding: .utf8))?.contains(words) == true
        }
        let client = Process()
        client.executableURL = URL(fileURLWithPath: Tool.directory + "/csnap-client")
        client.arguments = ["--config", file, "--volume", "data"]
        client.standardError = FileHandle(forWritingAtPath: log)
        // As if a request of a dead predecessor were still at the disk.
        let held = try OriginLock.Proof(directory + "/origin", node: NodeID(1))
        // The test's own thread blocks signals, which a child inherits; a service has none blocked.
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        let started = Result { try client.run() }
        pthread_sigmask(SIG_SETMASK, &before, nil)
        try started.get()
        defer {
            if client.isRunning { kill(client.processIdentifier, SIGKILL) }
            client.waitUntilExit()
        }
        try waitUntil("it has its volume", seconds: 60) {
            (try? String(contentsOfFile: directory + "/client-data.lock", encoding: .utf8))?.contains("process") == true
        }
        kill(client.processIdentifier, SIGHUP)
        _ = consume held
        try waitUntil("a reload that came early", seconds: 60) { said("configuration reloaded: nothing new") }
        try waitUntil("it serves", seconds: 60) { said("notice: serving \(directory)/origin") }
        #expect(said("(volume=data)"))

        try write("data", "log-level: debug\nprofile: fast\nkey-file: /nowhere")
        kill(client.processIdentifier, SIGHUP)
        try waitUntil("the reload", seconds: 60) { said("configuration reloaded: log-level") }
        try waitUntil("the rest", seconds: 60) { said("breaks its NBD connections: key-file (") }

        try write("other")
        kill(client.processIdentifier, SIGHUP)
        try waitUntil("a refusal", seconds: 60) { said("volume data is gone from it") }

        #expect(client.isRunning)
        kill(client.processIdentifier, SIGTERM)
        client.waitUntilExit()
        #expect(client.terminationStatus == 0)
        #expect(said("notice: stopped (volume=data)"))
    }
}
