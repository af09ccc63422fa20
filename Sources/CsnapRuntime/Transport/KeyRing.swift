import Glibc

/// The keys in use: the first seals, all open. Two at once let a key be changed without a restart of the group.
package struct KeyRing: Equatable, Sendable {
    package let sealing: ClusterKey
    package let other: ClusterKey?

    package init(_ sealing: ClusterKey, other: ClusterKey? = nil) {
        self.sealing = sealing
        self.other = other
    }

    /// The well-known key of `insecure: true`: anybody who reaches the port can be a member.
    package static let insecure = KeyRing(.zero)

    package var isInsecure: Bool { sealing == .zero }

    package var all: [ClusterKey] { [sealing] + (other.map { [$0] } ?? []) }

    /// Whether a process that uses these keys may go on with `next`: one id never stands for two keys, since others
    /// keep what they derived from it.
    package func mayBecome(_ next: KeyRing) -> Bool {
        next.isInsecure == isInsecure && next.all.allSatisfy { new in all.allSatisfy { $0.id != new.id || $0 == new } }
    }

    /// The text of a key file.
    package var text: String { all.map { $0.line + "\n" }.joined() }

    /// From the text of a key file; empty lines and lines that start with "#" count for nothing.
    package init(text: String, path: String) throws(KeyFileError) {
        let lines = text.split(whereSeparator: \.isNewline)
            .map { $0.filter { !$0.isWhitespace } }
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard (1...2).contains(lines.count) else { throw KeyFileError(path: path, problem: .count(lines.count)) }
        var keys: [ClusterKey] = []
        for (index, line) in lines.enumerated() {
            guard let key = ClusterKey(line: line), key != .zero else {
                throw KeyFileError(path: path, problem: .format(key: index + 1))
            }
            keys.append(key)
        }
        if keys.count == 2, keys[0].id == keys[1].id { throw KeyFileError(path: path, problem: .sameID(keys[0].id)) }
        self.init(keys[0], other: keys.count == 2 ? keys[1] : nil)
    }

    /// Reads a key file; refuses one that others could have read or written.
    package static func load(_ path: String) throws(KeyFileError) -> KeyRing {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw KeyFileError(path: path, problem: .system(errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw KeyFileError(path: path, problem: .system(errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw KeyFileError(path: path, problem: .notRegular) }
        guard status.st_uid == 0 || status.st_uid == geteuid() || DaemonUser.isTrusted(status.st_uid) else {
            throw KeyFileError(path: path, problem: .owner(status.st_uid))
        }
        guard status.st_mode & 0o077 == 0 else {
            throw KeyFileError(path: path, problem: .mode(status.st_mode & 0o777))
        }
        var buffer = [UInt8](repeating: 0, count: maximumFileSize + 1)
        let count = read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw KeyFileError(path: path, problem: .system(errno)) }
        guard count <= maximumFileSize else { throw KeyFileError(path: path, problem: .tooLong) }
        return try KeyRing(text: String(decoding: buffer[..<count], as: UTF8.self), path: path)
    }

    private static let maximumFileSize = 4096
}

/// Why a key file was refused; the agent does not start.
package struct KeyFileError: Error, Equatable, Sendable {
    package enum Problem: Equatable, Sendable {
        case system(Int32)
        case notRegular
        case owner(UInt32)
        case mode(UInt32)
        case tooLong
        case count(Int)
        case format(key: Int)
        case sameID(UInt8)
    }

    package var path: String
    package var problem: Problem
}

extension KeyFileError: CustomStringConvertible {
    package var description: String {
        switch problem {
        case .system(ENOENT):
            "key file \(path) does not exist; make one with `csnapctl key generate` and copy it to all nodes"
        case .system(EACCES):
            "key file \(path) cannot be read: give it to the agent's user, `chown csnap: \(path)`"
        case .system(let code): "key file \(path) cannot be read: \(String(cString: strerror(code)))"
        case .notRegular: "key file \(path) is not a regular file; name the file itself in `key-file`"
        case .owner(let owner): "key file \(path) belongs to uid \(owner); run `chown csnap: \(path)`"
        case .mode(let mode):
            "key file \(path) has mode 0\(String(mode, radix: 8)), so others may know it; run `chmod 600 \(path)`, "
                + "and make a new key if it was readable"
        case .tooLong: "key file \(path) is too long; it holds one or two lines `id:base64`"
        case .count(let count): "key file \(path) holds \(count) keys; it must hold one, or two during a change of key"
        case .format(let key):
            "key \(key) in \(path) is not `id:base64` with an id of 0 to 255 and 32 bytes that are not all zero; "
                + "make one with `csnapctl key generate`"
        case .sameID(let id): "both keys in \(path) have id \(id); give the newer one another id"
        }
    }
}
