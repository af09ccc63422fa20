import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// Somebody else's Varlink library, and somebody else's user, at the control socket.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct VarlinkLibraryTests {
    private static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    private static let python = repository + "/.build/python/bin/python3"

    /// `varlink` of PyPI in a virtual environment of the build; made by `scripts/setup test`. With CI=true the test
    /// runs, and fails, without it.
    static let hasLibrary: Bool = {
        if access(python, X_OK) == 0 { return true }
        let isForced = ProcessInfo.processInfo.environment["CI"] == "true"
        let fate = isForced ? "FAILED" : "SKIPPED"
        FileHandle.standardError.write(
            Data("Varlink library test \(fate): no \(python); run `scripts/setup test`\n".utf8))
        return isForced
    }()

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

    @Test(.enabled(if: hasLibrary)) func anotherLibraryReadsSteersAndFollows() throws {
        let agent = try LoneAgent()
        try agent.waitUntilItAnswers()
        let script = Self.repository + "/Tests/CsnapSandboxTests/varlink_client.py"
        let ended = try run(Self.python, script, agent.socket)
        #expect(ended.code == 0, "\(ended.output)")
        #expect(ended.output.hasSuffix("all is well\n"))
    }

    /// As nobody: everything may be read, nothing changed.
    @Test(.enabled(if: geteuid() == 0)) func othersMayReadAndNotChange() throws {
        let agent = try LoneAgent()
        try agent.waitUntilItAnswers()
        let tool = agent.directory + "/csnapctl"
        try FileManager.default.copyItem(atPath: Tool.directory + "/csnapctl", toPath: tool)
        for command in ["status", "why", "members", "sessions", "events", "metrics"] {
            let code = try run(
                "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", tool, command, "--socket", agent.socket
            ).code
            #expect(code == (command == "why" ? 3 : 0), "\(command)")
        }
        for command in [["found"], ["leave"], ["disable"], ["enable"], ["transfer", "2"], ["strike", "2"]] {
            let arguments =
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", tool] + command + [
                    "--socket", agent.socket,
                ]
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = arguments
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 4, "\(command)")
        }
        #expect(try AgentCaller(path: agent.socket).status().clusterUUID == nil, "nothing was founded")
    }
}
