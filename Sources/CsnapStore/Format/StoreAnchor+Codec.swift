import CsnapCore

extension StoreAnchor {
    /// "CSNAPAN1" in the order of its bytes.
    static let magic: UInt64 = 0x314E_4150_414E_5343
    /// Behind magic, version, copy, store, tenure and owner.
    static let sequenceOffset = 88

    /// So many pieces and dead tenures can be named.
    var fitsBlock: Bool { content(copy: 0).count <= SealedBlock.contentSize }

    func encoded(copy: Int) -> [UInt8] { SealedBlock.seal(content(copy: copy)) }

    private func content(copy: Int) -> ByteWriter {
        var writer = ByteWriter(capacity: StoreLayout.blockSize)
        writer.fixed(Self.magic)
        writer.fixed(StoreLayout.version)
        writer.fixed(UInt32(copy))
        writer.value(store)
        Self.encode(tenure, to: &writer)
        owner.encode(to: &writer)
        writer.fixed(sequence)
        Self.encode(root, to: &writer)
        writer.byte(rootLevel)
        Self.encode(catalog, to: &writer)
        writer.fixed(catalogLength)
        Self.encode([openWindows.data, openWindows.nodes].map { $0 ?? .max } + openWindows.journal, to: &writer)
        writer.byte(UInt8(pieces.count))
        for piece in pieces { Self.encode(piece, to: &writer) }
        writer.byte(UInt8(quarantine.count))
        for part in quarantine {
            Self.encode(part.tenure, to: &writer)
            part.owner.encode(to: &writer)
            Self.encode(part.windows, to: &writer)
        }
        return writer
    }

    /// Nil for anything but a whole anchor of this store.
    init?(_ block: [UInt8], format: StoreFormat, copy: Int) {
        guard SealedBlock.isWhole(block) else { return nil }
        var reader = ByteReader(block)
        do throws(WireError) {
            guard try reader.fixed(UInt64.self) == Self.magic, try reader.fixed(UInt32.self) == StoreLayout.version,
                try reader.fixed(UInt32.self) == UInt32(copy)
            else { return nil }
            store = try reader.value()
            tenure = try Self.tenure(&reader)
            owner = try StoreOwner(from: &reader)
            sequence = try reader.fixed(UInt64.self)
            root = try Self.pointer(&reader)
            rootLevel = try reader.byte()
            catalog = try Self.pointer(&reader)
            catalogLength = try reader.fixed(UInt32.self)
            let windows = format.geometry.windowCount
            let open = try Self.list(&reader, limit: 4)
            guard open.count >= 2 else { return nil }
            openWindows = OpenWindows(
                data: open[0] == .max ? nil : open[0], nodes: open[1] == .max ? nil : open[1],
                journal: Array(open[2...]))
            pieces = []
            for _ in 0..<(try reader.byte()) { pieces.append(try Self.piece(&reader)) }
            quarantine = []
            for _ in 0..<(try reader.byte()) {
                quarantine.append(
                    Quarantine(
                        tenure: try Self.tenure(&reader), owner: try StoreOwner(from: &reader),
                        windows: try Self.list(&reader, limit: Self.quarantineWindowLimit)))
            }
            let named = openWindows.all + pieces.flatMap { $0.windows } + quarantine.flatMap { $0.windows }
            guard store == format.store, !pieces.isEmpty, named.allSatisfy({ $0 < windows }) else { return nil }
        } catch {
            return nil
        }
    }

    private static func encode(_ tenure: Tenure, to writer: inout ByteWriter) {
        writer.fixed(tenure.epoch.value)
        writer.fixed(tenure.round.value)
    }

    private static func tenure(_ reader: inout ByteReader) throws(WireError) -> Tenure {
        let epoch = try reader.fixed(UInt64.self)
        let round = try reader.fixed(UInt32.self)
        guard epoch <= Limits.epoch, round <= Limits.round else { throw .malformed }
        return Tenure(epoch: Epoch(epoch), round: Round(round))
    }

    private static func encode(_ pointer: NodePointer?, to writer: inout ByteWriter) {
        writer.fixed(pointer?.offset ?? 0)
        writer.fixed(pointer?.checksum ?? 0)
    }

    private static func pointer(_ reader: inout ByteReader) throws(WireError) -> NodePointer? {
        let offset = try reader.fixed(UInt64.self)
        let checksum = try reader.fixed(UInt32.self)
        return offset == 0 ? nil : NodePointer(offset: offset, checksum: checksum)
    }

    private static func encode(_ windows: [UInt32], to writer: inout ByteWriter) {
        writer.byte(UInt8(windows.count))
        for window in windows { writer.fixed(window) }
    }

    private static func list(_ reader: inout ByteReader, limit: Int) throws(WireError) -> [UInt32] {
        let count = Int(try reader.byte())
        guard count <= limit else { throw .tooLarge }
        var windows: [UInt32] = []
        for _ in 0..<count { windows.append(try reader.fixed(UInt32.self)) }
        return windows
    }

    private static func encode(_ piece: JournalPiece, to writer: inout ByteWriter) {
        encode(piece.tenure, to: &writer)
        encode(piece.windows, to: &writer)
        writer.fixed(piece.offset)
        writer.fixed(piece.number)
        writer.fixed(piece.predecessor)
        writer.fixed(piece.cut ?? .max)
    }

    private static func piece(_ reader: inout ByteReader) throws(WireError) -> JournalPiece {
        let tenure = try tenure(&reader)
        let windows = try list(&reader, limit: pieceWindowLimit)
        guard !windows.isEmpty else { throw .malformed }
        let offset = try reader.fixed(UInt32.self)
        let number = try reader.fixed(UInt64.self)
        let predecessor = try reader.fixed(UInt32.self)
        let cut = try reader.fixed(UInt64.self)
        return JournalPiece(
            tenure: tenure, windows: windows, offset: offset, number: number, predecessor: predecessor,
            cut: cut == .max ? nil : cut)
    }
}

extension StoreOwner {
    func encode(to writer: inout ByteWriter) {
        writer.fixed(process.node.value)
        writer.fixed(process.boot.value)
        writer.value(machineID)
        writer.value(kernelBootID)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        let node = NodeID(try reader.fixed(UInt32.self))
        process = NodeBoot(node: node, boot: Boot(try reader.fixed(UInt64.self)))
        machineID = try reader.value()
        kernelBootID = try reader.value()
    }
}
