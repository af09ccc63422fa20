import CsnapCore

/// The way over the wire, as the transport goes it: packed, encoded, sealed, damaged, opened, decoded. Most packets
/// pass as values, because encoding each would cost more than all the rest; runs with damage send a part of them so.
extension World {
    /// What arrives of the messages of one send: nothing of a datagram whose seal is broken.
    func carried(_ messages: [Message], from node: Int) -> [Message] {
        let packed = Packing.pack(messages)
        if let kind = packed.oversized.first {
            fail(24, "node \(node + 1) sends a \(kind) that no datagram can hold")
        }
        var arrived: [Message] = []
        var isIntact = true
        for payload in packed.payloads {
            // A checksum in place of a keyed seal: chance, not an enemy, does the damage here.
            let seal = Castagnoli.checksum(payload)
            var bytes = payload
            if chance(network.policy.damage) { damage(&bytes) }
            if bytes != payload { isIntact = false }
            guard Castagnoli.checksum(bytes) == seal || WorldMutants.openerIgnoresSeal else {
                statistics[.packetsDamaged] += 1
                continue
            }
            guard let decoded = try? MessageCodec.decode(bytes) else {
                if bytes == payload { fail(24, "node \(node + 1) sends what nobody can read") }
                continue
            }
            arrived += decoded
        }
        if isIntact, arrived.count == messages.count, arrived != messages {
            fail(19, "the messages of node \(node + 1) change on the wire")
        }
        return arrived
    }

    /// One bit flipped, or the end cut off.
    private func damage(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        let place = random.next(below: bytes.count)
        if random.next(below: 4) == 0 {
            bytes.removeLast(bytes.count - place)
        } else {
            bytes[place] ^= 1 << UInt8(random.next(below: 8))
        }
    }
}
