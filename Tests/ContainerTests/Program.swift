import Foundation

/// A program that ran to its end.
struct Program {
    var exitCode: Int32
    var output: String
    var complaint: String

    /// Runs `words` and waits. The output goes to files, so that no pipe can fill up.
    static func run(_ words: [String]) throws -> Program {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        let output = try Capture()
        let complaint = try Capture()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output.handle
        process.standardError = complaint.handle
        try process.run()
        process.waitUntilExit()
        return Program(exitCode: process.terminationStatus, output: try output.text(), complaint: try complaint.text())
    }

    /// As `run`; throws what it said if it failed.
    @discardableResult
    static func output(_ words: [String]) throws -> String {
        let ended = try run(words)
        guard ended.exitCode == 0 else {
            throw ContainerFailure("\(words.joined(separator: " ")): exit \(ended.exitCode): \(ended.complaint)")
        }
        return ended.output
    }

    static func exists(_ name: String) -> Bool {
        (try? run(["sh", "-c", "command -v \(name)"]).exitCode) == 0
    }

    /// A file without a name.
    private struct Capture {
        let handle: FileHandle

        init() throws {
            let path = NSTemporaryDirectory() + "/csnap-output-" + UUID().uuidString
            guard FileManager.default.createFile(atPath: path, contents: nil),
                let handle = FileHandle(forUpdatingAtPath: path)
            else { throw ContainerFailure("cannot make \(path)") }
            try FileManager.default.removeItem(atPath: path)
            self.handle = handle
        }

        func text() throws -> String {
            try handle.seek(toOffset: 0)
            return String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
        }
    }
}

/// What the containers did not do.
struct ContainerFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
