package import CsnapCore
import Glibc
import NIOCore

/// Why the agent's UDP socket cannot be had.
package struct UDPSocketError: Error, Equatable, Sendable {
    package var address: Address
    package var call: String
    package var code: Int32
}

extension UDPSocketError: CustomStringConvertible {
    package var description: String {
        let name = (try? address.socketAddress().ipAddress).map { "UDP port \(address.port) of \($0)" } ?? "UDP socket"
        return switch code {
        case EADDRINUSE: "\(name) is in use; stop the other process there or change `listen`"
        case EADDRNOTAVAIL: "\(name): that is no address of this machine; change `listen`"
        default: "\(name) cannot be opened: \(call): \(String(cString: strerror(code)))"
        }
    }
}

/// A bound UDP socket that sends at once or not at all.
///
/// Sending does not go through NIO, whose datagram channel closes on errors that a partition or a firewall causes
/// (ENETUNREACH, EPERM), and queues; a datagram that the kernel does not take is lost, as on any network.
struct UDPSocket: Sendable {
    private let descriptor: Int32
    private let address: Address
    private let family: Int32

    private static let bufferSize: Int32 = 1 << 20

    init(binding address: Address) throws(UDPSocketError) {
        self.address = address
        family = address.isIPv4 ? AF_INET : AF_INET6
        let kind = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { throw UDPSocketError(address: address, call: "socket", code: errno) }
        var size = Self.bufferSize
        // Larger buffers are a help, not a need: a refusal changes nothing.
        _ = setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        _ = setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        let bound = withKernelAddress(address) { bind(descriptor, $0, $1) }
        guard bound == 0 else {
            let code = errno
            Glibc.close(descriptor)
            throw UDPSocketError(address: address, call: "bind", code: code)
        }
    }

    /// A second descriptor of the same socket, which the caller owns.
    func duplicate() throws(UDPSocketError) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw UDPSocketError(address: address, call: "dup", code: errno) }
        return copy
    }

    /// Whether the kernel took it.
    func send(_ datagram: [UInt8], to address: Address) -> Bool {
        guard address.isIPv4 || family == AF_INET6 else { return false }
        let sent = withKernelAddress(address) { pointer, length in
            datagram.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, Self.sendFlags, pointer, length) }
        }
        return sent == datagram.count
    }

    private static let sendFlags = Int32(truncatingIfNeeded: Int(MSG_DONTWAIT) | Int(MSG_NOSIGNAL))

    private func withKernelAddress<Result>(
        _ address: Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        let bytes = address.kernelBytes(family: UInt16(family), asIPv6: family == AF_INET6)
        return bytes.withUnsafeBytes { raw in
            // At least 16 bytes of an array: neither empty nor badly aligned.
            raw.withMemoryRebound(to: sockaddr.self) { body($0.baseAddress.unsafelyUnwrapped, socklen_t(bytes.count)) }
        }
    }

    func close() { Glibc.close(descriptor) }
}
