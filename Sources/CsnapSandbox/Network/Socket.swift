import Glibc

/// An IPv4 address with a port, as the socket calls want it.
struct SocketAddress: Equatable, Sendable {
    var bytes: (UInt8, UInt8, UInt8, UInt8)
    var port: UInt16

    init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, port: UInt16) {
        bytes = (a, b, c, d)
        self.port = port
    }

    init(_ raw: sockaddr_in) {
        let word = UInt32(bigEndian: raw.sin_addr.s_addr)
        bytes = (
            UInt8(truncatingIfNeeded: word >> 24), UInt8(truncatingIfNeeded: word >> 16),
            UInt8(truncatingIfNeeded: word >> 8), UInt8(truncatingIfNeeded: word)
        )
        port = UInt16(bigEndian: raw.sin_port)
    }

    var raw: sockaddr_in {
        let word =
            UInt32(bytes.0) << 24 | UInt32(bytes.1) << 16 | UInt32(bytes.2) << 8 | UInt32(bytes.3)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: word.bigEndian)
        return address
    }

    static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        left.bytes == right.bytes && left.port == right.port
    }

    func with<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// The few socket calls of the relay, each wrapped once. Descriptors are non-blocking and closed on exec.
enum Socket {
    private static let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)

    static func datagram(at address: SocketAddress) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | flags, 0)
        try bind(descriptor, to: address)
        var size: Int32 = 1 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        return descriptor
    }

    static func listening(at address: SocketAddress) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | flags, 0)
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        try bind(descriptor, to: address)
        guard listen(descriptor, 64) == 0 else {
            let error = SandboxError.system("listen: \(lastError())")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// A connection on its way, from an address of ours; nil if it was refused at once.
    static func connecting(from source: SocketAddress, to target: SocketAddress) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | flags, 0)
        guard descriptor >= 0 else { return nil }
        noDelay(descriptor)
        let bound = source.with { Glibc.bind(descriptor, $0, $1) }
        let result = target.with { Glibc.connect(descriptor, $0, $1) }
        guard bound == 0, result == 0 || errno == EINPROGRESS else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    static func accept(_ listener: Int32) -> (descriptor: Int32, peer: SocketAddress)? {
        var raw = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = withUnsafeMutablePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.accept(listener, $0, &length) }
        }
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        noDelay(descriptor)
        return (descriptor, SocketAddress(raw))
    }

    static func receive(_ descriptor: Int32, into buffer: inout [UInt8]) -> (count: Int, source: SocketAddress)? {
        var raw = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, &buffer, buffer.count, 0, $0, &length)
            }
        }
        return count < 0 ? nil : (count, SocketAddress(raw))
    }

    static func send(_ descriptor: Int32, _ bytes: [UInt8], to target: SocketAddress) {
        _ = target.with { sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, $1) }
    }

    /// Closes with RST, as a host does whose port nobody listens on.
    static func reset(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    /// Whether a connection on its way has failed.
    static func failed(_ descriptor: Int32) -> Bool {
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0
    }

    private static func noDelay(_ descriptor: Int32) {
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func bind(_ descriptor: Int32, to address: SocketAddress) throws {
        guard descriptor >= 0 else { throw SandboxError.system("socket: \(lastError())") }
        guard address.with({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
            let bytes = address.bytes
            let error = SandboxError.system(
                "bind \(bytes.0).\(bytes.1).\(bytes.2).\(bytes.3):\(address.port): \(lastError())")
            close(descriptor)
            throw error
        }
    }
}
