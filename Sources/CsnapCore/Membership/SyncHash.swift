/// 64 bits that stand for records in a digest (FNV-1a over words).
///
/// Equal hashes of unequal records only delay their repair until the next change.
struct SyncHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func mix(_ word: UInt64) {
        value = (value ^ word) &* 0x0000_0100_0000_01b3
        value ^= value >> 29
    }

    mutating func mix(_ address: Address) {
        mix(address.bits.high)
        mix(address.bits.low)
        mix(UInt64(address.port) << 1 | (address.isIPv4 ? 1 : 0))
    }

    /// All but local health, which changes without an incarnation.
    mutating func mix(_ record: MemberRecord) {
        mix(UInt64(record.process.node.value))
        mix(record.process.boot.value)
        mix(record.incarnation.value)
        mix(UInt64(record.state.rawValue) << 2 | (record.eligible ? 2 : 0) | (record.hasVolumes ? 1 : 0))
        mix(record.address)
    }
}

extension Claim {
    var syncHash: UInt64 {
        var hash = SyncHash()
        hash.mix(tenure.epoch.value)
        hash.mix(UInt64(tenure.round.value) << 8 | UInt64(phase.rawValue))
        hash.mix(UInt64(server.node.value))
        hash.mix(server.boot.value)
        hash.mix(serviceAddress)
        hash.mix(configurationVersion)
        return hash.value
    }
}
