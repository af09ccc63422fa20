import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// The agent as a service: what it tells its manager, what it does when its state cannot be written.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct ServiceTests {
    /// Private mounts need root; without it these two are skipped, which the report says.
    static let isRoot = geteuid() == 0

    @Test func readyComesWithALineThatIsTrueAndStoppingIsSaid() throws {
        let agent = try LoneAgent()
        try agent.waitUntilItAnswers()
        var notices: [String] = []
        try waitUntil("READY=1", seconds: 60) {
            notices += agent.notices()
            return notices.contains("READY=1")
        }
        #expect(notices.first?.hasPrefix("STATUS=") == true, "\(notices)")
        #expect(agent.packets() > 0, "it looks for its peers")

        kill(agent.pid, SIGHUP)
        try waitUntil("the reload is over", seconds: 60) {
            notices += agent.notices()
            return notices.filter { $0 == "READY=1" }.count == 2
        }
        #expect(notices.contains { $0.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") })

        kill(agent.pid, SIGTERM)
        #expect(agent.exitCode() == 0)
        notices += agent.notices()
        #expect(notices.contains { $0.hasPrefix("STOPPING=1\nEXTEND_TIMEOUT_USEC=") })
    }

    @Test func aReloadTakesWhatItCanAndNamesTheRest() throws {
        let agent = try LoneAgent()
        try agent.waitUntilItAnswers()
        let file = agent.directory + "/csnap.yaml"
        var text = try String(contentsOfFile: file, encoding: .utf8)
        text += "log-level: debug\nserve: false\nkey-file: /nowhere\n"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        kill(agent.pid, SIGHUP)
        try waitUntil("the reload", seconds: 60) { agent.log.contains("configuration reloaded: log-level") }
        try waitUntil("the rest", seconds: 60) {
            agent.log.contains("these need a restart of the agent: key-file, serve")
        }
        try (text + "profil: fast\n").write(toFile: file, atomically: true, encoding: .utf8)
        kill(agent.pid, SIGHUP)
        try waitUntil("a refusal", seconds: 60) { agent.log.contains("the configuration is not reloaded: ") }
        #expect(agent.log.contains("profil: there is no such key; did you mean 'profile'?"))
        #expect(try AgentCaller(path: agent.socket).status().node == 1)
    }

    @Test(.enabled(if: isRoot)) func aReadOnlyStateDirectoryIsNamedAndNoPacketLeaves() throws {
        let agent = try LoneAgent { directory in
            [
                "unshare", "--mount", "--propagation", "private", "sh", "-c",
                "mount -t tmpfs -o ro,size=64k tmpfs \(directory)/state && exec \"$@\"", "sh",
            ]
        }
        #expect(agent.exitCode() == 1)
        #expect(agent.packets() == 0)
        let notices = agent.notices()
        #expect(notices.contains { $0.hasPrefix("STATUS=cannot start: ") && $0.contains(agent.state) }, "\(notices)")
        #expect(!notices.contains("READY=1"))
        #expect(agent.log.contains("the file system is read-only"))
        #expect(agent.log.contains("`ReadWritePaths=`"), "the unit's cage looks the same")
        #expect(!agent.log.contains("runs here already"))
    }

    @Test(.enabled(if: isRoot)) func aFullStateDirectoryIsNamedAndMended() throws {
        let agent = try LoneAgent { directory in
            [
                "unshare", "--mount", "--propagation", "private", "sh", "-c",
                "mount -t tmpfs -o size=64k tmpfs \(directory)/state && exec \"$@\"", "sh",
            ]
        }
        try agent.waitUntilItAnswers()
        try AgentCaller(path: agent.socket).command("Found")
        // As the agent's own mount namespace shows it.
        let filling = "/proc/\(agent.pid)/root\(agent.state)/filling"
        let descriptor = open(filling, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        let block = [UInt8](repeating: 1, count: 4096)
        while write(descriptor, block, block.count) > 0 {}
        close(descriptor)

        // It is answered when it is stored, so not yet.
        let socket = agent.socket
        let waiting = Thread {
            _ = try? AgentCaller(path: socket).command("Disable")
        }
        waiting.start()
        func waits() throws -> [String] { try AgentCaller(path: agent.socket).status().waits.map(\.kind) }
        try waitUntil("why names the state file", seconds: 60) { try waits().contains("stateFile") }
        #expect(agent.log.contains("No space left on device"))
        #expect(unlink(filling) == 0)
        try waitUntil("it is stored", seconds: 60) {
            let waits = try waits()
            return !waits.contains("stateFile") && waits.contains("disabled")
        }
    }
}
