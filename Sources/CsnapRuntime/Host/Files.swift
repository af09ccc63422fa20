package import Glibc

/// Whole-file reads and small helpers on descriptors, bounded and without Foundation.
package enum Files {
    /// All bytes of a regular file of at most `limit` bytes.
    package static func read(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("cannot open", path) }
        defer { close(descriptor) }
        return try read(descriptor: descriptor, path: path, limit: limit)
    }

    /// The text of a small file without white space; nil if there is none.
    static func word(_ path: String, limit: Int) throws(SystemError) -> String? {
        do throws(SystemError) {
            return String(decoding: try read(path, limit: limit), as: UTF8.self).filter { !$0.isWhitespace }
        } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
    }

    /// What is left to read of a descriptor; EFBIG if it is more than `limit`.
    package static func read(descriptor: Int32, path: String, limit: Int) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("cannot read", path) }
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else { throw SystemError("cannot read", path, code: EFBIG) }
            bytes += chunk[..<count]
        }
    }

    /// What one read(2) of a stream brings, and 0 or its errno; nothing and 0 at the end. Not filled with zeros first:
    /// most of what comes is short.
    static func readSome(_ descriptor: Int32, atMost size: Int) -> (bytes: [UInt8], code: Int32) {
        var code: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            repeat {
                let result = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                count = max(result, 0)
                code = result < 0 ? errno : 0
            } while code == EINTR
        }
        return (bytes, code)
    }

    package static func writeAll(_ bytes: [UInt8], descriptor: Int32, path: String) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("cannot write", path) }
            written += count
        }
    }

    /// The program that runs here.
    package static var ownExecutable: String? { link("/proc/self/exe") }

    /// Where a symbolic link points to; nil if it is none.
    package static func link(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { readlink(path, $0, bytes.count) } ?? -1
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Makes the directory if it is missing; its parent must exist.
    package static func ensureDirectory(_ path: String, mode: mode_t = 0o750) throws(SystemError) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        throw SystemError("cannot make the directory", path)
    }

    /// Names in a directory, sorted; empty if there is no such directory.
    package static func names(in path: String) throws(SystemError) -> [String] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw SystemError("cannot list", path)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
