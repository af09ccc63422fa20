package import CsnapCore

extension BarrierAttempt: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.varint(counter)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(tenure: try reader.value(), counter: try reader.varint())
    }
}

extension SessionWriter: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(node)
        writer.value(machineID)
        writer.value(kernelBootID)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(node: try reader.value(), machineID: try reader.value(), kernelBootID: try reader.value())
    }
}

/// Refused when it is empty.
extension MapPiece: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(UInt64(count))
        switch place {
        case .origin: writer.byte(0)
        case .store(let address):
            invariant(.bounds, checksums.count == Int(count), "a checksum for each saved chunk")
            writer.byte(1)
            writer.varint(address)
            for checksum in checksums { writer.fixed(checksum) }
        case .zero: writer.byte(2)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let count = try reader.varint32()
        guard count >= 1 else { throw .malformed }
        switch try reader.byte() {
        case 0: self.init(count: count, place: .origin)
        case 1:
            guard count <= SessionWire.maximumReadChunks else { throw .tooLarge }
            let place = Place.store(try reader.varint())
            var checksums: [UInt32] = []
            for _ in 0..<count { checksums.append(try reader.fixed(UInt32.self)) }
            self.init(count: count, place: place, checksums: checksums)
        case 2: self.init(count: count, place: .zero)
        default: throw .malformed
        }
    }
}

extension SnapshotEntry: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(number)
        writer.value(uuid)
        writer.string(name)
        writer.varint(size)
        writer.varint(createdAt)
        writer.fixed(UInt32(bitPattern: priority))
        writer.flag(isDamaged)
        writer.varint(base ?? 0)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        // No snapshot has number 0.
        func some(_ base: UInt64) -> UInt64? { base == 0 ? nil : base }
        self.init(
            number: try reader.varint(), uuid: try reader.value(), name: try reader.string(limit: SnapshotName.limit),
            size: try reader.varint(), createdAt: try reader.varint(),
            priority: Int32(bitPattern: try reader.fixed(UInt32.self)), isDamaged: try reader.flag(),
            base: some(try reader.varint()))
    }
}

extension CommandOutcome: WireValue {
    /// Bytes of the words that say who is to blame.
    package static let culpritLimit = 1024

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .done: writer.byte(0)
        case .snapshot(let entry):
            writer.byte(1)
            writer.value(entry)
        case .snapshots(let entries, let hasMore):
            writer.byte(2)
            writer.list(entries)
            writer.flag(hasMore)
        case .volume(let report):
            writer.byte(3)
            writer.value(report)
        case .check(let state):
            writer.byte(20)
            writer.value(state)
        case .refused(let reason, let culprit):
            writer.byte(4)
            writer.fixed(reason.rawValue)
            writer.string(culprit)
        case .changes(let changes):
            writer.byte(5)
            writer.value(changes)
        case .several(let snapshots):
            writer.byte(16)
            writer.list(snapshots)
        case .reverting(let revert):
            writer.byte(17)
            writer.value(revert)
        case .hanging(let age):
            writer.byte(18)
            writer.value(age)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let kind = try reader.byte()
        switch kind {
        case 0: self = .done
        case 1: self = .snapshot(try reader.value())
        case 2:
            self = .snapshots(try reader.list(limit: SessionWire.snapshotsPerPage), hasMore: try reader.flag())
        case 3: self = .volume(try reader.value())
        case 4:
            guard let reason = CommandRefusal(rawValue: try reader.fixed(UInt16.self)) else { throw .malformed }
            self = .refused(reason, culprit: try reader.string(limit: Self.culpritLimit))
        case 5: self = .changes(try reader.value())
        case 16: self = .several(try reader.list(limit: SessionWire.volumesOfOneCommand))
        case 20: self = .check(try reader.value())
        case 17: self = .reverting(try reader.value())
        case 18: self = .hanging(try reader.value())
        default: throw .unknownKind(kind)
        }
    }
}

extension ChangesQuery: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(from)
        writer.flag(to != nil)
        if let to { writer.varint(to) }
        writer.varint(first)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let from = try reader.varint()
        let to = try reader.flag() ? try reader.varint() : nil
        self.init(from: from, to: to, first: try reader.varint())
    }
}

