package import CsnapCore
package import NIOCore

/// Conversions to and from the kernel's `sockaddr_in` (16 bytes: family, port, address) and `sockaddr_in6` (28 bytes:
/// family, port, flow, address, scope), read and written as bytes: ports and addresses in network order.
extension Address {
    /// Nil for a Unix socket. An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) becomes the IPv4 address it is.
    package init?(_ socketAddress: SocketAddress) {
        switch socketAddress {
        case .v4(let address):
            self = withUnsafeBytes(of: address.address) { raw in
                let low = UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
                let port = UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
                return Address(bits: Bits128(high: 0, low: UInt64(low)), port: port, isIPv4: true)
            }
        case .v6(let address):
            self = withUnsafeBytes(of: address.address) { raw in
                let high = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                let low = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
                let port = UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
                let isMapped = high == 0 && low >> 32 == 0xffff
                return Address(
                    bits: Bits128(high: high, low: isMapped ? low & 0xffff_ffff : low), port: port, isIPv4: isMapped)
            }
        case .unixDomainSocket: return nil
        }
    }

    /// For NIO; does not throw for any address of ours.
    package func socketAddress() throws -> SocketAddress {
        try SocketAddress(packedIPAddress: ByteBuffer(bytes: networkBytes), port: Int(port))
    }

    /// The address as the kernel takes it; `asIPv6`: for a socket of that family, an IPv4 address in its mapped form.
    func kernelBytes(family: UInt16, asIPv6: Bool) -> [UInt8] {
        var writer = ByteWriter(capacity: 28)
        writer.fixed(family.littleEndian)
        writer.raw([UInt8(port >> 8), UInt8(port & 0xff)])
        switch (isIPv4, asIPv6) {
        case (true, false):
            writer.raw(networkBytes)
            writer.zeros(8)
        case (true, true):
            writer.zeros(4 + 10)
            writer.raw([0xff, 0xff] + networkBytes)
            writer.zeros(4)
        case (false, _):
            writer.zeros(4)
            writer.raw(networkBytes)
            writer.zeros(4)
        }
        return writer.bytes
    }

    /// 4 or 16 bytes, highest first.
    private var networkBytes: [UInt8] {
        func bytes(_ word: UInt64, count: UInt64) -> [UInt8] {
            (0..<count).reversed().map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
        return isIPv4 ? bytes(bits.low, count: 4) : bytes(bits.high, count: 8) + bytes(bits.low, count: 8)
    }
}
