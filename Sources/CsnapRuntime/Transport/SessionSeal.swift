import Crypto
import CsnapCore

/// Why a session's transport was refused; the connection is to be closed. Nothing was obeyed.
package enum SessionSealError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The first bytes are not those of csnap.
    case foreign
    case version(UInt8)
    /// One side has a key, the other runs with `insecure: true`.
    case keyExpected(peerIsSecure: Bool)
    case tooLong(UInt32)
    /// Another cluster key, changed bytes, or bytes of another connection.
    case authentication

    package var description: String {
        switch self {
        case .foreign: "the peer does not speak csnap's session transport"
        case .version(let version):
            "session transport version \(version) is not spoken here; run one csnap version on all nodes"
        case .keyExpected(let peerIsSecure):
            peerIsSecure
                ? "the peer has a cluster key and this process runs insecure; give all nodes the same key-file"
                : "the peer runs insecure and this process has a cluster key; give all nodes the same key-file"
        case .tooLong(let length): "a record of \(length) bytes exceeds the bound"
        case .authentication: "a record does not open with the cluster key; give all nodes the same key-file"
        }
    }
}

/// Mutual authentication and sealing of one TCP stream from the cluster key (docs/protocol.md §3).
///
/// Each side first sends `preamble`: "CSNAP", a version, a flag, a key id, 32 random bytes. Each direction then has
/// its own key: HKDF-SHA256 of its sender's cluster key over both randoms, so no key of one connection opens bytes of
/// another. What follows are records: u32 little-endian length, then ChaCha20-Poly1305 (RFC 8439) of at most
/// `maximumRecord` bytes under a counter nonce, the length authenticated with them. Who opens the first record has
/// proof of the other's key.
///
/// A value: bytes in, bytes out; of use with any socket. With `insecure: true` the same path runs under a key of
/// zeros.
package struct SessionSeal: Sendable {
    package enum Side: Sendable {
        case client
        case server
    }

    /// Plain bytes of one record; a longer message is cut into several.
    package static let maximumRecord = 64 << 10
    package static let preambleSize = 40
    private static let magic: [UInt8] = Array("CSNAP".utf8)
    private static let version: UInt8 = 1
    private static let tag = 16

    /// To be sent before anything else.
    package let preamble: [UInt8]
    private let side: Side
    private let ring: KeyRing
    private var keys: Keys?
    private var incoming: [UInt8] = []
    private var consumed = 0
    private var failure: SessionSealError?

    private struct Keys {
        var sending: SymmetricKey
        var receiving: SymmetricKey
        var sent: UInt64 = 0
        var received: UInt64 = 0
    }

    package init(side: Side, keys: KeyRing) {
        var generator = SystemRandomNumberGenerator()
        self.init(side: side, keys: keys, random: (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// With one key of 32 bytes, or none with `insecure: true`.
    package init(side: Side, key: [UInt8]?) {
        let ring = key.flatMap { ClusterKey(id: 1, bytes: $0) }.map { KeyRing($0) }
        self.init(side: side, keys: ring ?? .insecure)
    }

    /// With the given randomness, for tests. `random` has 32 bytes that were never used before.
    package init(side: Side, keys: KeyRing, random: [UInt8]) {
        precondition(random.count == 32, "a session's random has 32 bytes")
        self.side = side
        ring = keys
        preamble = Self.magic + [Self.version, keys.isInsecure ? 0 : 1, keys.sealing.id] + random
    }

    /// Whether the peer's preamble has come, and so `seal` may be called.
    package var isReady: Bool { keys != nil }

    /// Bytes received that no plain bytes have been made of.
    package var buffered: Int { incoming.count - consumed }

    /// The sealed records of these plain bytes. Only once `isReady`.
    package mutating func seal(_ plain: [UInt8]) -> [UInt8] {
        var sealed: [UInt8] = []
        sealed.reserveCapacity(plain.count + (plain.count / Self.maximumRecord + 1) * (4 + Self.tag))
        var start = 0
        while start < plain.count {
            let end = min(start + Self.maximumRecord, plain.count)
            appendRecord(plain[start..<end], to: &sealed)
            start = end
        }
        return sealed
    }

    /// Takes bytes from the socket, gives the plain bytes that are complete. After an error it gives that for ever.
    package mutating func open(_ bytes: some Sequence<UInt8>) throws(SessionSealError) -> [UInt8] {
        if let failure { throw failure }
        incoming.removeFirst(consumed)
        consumed = 0
        incoming.append(contentsOf: bytes)
        do {
            if keys == nil, try !takePreamble() { return [] }
            var plain: [UInt8] = []
            while try takeRecord(into: &plain) {}
            return plain
        } catch {
            failure = error
            incoming = []
            consumed = 0
            throw error
        }
    }

    private mutating func takePreamble() throws(SessionSealError) -> Bool {
        let known = min(incoming.count, Self.magic.count)
        guard incoming[..<known].elementsEqual(Self.magic[..<known]) else { throw .foreign }
        guard incoming.count >= Self.preambleSize else { return false }
        guard incoming[5] == Self.version else { throw .version(incoming[5]) }
        guard (incoming[6] == 0) == ring.isInsecure else { throw .keyExpected(peerIsSecure: ring.isInsecure) }
        // A key that is not here fails at the first record.
        let theirKey = ring.all.first { $0.id == incoming[7] } ?? ring.sealing
        let theirs = Array(incoming[8..<40])
        let ours = Array(preamble[8...])
        let salt = side == .client ? ours + theirs : theirs + ours
        keys = Keys(
            sending: Self.derive(ring.sealing, salt, by: side),
            receiving: Self.derive(theirKey, salt, by: side == .client ? .server : .client))
        consumed = Self.preambleSize
        return true
    }

    private static func derive(_ key: ClusterKey, _ salt: [UInt8], by sender: Side) -> SymmetricKey {
        let info = sender == .client ? "csnap session client to server" : "csnap session server to client"
        return HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: key.bytes), salt: salt, info: Array(info.utf8), outputByteCount: 32)
    }

    private mutating func takeRecord(into plain: inout [UInt8]) throws(SessionSealError) -> Bool {
        guard buffered >= 4 else { return false }
        let prefix = Array(incoming[consumed..<consumed + 4])
        let length = prefix.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard length <= UInt32(Self.maximumRecord + Self.tag) else { throw .tooLong(length) }
        guard length > UInt32(Self.tag) else { throw .authentication }
        guard buffered >= 4 + Int(length), let current = keys else { return false }
        let body = incoming[consumed + 4..<consumed + 4 + Int(length)]
        guard
            let box = try? ChaChaPoly.SealedBox(
                nonce: Self.nonce(current.received), ciphertext: body.dropLast(Self.tag), tag: body.suffix(Self.tag)),
            let opened = try? ChaChaPoly.open(box, using: current.receiving, authenticating: prefix)
        else { throw .authentication }
        plain.append(contentsOf: opened)
        keys?.received += 1
        consumed += 4 + Int(length)
        return true
    }

    private mutating func appendRecord(_ part: ArraySlice<UInt8>, to sealed: inout [UInt8]) {
        guard let current = keys else { preconditionFailure("sealed before the peer's preamble came") }
        let length = UInt32(part.count + Self.tag)
        let prefix = (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * UInt32($0))) }
        do {
            let box = try ChaChaPoly.seal(
                part, using: current.sending, nonce: Self.nonce(current.sent), authenticating: prefix)
            sealed += prefix
            sealed.append(contentsOf: box.ciphertext)
            sealed.append(contentsOf: box.tag)
        } catch {
            // Only a wrong key or nonce size can fail here, and both are fixed above.
            preconditionFailure("cannot seal a record: \(error)")
        }
        keys?.sent += 1
    }

    /// Four zero bytes and the counter; a connection ends long before 2^64 records.
    private static func nonce(_ counter: UInt64) throws -> ChaChaPoly.Nonce {
        try ChaChaPoly.Nonce(data: Sealer.nonceBytes(counter, capacity: Sealer.nonceSize).bytes)
    }
}
