import CsnapCore
package import Glibc

/// A connected (or connecting) stream socket that never blocks; for the control thread alone.
final class StreamSocket {
    enum Received {
        case bytes([UInt8])
        case nothing
        case closed
    }

    /// What a peer that does not read may keep of ours before the connection is given up.
    private static let maximumOutgoing = 1 << 20
    private static let readSize = 64 << 10

    let descriptor: Int32
    private var outgoing: [UInt8] = []

    private init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    var wantsToWrite: Bool { !outgoing.isEmpty }

    /// To a Unix socket; nil while nobody listens there.
    static func connect(path: String) -> StreamSocket? {
        guard let address = UnixAddress(path), let stream = make(AF_UNIX) else { return nil }
        return address.with { Glibc.connect(stream.descriptor, $0, $1) } == 0 ? stream : nil
    }

    /// To a TCP address, from `source` (its port is ignored); the connection stands when the socket gets writable.
    static func connect(_ address: Address, source: Address?) -> StreamSocket? {
        guard let stream = make(address.isIPv4 ? AF_INET : AF_INET6) else { return nil }
        stream.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        stream.set(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 5000)
        if var source, source.bits != .zero, source.isIPv4 == address.isIPv4 {
            source.port = 0
            stream.set(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, 1)
            guard InternetAddress(source).with({ bind(stream.descriptor, $0, $1) }) == 0 else { return nil }
        }
        let result = InternetAddress(address).with { Glibc.connect(stream.descriptor, $0, $1) }
        return result == 0 || errno == EINPROGRESS ? stream : nil
    }

    private static func make(_ family: Int32) -> StreamSocket? {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, kind, 0)
        return descriptor < 0 ? nil : StreamSocket(descriptor)
    }

    private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// After the socket got writable: whether the connection stands.
    var isEstablished: Bool {
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0
    }

    /// False: the connection is broken or the peer reads too little; close it.
    func send(_ bytes: [UInt8]) -> Bool {
        guard outgoing.count + bytes.count <= Self.maximumOutgoing else { return false }
        outgoing += bytes
        return flush()
    }

    func flush() -> Bool {
        while !outgoing.isEmpty {
            let sent = outgoing.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 && errno == EINTR { continue }
            if sent < 0 { return errno == EAGAIN }
            outgoing.removeFirst(sent)
        }
        return true
    }

    func receive() -> Received {
        let (bytes, code) = Files.readSome(descriptor, atMost: Self.readSize)
        if !bytes.isEmpty { return .bytes(bytes) }
        return code == EAGAIN ? .nothing : .closed
    }
}

/// A `sockaddr_un`; nil for a path that is too long.
package struct UnixAddress {
    private var address = sockaddr_un()

    package init?(_ path: String) {
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    }

    package func with<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

/// A `sockaddr_in` or `sockaddr_in6`.
struct InternetAddress {
    private let address: Address

    init(_ address: Address) { self.address = address }

    func with<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if address.isIPv4 {
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = address.port.bigEndian
            value.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.bits.low).bigEndian
            return call(value, body)
        }
        var value = sockaddr_in6()
        value.sin6_family = sa_family_t(AF_INET6)
        value.sin6_port = address.port.bigEndian
        withUnsafeMutableBytes(of: &value.sin6_addr) { bytes in
            bytes.storeBytes(of: address.bits.high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: address.bits.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return call(value, body)
    }

    private func call<Value, Result>(
        _ value: Value, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: value) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<Value>.size))
            }
        }
    }
}
