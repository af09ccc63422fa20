import CsnapRuntime
import Glibc

/// The bytes as a configuration file: a configuration, or problems that name file, line and key.
enum ConfigurationTarget {
    /// A file in memory, without a name.
    private static let descriptor: Int32 = {
        var path = Array("/dev/shm/csnap-fuzz-XXXXXX".utf8CString)
        defer { unlink(path) }
        return mkstemp(&path)
    }()

    static func run(_ bytes: [UInt8]) {
        guard bytes.count < 1 << 16, ftruncate(descriptor, 0) == 0 else { return }
        precondition(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
        do throws(ConfigurationError) {
            _ = try CsnapConfiguration.loadEffective(file: "/proc/self/fd/\(descriptor)", environment: [:])
        } catch {
            precondition(!error.problems.isEmpty && !"\(error)".isEmpty, "a refusal says why")
        }
    }
}
