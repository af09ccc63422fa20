import CsnapRuntime
import Glibc

/// A blocking NBD client, as small as loads and streams need: fixed newstyle, simple replies, one request at a time.
///
/// Written from the NBD protocol document, apart from the product's own NBD code, so that each checks the other.
package final class NBDClient {
    package let size: UInt64
    private let connection: NBDConnection
    private var handle: UInt64 = 0

    private enum Kind: UInt16 { case read = 0, write = 1, disconnect = 2, flush = 3, writeZeroes = 6 }

    /// Connects and chooses an export. `cancelled` is looked at while it waits, here and in each request.
    package init(path: String, export: String, cancelled: @escaping () -> Bool) throws {
        connection = try NBDConnection(path: path, cancelled: cancelled)
        size = try NBDClient.negotiate(connection, export: export)
    }

    package func read(offset: UInt64, count: Int) throws -> [UInt8] {
        try request(.read, offset: offset, count: count)
        return try connection.read(count)
    }

    /// The same of an image that may be shorter: zeros lie behind its end.
    func readPadded(offset: UInt64, count: Int) throws -> [UInt8] {
        let there = offset < size ? Int(min(UInt64(count), size - offset)) : 0
        let bytes = there > 0 ? try read(offset: offset, count: there) : []
        return bytes + [UInt8](repeating: 0, count: count - there)
    }

    package func write(_ bytes: [UInt8], offset: UInt64) throws {
        try request(.write, offset: offset, count: bytes.count, payload: bytes)
    }

    package func writeZeroes(offset: UInt64, count: Int) throws {
        try request(.writeZeroes, offset: offset, count: count)
    }

    package func flush() throws { try request(.flush, offset: 0, count: 0) }

    package func disconnect() {
        try? connection.write(message(.disconnect, offset: 0, count: 0))
    }

    private func message(_ kind: Kind, offset: UInt64, count: Int) -> [UInt8] {
        handle += 1
        return bigEndian(UInt32(0x2560_9513)) + bigEndian(UInt16(0)) + bigEndian(kind.rawValue)
            + bigEndian(handle) + bigEndian(offset) + bigEndian(UInt32(count))
    }

    private func request(_ kind: Kind, offset: UInt64, count: Int, payload: [UInt8] = []) throws {
        try connection.write(message(kind, offset: offset, count: count) + payload)
        guard try connection.integer(UInt32.self) == 0x6744_6698 else { throw SandboxError.nbd("no simple reply") }
        let error = try connection.integer(UInt32.self)
        guard try connection.integer(UInt64.self) == handle else { throw SandboxError.nbd("reply to another request") }
        guard error == 0 else {
            throw SandboxError.nbd("\(kind) at \(offset): error \(error) (\(String(cString: strerror(Int32(error)))))")
        }
    }

    private static func negotiate(_ connection: NBDConnection, export: String) throws -> UInt64 {
        guard try connection.integer(UInt64.self) == 0x4e42_444d_4147_4943,
            try connection.integer(UInt64.self) == 0x4948_4156_454f_5054
        else { throw SandboxError.nbd("not a newstyle server") }
        let flags = try connection.integer(UInt16.self)
        guard flags & 1 != 0 else { throw SandboxError.nbd("not a fixed newstyle server") }
        let name = Array(export.utf8)
        let data = bigEndian(UInt32(name.count)) + name + bigEndian(UInt16(0))
        try connection.write(
            bigEndian(UInt32(flags & 3)) + bigEndian(UInt64(0x4948_4156_454f_5054)) + bigEndian(UInt32(7))
                + bigEndian(UInt32(data.count)) + data)
        var size: UInt64?
        while true {
            guard try connection.integer(UInt64.self) == 0x0003_e889_0455_65a9 else {
                throw SandboxError.nbd("no option reply")
            }
            _ = try connection.integer(UInt32.self)
            let type = try connection.integer(UInt32.self)
            let length = try connection.integer(UInt32.self)
            guard length <= 65_536 else { throw SandboxError.nbd("option reply too long") }
            let data = try connection.read(Int(length))
            if type == 0x8000_0006 { throw SandboxError.notOffered(export) }
            guard type & 0x8000_0000 == 0 else {
                throw SandboxError.nbd("export \(export) refused: " + String(decoding: data, as: UTF8.self))
            }
            if type == 3, data.count >= 12, data[0] == 0, data[1] == 0 {
                size = data[2..<10].reduce(0) { $0 << 8 | UInt64($1) }
            }
            if type == 1 { break }
        }
        guard let size else { throw SandboxError.nbd("the server gave no size") }
        return size
    }
}

/// The socket under it.
final class NBDConnection {
    private let descriptor: Int32
    private let cancelled: () -> Bool

    init(path: String, cancelled: @escaping () -> Bool) throws {
        self.cancelled = cancelled
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var timeout = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        guard descriptor >= 0, let address = UnixAddress(path) else {
            // `deinit` closes: a second close would hit what another thread just opened.
            throw SandboxError.nbd("\(path): no socket, or the path is longer than 107 bytes")
        }
        let result = address.with { connect(descriptor, $0, $1) }
        guard result == 0 else { throw SandboxError.nbd("\(path): \(lastError())") }
    }

    deinit { close(descriptor) }

    func read(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let result = bytes.withUnsafeMutableBytes { buffer in
                recv(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled, 0)
            }
            if result > 0 { filled += result }
            if result == 0 { throw SandboxError.nbd("the server closed the connection") }
            if result < 0 { try mayRetry() }
        }
        return bytes
    }

    func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
        try read(MemoryLayout<Value>.size).reduce(0) { $0 << 8 | Value($1) }
    }

    func write(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let result = bytes.withUnsafeBytes { buffer in
                send(descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if result > 0 { sent += result } else { try mayRetry() }
        }
    }

    private func mayRetry() throws {
        guard errno == EAGAIN || errno == EINTR else { throw SandboxError.nbd(lastError()) }
        if cancelled() { throw SandboxError.cancelled }
    }
}

func bigEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    (0..<MemoryLayout<Value>.size).reversed().map { UInt8(truncatingIfNeeded: value >> Value($0 * 8)) }
}
