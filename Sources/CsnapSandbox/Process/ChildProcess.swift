import CShims
import Glibc
import Synchronization

/// One process the sandbox started: it dies with the thread that started it, and is signalled through its pidfd only.
final class ChildProcess: Sendable {
    let pid: Int32
    private let descriptor: Int32
    private let status = Mutex<Int32?>(nil)

    /// `log`: where its output is appended.
    init(_ executable: String, _ arguments: [String], log: String) throws {
        let output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard output >= 0 else { throw SandboxError.system("\(log): \(lastError())") }
        defer { close(output) }
        var strings: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) }
        strings.append(nil)
        defer { for string in strings { free(string) } }
        pid = csnap_sandbox_spawn(executable, strings, output)
        guard pid > 0 else { throw SandboxError.system("\(executable): \(String(cString: strerror(-pid)))") }
        descriptor = csnap_sandbox_pidfd(pid)
        guard descriptor >= 0 else {
            kill(pid, SIGKILL)
            throw SandboxError.system("pidfd: \(String(cString: strerror(-descriptor)))")
        }
    }

    deinit { close(descriptor) }

    func send(_ signal: Int32) { _ = csnap_sandbox_signal(descriptor, signal) }

    /// Its exit code, 128 + the signal if one ended it, nil while it lives.
    var exitCode: Int32? {
        status.withLock { status in
            if let status { return status }
            var raw: Int32 = 0
            guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
            status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
            return status
        }
    }

    var isAlive: Bool { exitCode == nil }

    /// SIGKILL, and wait until it is gone.
    func end() {
        send(SIGKILL)
        while exitCode == nil { pause(milliseconds: 1) }
    }

    /// The children it has now, by /proc; a server belongs to its agent.
    func children() -> [Int32] { ChildProcess.children(of: pid) }

    static func children(of pid: Int32) -> [Int32] {
        guard let directory = opendir("/proc/\(pid)/task") else { return [] }
        defer { closedir(directory) }
        var found: [Int32] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let thread = Int32(name) else { continue }
            found += numbers(in: "/proc/\(pid)/task/\(thread)/children")
        }
        return found
    }

    private static func numbers(in path: String) -> [Int32] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[0..<count], as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
    }
}
