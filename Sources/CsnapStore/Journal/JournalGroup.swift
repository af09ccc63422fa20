import CsnapCore

/// Records that become durable together: one write, one flush.
///
///     0          4       8        12     16      32      40      44       52            56       60    64
///     | checksum | magic | length | zero | store | epoch | round | number | predecessor | records | 0 | ...
///
/// The checksum covers all after it. A group begins at a block; its number is one more than that of the group before
/// it in its tenure, its predecessor that group's checksum: what an earlier use of the window left never fits.
struct JournalGroup: Equatable, Sendable {
    static let headerSize = 64
    /// "CSJG" in the order of its bytes.
    static let magic: UInt32 = 0x474A_5343

    var tenure: Tenure
    var number: UInt64
    var predecessor: UInt32
    var records: [StoreRecord]

    /// Whole blocks, and the checksum that the next group names.
    func encoded(store: Bits128) -> (bytes: [UInt8], checksum: UInt32) {
        var body = ByteWriter(capacity: StoreLayout.blockSize)
        body.fixed(Self.magic)
        var records = ByteWriter()
        for record in self.records { records.value(record) }
        body.fixed(UInt32(Self.headerSize + records.count))
        body.fixed(UInt32(0))
        body.value(store)
        body.fixed(tenure.epoch.value)
        body.fixed(tenure.round.value)
        body.fixed(number)
        body.fixed(predecessor)
        body.fixed(UInt32(self.records.count))
        body.fixed(UInt32(0))
        body.raw(records.bytes)
        let checksum = Castagnoli.checksum(body.bytes)
        var writer = ByteWriter(capacity: body.count + StoreLayout.blockSize)
        writer.fixed(checksum)
        writer.raw(body.bytes)
        writer.zeros((StoreLayout.blockSize - writer.count % StoreLayout.blockSize) % StoreLayout.blockSize)
        return (writer.bytes, checksum)
    }

    /// What a group's first bytes say of its length; nil: no group begins here.
    static func length(_ header: [UInt8]) -> Int? {
        guard header.count >= headerSize else { return nil }
        return header.withUnsafeBytes { raw in
            guard raw.little32(4) == magic else { return nil }
            let length = Int(raw.little32(8))
            return length >= headerSize ? length : nil
        }
    }

    /// Nil: not the group that is expected here, or not whole. `bytes` are as many as its length says.
    init?(_ bytes: [UInt8], store: Bits128, tenure: Tenure, number: UInt64, predecessor: UInt32) {
        var reader = ByteReader(bytes)
        do throws(WireError) {
            let checksum = try reader.fixed(UInt32.self)
            let isWhole = Castagnoli.checksum(bytes, 4..<bytes.count) == checksum
            guard isWhole || StoreMutants.active(.journalNotVerified) else { return nil }
            _ = try reader.raw(12)
            guard try reader.value(Bits128.self) == store else { return nil }
            let epoch = try reader.fixed(UInt64.self)
            let round = try reader.fixed(UInt32.self)
            guard epoch == tenure.epoch.value, round == tenure.round.value else { return nil }
            let ownNumber = try reader.fixed(UInt64.self)
            let ownPredecessor = try reader.fixed(UInt32.self)
            let isNext = ownNumber == number || StoreMutants.active(.noRunningNumber)
            guard isNext, ownPredecessor == predecessor || StoreMutants.active(.noRunningNumber) else { return nil }
            let count = try reader.fixed(UInt32.self)
            _ = try reader.fixed(UInt32.self)
            records = []
            for _ in 0..<count { records.append(try reader.value()) }
            try reader.finish()
        } catch {
            return nil
        }
        self.tenure = tenure
        self.number = number
        self.predecessor = predecessor
    }

    init(tenure: Tenure, number: UInt64, predecessor: UInt32, records: [StoreRecord]) {
        self.tenure = tenure
        self.number = number
        self.predecessor = predecessor
        self.records = records
    }

    /// Whether these bytes are a whole group of this tenure with a higher number.
    static func isLater(_ bytes: [UInt8], store: Bits128, than number: UInt64, of tenure: Tenure) -> Bool {
        guard Castagnoli.checksum(bytes, 4..<bytes.count) == checksum(bytes) else { return false }
        var reader = ByteReader(bytes)
        do throws(WireError) {
            _ = try reader.raw(16)
            guard try reader.value(Bits128.self) == store else { return false }
            let epoch = try reader.fixed(UInt64.self)
            let round = try reader.fixed(UInt32.self)
            let isSame = epoch == tenure.epoch.value && round == tenure.round.value
            let own = try reader.fixed(UInt64.self)
            return isSame && own > number
        } catch {
            return false
        }
    }

    /// How much of a damaged header is that of the group expected at a position: of five fields.
    static func likeness(_ header: [UInt8], store: Bits128, _ position: JournalWriter) -> Int {
        var reader = ByteReader(header)
        do throws(WireError) {
            _ = try reader.fixed(UInt32.self)
            var fits = try reader.fixed(UInt32.self) == magic ? 1 : 0
            _ = try reader.raw(8)
            if try reader.value(Bits128.self) == store { fits += 1 }
            if try reader.fixed(UInt64.self) == position.piece.tenure.epoch.value { fits += 1 }
            if try reader.fixed(UInt32.self) == position.piece.tenure.round.value { fits += 1 }
            if try reader.fixed(UInt64.self) == position.number { fits += 1 }
            return fits
        } catch {
            return 0
        }
    }

    static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { $0.little32(0) } }
}
