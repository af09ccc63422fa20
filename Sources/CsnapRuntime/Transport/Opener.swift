import Crypto
package import CsnapCore

/// A datagram that was authenticated and filtered.
package struct OpenedPacket: Equatable, Sendable {
    package var sender: Sender
    package var advertised: Address
    /// What the core may obey; empty if all was withheld.
    package var messages: [Message]
    /// The sender's start bits may be echoed to it from now on.
    package var mayBeEchoed: Bool
    /// Messages were withheld because the packet does not carry our start bits: an empty packet teaches them.
    package var wantsProof: Bool
}

/// Opens datagrams: drops strangers, earlier boots and replays before parsing, then what the sender may not yet say.
///
/// Bounded: at most `Limits.members` nodes and `processesPerNode` processes of each, all holders of the key.
package struct Opener: Sendable {
    private var identity: TransportIdentity
    /// The keys in use, and the tag of each.
    private var keys: [ClusterKey]
    private var tags: [UInt64]
    private var senders = SenderTable()
    /// Zero until the group is known.
    package var cluster: Bits128
    package private(set) var drops = DropCounts()
    /// Why `open` answered nil last.
    package private(set) var lastRefusal: DropReason?

    package init(_ identity: TransportIdentity, cluster: Bits128 = .zero) {
        self.identity = identity
        self.cluster = cluster
        keys = identity.keys.all
        tags = keys.map { $0.tag(cluster: identity.clusterName) }
    }

    /// Opens with these keys from now on.
    package mutating func use(_ keys: KeyRing) {
        identity.keys = keys
        self.keys = keys.all
        tags = self.keys.map { $0.tag(cluster: identity.clusterName) }
    }

    package mutating func count(_ reason: DropReason) { drops.count(reason) }

    /// Nil: dropped and counted.
    package mutating func open(_ datagram: [UInt8], from source: Address) -> OpenedPacket? {
        do throws(Refusal) {
            return try opened(datagram, from: source)
        } catch {
            drops.count(error.reason)
            lastRefusal = error.reason
            return nil
        }
    }

    struct Refusal: Error {
        var reason: DropReason
        init(_ reason: DropReason) { self.reason = reason }
    }

    private mutating func opened(_ datagram: [UInt8], from source: Address) throws(Refusal) -> OpenedPacket {
        let header = try header(of: datagram)
        guard let index = tags.firstIndex(of: header.clusterTag), keys[index].id == header.keyID else {
            throw Refusal(.stranger)
        }
        guard header.startBits != identity.startBits else { throw Refusal(.reflected) }
        let isOlder = senders.highestBoot(of: header.sender.node).map { header.sender.boot < $0 } ?? false
        // Of an older boot only a Join is heard, to be told BootTooOld; it fills its datagram.
        if isOlder, datagram.count < Limits.fullDatagram { throw Refusal(.olderBoot) }
        let known = senders.find(header.sender, startBits: header.startBits)
        if let known, !known.window.isFresh(header.counter) { throw Refusal(.replayed) }
        let isCached = known?.keyID == header.keyID
        let key =
            isCached
            ? known?.key
            : keys[index].packetKey(
                cluster: identity.clusterName, sender: header.sender, startBits: header.startBits)
        guard let key, let body = plaintext(datagram, key: key, counter: header.counter) else {
            throw Refusal(.unauthenticated)
        }
        var reader = ByteReader(body)
        guard let preamble = try? PacketPreamble(from: &reader) else { throw Refusal(.undecodable) }
        guard preamble.timing == identity.timing else { throw Refusal(.timers) }
        guard let items = try? reader.raw(reader.remaining), let messages = try? MessageCodec.decode(items) else {
            throw Refusal(.undecodable)
        }
        let sender = Sender(
            process: header.sender, startBits: header.startBits, cluster: header.cluster, source: source)
        if isOlder { return try olderBoot(sender, preamble, messages) }
        let isProof = preamble.echo == PacketPreamble.echo(of: identity.startBits)
        if isNewer(header.sender), !isProof || messages.allSatisfy(Self.isJoin) {
            // The core decides first whether a Join is a restart or a clone: a clone must not shut the original out.
            return filtered(sender, preamble, messages, isProof: isProof)
        }
        guard senders.accept(header, key: key, isProof: isProof) else { throw Refusal(.tableFull) }
        return filtered(sender, preamble, messages, isProof: isProof)
    }

    private static func isJoin(_ message: Message) -> Bool {
        if case .join = message { true } else { false }
    }

    private func isNewer(_ process: NodeBoot) -> Bool {
        senders.highestBoot(of: process.node).map { process.boot > $0 } ?? false
    }

    private func header(of datagram: [UInt8]) throws(Refusal) -> PacketHeader {
        guard datagram.count <= Limits.datagram else { throw Refusal(.malformed) }
        do throws(WireError) {
            return try PacketHeader.decode(datagram)
        } catch .version {
            throw Refusal(.version)
        } catch .mandatoryFlag {
            throw Refusal(.mandatoryFlag)
        } catch {
            throw Refusal(.malformed)
        }
    }

    private func plaintext(_ datagram: [UInt8], key: SymmetricKey, counter: UInt64) -> [UInt8]? {
        let header = datagram.prefix(PacketHeader.encodedSize)
        let sealed = datagram.dropFirst(PacketHeader.encodedSize)
        guard sealed.count >= Limits.sealTag else { return nil }
        var combined = Sealer.nonceBytes(counter, capacity: Sealer.nonceSize + sealed.count).bytes
        combined += sealed
        guard let box = try? ChaChaPoly.SealedBox(combined: combined),
            let body = try? ChaChaPoly.open(box, using: key, authenticating: header)
        else { return nil }
        return Array(body)
    }

    private func olderBoot(
        _ sender: Sender, _ preamble: PacketPreamble, _ messages: [Message]
    ) throws(Refusal) -> OpenedPacket {
        let joins = messages.filter { $0.kind == .join }
        guard !joins.isEmpty else { throw Refusal(.olderBoot) }
        return OpenedPacket(
            sender: sender, advertised: preamble.advertised, messages: joins, mayBeEchoed: false, wantsProof: false)
    }

    private mutating func filtered(
        _ sender: Sender, _ preamble: PacketPreamble, _ messages: [Message], isProof: Bool
    ) -> OpenedPacket {
        var kept = messages
        if cluster != .zero, sender.cluster != .zero, sender.cluster != cluster {
            kept = keep(kept, .foreignCluster) { $0 == .join || $0 == .foreignGroup }
        } else if sender.cluster == .zero {
            kept = keep(kept, .unpinned, Self.isObeyedUnpinned)
        }
        let beforeProof = kept.count
        if !isProof { kept = keep(kept, .unproven, Self.isObeyedUnproven) }
        let mayBeEchoed = isProof || !senders.hasOtherProven(sender.process, startBits: sender.startBits)
        return OpenedPacket(
            sender: sender, advertised: preamble.advertised, messages: kept, mayBeEchoed: mayBeEchoed,
            wantsProof: kept.count < beforeProof && mayBeEchoed)
    }

    private mutating func keep(
        _ messages: [Message], _ reason: DropReason, _ isKept: (MessageKind) -> Bool
    ) -> [Message] {
        let kept = messages.filter { isKept($0.kind) }
        if kept.count < messages.count { drops.count(reason) }
        return kept
    }

    /// Without a group one can ask, and answer a question with what needs no group; the core matches the nonce.
    private static func isObeyedUnpinned(_ kind: MessageKind) -> Bool {
        kind == .ping || kind == .join || kind == .bootTooOld || kind == .idConflict
    }

    /// Questions, and answers that the core obeys for their nonce alone.
    private static func isObeyedUnproven(_ kind: MessageKind) -> Bool {
        switch kind {
        case .ping, .join, .joinAck, .bootTooOld, .foreignGroup, .idConflict, .preDeny: true
        default: false
        }
    }
}
