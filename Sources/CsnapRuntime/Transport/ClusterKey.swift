import Crypto
import CsnapCore
import FoundationEssentials

/// One secret that all agents of a group share, and its number in packet headers.
package struct ClusterKey: Equatable, Sendable {
    package static let size = 32

    package let id: UInt8
    package let bytes: [UInt8]

    /// Nil unless there are 32 bytes.
    package init?(id: UInt8, bytes: [UInt8]) {
        guard bytes.count == Self.size else { return nil }
        self.id = id
        self.bytes = bytes
    }

    private init(random id: UInt8) {
        var generator = SystemRandomNumberGenerator()
        self.id = id
        bytes = (0..<Self.size).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// A new key from the operating system's generator.
    package static func generate(id: UInt8 = 1) -> ClusterKey { ClusterKey(random: id) }

    /// The key of `insecure: true`: all zero, so it protects against accidents alone.
    static let zero = ClusterKey(zero: ())

    private init(zero: Void) {
        id = 0
        bytes = [UInt8](repeating: 0, count: Self.size)
    }

    /// From one line of a key file, `id:base64`.
    package init?(line: some StringProtocol) {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let id = UInt8(parts[0]), let data = Data(base64Encoded: String(parts[1])) else {
            return nil
        }
        self.init(id: id, bytes: Array(data))
    }

    /// The line of a key file, without its end.
    package var line: String { "\(id):\(Data(bytes).base64EncodedString())" }

    /// Stands for the group's name and key in each header; says nothing about the key.
    package func tag(cluster name: String) -> UInt64 {
        derive(salt: [], info: Array("csnap cluster tag \(name)".utf8)).withUnsafeBytes {
            $0.loadUnaligned(as: UInt64.self).littleEndian
        }
    }

    /// The key of one sending process: no two processes, and so no two counters, ever share one (§3).
    func packetKey(cluster name: String, sender: NodeBoot, startBits: Bits128) -> SymmetricKey {
        var salt = ByteWriter(capacity: 16)
        salt.value(startBits)
        var info = ByteWriter(capacity: 64)
        info.fixed(sender.node.value)
        info.fixed(sender.boot.value)
        info.raw("csnap packet \(name)".utf8)
        return derive(salt: salt.bytes, info: info.bytes)
    }

    private func derive(salt: [UInt8], info: [UInt8]) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: bytes), salt: salt, info: info, outputByteCount: Self.size)
    }
}
