import Crypto
package import CsnapCore
import FoundationEssentials

/// Who this process is on the wire.
package struct TransportIdentity: Equatable, Sendable {
    package var clusterName: String
    package var keys: KeyRing
    package var process: NodeBoot
    package var startBits: Bits128
    /// Where others reach us.
    package var advertised: Address
    /// `Timing.digest` of this process.
    package var timing: UInt64

    package init(
        clusterName: String, keys: KeyRing, process: NodeBoot, startBits: Bits128, advertised: Address,
        timing: UInt64
    ) {
        self.clusterName = clusterName
        self.keys = keys
        self.process = process
        self.startBits = startBits
        self.advertised = advertised
        self.timing = timing
    }
}

/// Makes datagrams of payloads: header, then preamble and items under ChaCha20-Poly1305 (RFC 8439).
///
/// The key belongs to this process alone (its start bits are random) and the nonce is the counter, so no pair of key
/// and nonce repeats, not even after a rolled-back state file.
package struct Sealer: Sendable {
    private var identity: TransportIdentity
    private var tag: UInt64
    private var key: SymmetricKey
    private var counter: UInt64 = 0
    /// Zero until the group is known.
    package var cluster: Bits128

    package init(_ identity: TransportIdentity, cluster: Bits128 = .zero) {
        self.identity = identity
        self.cluster = cluster
        (tag, key) = Self.derive(identity)
    }

    private static func derive(_ identity: TransportIdentity) -> (UInt64, SymmetricKey) {
        let sealing = identity.keys.sealing
        let key = sealing.packetKey(
            cluster: identity.clusterName, sender: identity.process, startBits: identity.startBits)
        return (sealing.tag(cluster: identity.clusterName), key)
    }

    /// Seals with the first of these keys from now on. The counter goes on, since receivers remember it.
    package mutating func use(_ keys: KeyRing) {
        identity.keys = keys
        (tag, key) = Self.derive(identity)
    }

    /// `echo`: the receiver's start bits, zero if they are unknown. Nil if the cipher fails, which it does not.
    package mutating func seal(_ payload: [UInt8], echo: Bits128) -> [UInt8]? {
        counter += 1
        var datagram = PacketHeader(
            clusterTag: tag, cluster: cluster, keyID: identity.keys.sealing.id, sender: identity.process,
            startBits: identity.startBits, counter: counter
        ).encode()
        var body = ByteWriter(capacity: PacketPreamble.mostSize + payload.count)
        PacketPreamble(
            echo: PacketPreamble.echo(of: echo), advertised: identity.advertised, timing: identity.timing
        ).encode(to: &body)
        body.raw(payload)
        guard let nonce = Self.nonce(counter),
            let box = try? ChaChaPoly.seal(body.bytes, using: key, nonce: nonce, authenticating: datagram)
        else { return nil }
        // Ciphertext and tag; the nonce, which comes first in the box, is the header's counter.
        box.combined.withUnsafeBytes { datagram.append(contentsOf: $0[Self.nonceSize...]) }
        return datagram
    }

    static let nonceSize = 12

    static func nonce(_ counter: UInt64) -> ChaChaPoly.Nonce? {
        try? ChaChaPoly.Nonce(data: nonceBytes(counter, capacity: nonceSize).bytes)
    }

    static func nonceBytes(_ counter: UInt64, capacity: Int) -> ByteWriter {
        var bytes = ByteWriter(capacity: capacity)
        bytes.fixed(UInt32(0))
        bytes.fixed(counter)
        return bytes
    }
}
