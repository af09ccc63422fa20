import Foundation
import Glibc
import Testing

/// Another way to a file, on FUSE, whose program can be stopped: who asks it then waits, and ends no sooner. Needs
/// root.
final class StalledDisk {
    /// With CI=true nothing may be skipped.
    static let isPossible: Bool =
        ProcessInfo.processInfo.environment["CI"] == "true"
        || (getuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0
            && ["nbdfuse", "nbdkit", "umount"].allSatisfy { access("/usr/bin/" + $0, X_OK) == 0 })

    let path: String
    private let program: pid_t

    init(of file: String, in directory: String) throws {
        path = directory + "/stalled.image"
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        program = try Self.spawn(["nbdfuse", path, "--command", "nbdkit", "-s", "file", file])
        for _ in 0..<3000 where Self.size(path) == 0 { usleep(10_000) }
        try #require(Self.size(path) > 0, "nbdfuse does not show the file")
    }

    func stall() { kill(program, SIGSTOP) }
    func resume() { kill(program, SIGCONT) }

    func close() {
        resume()
        if let umount = try? Self.spawn(["umount", "--lazy", path]) { waitpid(umount, nil, 0) }
        kill(program, SIGKILL)
        waitpid(program, nil, 0)
    }

    private static func size(_ path: String) -> Int64 {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : 0
    }

    private static func spawn(_ arguments: [String]) throws -> pid_t {
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        try #require(posix_spawnp(&pid, arguments[0], nil, nil, words, environ) == 0)
        return pid
    }
}
