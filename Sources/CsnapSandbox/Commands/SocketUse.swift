import Glibc

/// Who is connected to a Unix socket, by the kernel's list of them.
package enum SocketUse {
    /// The path by which a socket with somebody connected to it was bound, if that is this one; nil: nobody is. Throws
    /// if that cannot be known.
    ///
    /// The client binds beside the name and renames, and may know the directory by another path than we.
    package static func connected(to path: String, list: String = "/proc/net/unix") throws(SandboxError) -> String? {
        let (directory, name) = split(path)
        guard case .success(let own) = identity(directory) else { throw .system("\(directory): \(lastError())") }
        guard let file = fopen(list, "re") else { throw .system("\(list): \(lastError())") }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // Num RefCount Protocol Flags Type St Inode Path, which may have spaces; state 3 is connected, 2 before it
            // was accepted.
            let words = (text.hasSuffix("\n") ? text.dropLast() : text[...]).split(separator: " ", maxSplits: 7)
            guard words.count == 8, ["02", "03"].contains(words[5]), words[7].hasPrefix("/") else { continue }
            let bound = String(words[7])
            let (other, boundName) = split(bound)
            guard boundName == name || boundName == name + ".new" else { continue }
            switch identity(other) {
            case .success(let its): if its == own { return bound }
            case .failure(ENOENT), .failure(ENOTDIR): continue
            // It may be another name of ours.
            case .failure: return bound
            }
        }
        guard ferror(file) == 0 else { throw .system("\(list): \(lastError())") }
        return nil
    }

    private static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (String(path[...slash]), String(path[path.index(after: slash)...]))
    }

    private struct Identity: Equatable {
        var device: dev_t
        var inode: ino_t
    }

    private enum Answer {
        case success(Identity)
        case failure(Int32)
    }

    private static func identity(_ path: String) -> Answer {
        var status = stat()
        guard stat(path, &status) == 0 else { return .failure(errno) }
        return .success(Identity(device: status.st_dev, inode: status.st_ino))
    }
}
