import CsnapSandbox
import Foundation
import Glibc
import Testing

/// What cannot be written to standard output is not lost in silence.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct OutputTests {
    private static let program = Tool.directory + "/csnapctl"

    private final class PipeEnds {
        private(set) var input: Int32
        let output: Int32

        init() throws {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            for end in ends { #expect(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
            (input, output) = (ends[0], ends[1])
        }

        deinit { stopReading() }

        func stopReading() {
            if input >= 0 { close(input) }
            input = -1
        }
    }

    /// Its standard output is the pipe, which has no other writer then.
    private func start(_ words: [String], _ pipe: PipeEnds, errors: Pipe = Pipe()) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.program)
        process.arguments = words
        process.standardOutput = FileHandle(fileDescriptor: pipe.output, closeOnDealloc: false)
        process.standardError = errors
        try process.run()
        close(pipe.output)
        return process
    }

    @Test func aFullDiskIsAFailureWithItsReason() throws {
        let run = try Program.run("/bin/sh", ["-c", "exec \"$0\" completion bash > /dev/full", Self.program])
        #expect(run.code == 1 && run.output == "csnapctl: standard output: No space left on device\n", "\(run.output)")
    }

    @Test func aPipeThatDoesNotBlockGetsAll() throws {
        let pipe = try PipeEnds()
        // F_SETPIPE_SZ
        #expect(fcntl(pipe.output, 1031, 4096) == 4096 && fcntl(pipe.output, F_SETFL, O_NONBLOCK) == 0)
        let process = try start(["completion", "bash"], pipe)
        try waitUntil("the pipe is full", seconds: 60) {
            var count: Int32 = 0
            return ioctl(pipe.input, UInt(FIONREAD), &count) == 0 && count == 4096
        }
        let said = try FileHandle(fileDescriptor: pipe.input, closeOnDealloc: false).readToEnd()
        process.waitUntilExit()
        let whole = try Program.csnapctl(["completion", "bash"]).output
        #expect(process.terminationStatus == 0 && whole.utf8.count > 8192 && said == Data(whole.utf8))
    }

    /// Also when there is nothing to be said.
    @Test func whoStopsReadingEndsWhatGoesOn() throws {
        let agent = try LoneAgent()
        try agent.waitUntilItAnswers()
        for words in [["events", "--follow"], ["status", "--watch"]] {
            let (pipe, errors) = (try PipeEnds(), Pipe())
            let process = try start(words + ["--socket", agent.socket], pipe, errors: errors)
            defer { if process.isRunning { process.terminate() } }
            var line = [UInt8](repeating: 0, count: 16)
            if words[0] == "status" { #expect(read(pipe.input, &line, line.count) > 0) }
            pipe.stopReading()
            try waitUntil("\(words[0]) ends", seconds: 30) { !process.isRunning }
            #expect(process.terminationReason == .exit && process.terminationStatus == 1)
            #expect(try errors.fileHandleForReading.readToEnd() ?? Data() == Data())
        }
    }
}