/// Refused with a chunk size that is no power of two from 4 KiB to 1 MiB.
extension ChangedChunks: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(chunkSize)
        writer.varint(size)
        writer.list(ranges)
        writer.flag(next != nil)
        if let next { writer.varint(next) }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let chunkSize = try reader.fixed(UInt32.self)
        guard chunkSize.nonzeroBitCount == 1, (4 << 10...1 << 20).contains(chunkSize) else { throw .malformed }
        let size = try reader.varint()
        let ranges: [ChunkRange] = try reader.list(limit: SessionWire.maximumChanges)
        self.init(
            chunkSize: chunkSize, size: size, ranges: ranges, next: try reader.flag() ? try reader.varint() : nil)
    }
}

extension VolumeSnapshot: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.string(volume)
        writer.value(entry)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(volume: try reader.string(limit: Limits.volumeName), entry: try reader.value())
    }
}

extension VolumeReport: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(generation)
        writer.varint(UInt64(snapshots))
        writer.varint(originSize)
        writer.varint(storeSize)
        writer.varint(storeUsed)
        writer.varint(quarantined)
        writer.byte(percent)
        writer.varint(UInt64(sessions))
        writer.varint(UInt64(waitingWrites))
        writer.optional(heldUp)
        writer.optional(full)
        writer.list(holds)
        writer.list(lostWriters)
        writer.list(strangers)
        writer.optional(strangersAge)
        writer.optional(barrier)
        writer.optional(revert)
        writer.optional(revertAge)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            generation: try reader.varint(), snapshots: try reader.varint32(), originSize: try reader.varint(),
            storeSize: try reader.varint(), storeUsed: try reader.varint(), quarantined: try reader.varint(),
            percent: try reader.byte(), sessions: try reader.varint32())
        waitingWrites = try reader.varint32()
        heldUp = try reader.optional()
        full = try reader.optional()
        holds = try reader.list()
        lostWriters = try reader.list()
        strangers = try reader.list()
        strangersAge = try reader.optional()
        barrier = try reader.optional()
        revert = try reader.optional()
        revertAge = try reader.optional()
    }
}

extension LostWriter: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(node)
        writer.varint(boot.value)
        writer.value(age)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(node: try reader.value(), boot: Boot(try reader.varint()), age: try reader.value())
    }
}

extension RevertReport: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(uuid)
        writer.varint(number)
        writer.string(name)
        writer.value(node)
        writer.varint(cursor)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            uuid: try reader.value(), number: try reader.varint(), name: try reader.string(limit: SnapshotName.limit),
            node: try reader.value(), cursor: try reader.varint())
    }
}

extension BarrierReport: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.string(name)
        writer.value(age)
        writer.list(missing)
        writer.varint(UInt64(volumes.count))
        for volume in volumes { writer.string(volume) }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            name: try reader.string(limit: SnapshotName.limit), age: try reader.value(),
            missing: try reader.list())
        let count = try reader.varint()
        guard count <= UInt64(missing.count) else { throw .tooLarge }
        for _ in 0..<count { volumes.append(try reader.string(limit: Limits.volumeName)) }
    }
}

extension CheckState: WireValue {
    private static let problemLimit = 100

    package func encode(to writer: inout ByteWriter) {
        writer.flag(isDone)
        writer.varint(entries)
        writer.varint(total)
        writer.varint(nodes)
        writer.varint(UInt64(snapshots))
        writer.list(problems)
        writer.flag(hasMore)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            isDone: try reader.flag(), entries: try reader.varint(), total: try reader.varint(),
            nodes: try reader.varint(), snapshots: try reader.varint32(),
            problems: try reader.list(limit: Self.problemLimit), hasMore: try reader.flag())
    }
}

extension CheckState.Problem: WireValue {
    private static let codeLimit = 64
    private static let textLimit = 256

    package func encode(to writer: inout ByteWriter) {
        writer.string(code)
        writer.string(text)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            code: try reader.string(limit: Self.codeLimit), text: try reader.string(limit: Self.textLimit))
    }
}

extension HoldReport: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(node)
        writer.varint(UInt64(reads))
        writer.varint(chunks)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(node: try reader.value(), reads: try reader.varint32(), chunks: try reader.varint())
    }
}
