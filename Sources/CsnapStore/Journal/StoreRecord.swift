package import CsnapCore

/// One logical change of a store. Applied alike when it is committed and when it is replayed.
enum StoreRecord: Equatable, Sendable {
    case put(Entry)
    /// The entry and its offset: the sweep gives its place back.
    case remove(EntryKey, offset: UInt64)
    case created(Snapshot)
    case deleted(SnapshotNumber)
    case changed(SnapshotNumber, name: String, priority: Int32, flags: SnapshotFlags)
    case prepared(PreparedSnapshot)
    case abandoned(Bits128)
    case writerAdded(WriterRecord)
    case writerCleared(WriterRecord)
    /// A window was given to this tenure; the one of its kind before it is sealed (a journal's when it is left).
    case opened(WindowKind, UInt32)
    case settled(Tenure)
    case resized(UInt64)
    /// The sweep has gone past this key.
    case swept(EntryKey)
    case sweepEnded
    /// Branches hold what was overwritten: a sweep of theirs is due.
    case overwritten
    /// A repair voids what clients know to be unshared.
    case generationRaised(UInt64)
    /// A revert begins, moves on or (nil) has ended.
    case reverting(RevertState?)

    /// Whether it is written even where room is short: it frees space, admits or clears a writer, or ends something.
    var mayUseReserve: Bool {
        switch self {
        case .remove, .deleted, .abandoned, .writerAdded, .writerCleared, .settled, .swept, .sweepEnded,
            .overwritten, .generationRaised, .reverting(nil), .opened(.nodes, _), .opened(.journal, _):
            true
        case .put, .created, .changed, .prepared, .resized, .reverting, .opened: false
        }
    }
}

extension StoreRecord: WireValue {
    /// Longest record in bytes: a prepared snapshot.
    static let longest = 160

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .put(let entry):
            writer.byte(1)
            writer.value(entry.key)
            writer.fixed(entry.offset)
            writer.fixed(entry.checksum)
        case .remove(let key, let offset):
            writer.byte(2)
            writer.value(key)
            writer.fixed(offset)
        case .created(let snapshot):
            writer.byte(3)
            writer.value(snapshot)
        case .deleted(let number):
            writer.byte(4)
            writer.fixed(number.value)
        case .changed(let number, let name, let priority, let flags):
            writer.byte(5)
            writer.fixed(number.value)
            writer.string(name)
            writer.fixed(UInt32(bitPattern: priority))
            writer.fixed(flags.rawValue)
        case .prepared(let snapshot):
            writer.byte(6)
            writer.value(snapshot)
        case .abandoned(let uuid):
            writer.byte(7)
            writer.value(uuid)
        case .writerAdded(let record):
            writer.byte(8)
            writer.value(record)
        case .writerCleared(let record):
            writer.byte(9)
            writer.value(record)
        case .opened(let kind, let window):
            writer.byte(10)
            writer.byte(kind.rawValue)
            writer.fixed(window)
        case .settled(let tenure):
            writer.byte(11)
            writer.fixed(tenure.epoch.value)
            writer.fixed(tenure.round.value)
        case .resized(let size):
            writer.byte(12)
            writer.fixed(size)
        case .swept(let key):
            writer.byte(13)
            writer.value(key)
        case .sweepEnded: writer.byte(14)
        case .generationRaised(let generation):
            writer.byte(15)
            writer.fixed(generation)
        case .reverting(let revert):
            writer.byte(16)
            writer.optional(revert)
        case .overwritten: writer.byte(17)
        }
    }

    init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 1:
            self = .put(
                Entry(
                    key: try reader.value(), offset: try reader.fixed(UInt64.self),
                    checksum: try reader.fixed(UInt32.self)))
        case 2: self = .remove(try reader.value(), offset: try reader.fixed(UInt64.self))
        case 3: self = .created(try reader.value())
        case 4: self = .deleted(SnapshotNumber(try reader.fixed(UInt64.self)))
        case 5:
            self = .changed(
                SnapshotNumber(try reader.fixed(UInt64.self)), name: try reader.string(limit: StoreLimits.nameLength),
                priority: Int32(bitPattern: try reader.fixed(UInt32.self)),
                flags: SnapshotFlags(rawValue: try reader.fixed(UInt32.self)))
        case 6: self = .prepared(try reader.value())
        case 7: self = .abandoned(try reader.value())
        case 8: self = .writerAdded(try reader.value())
        case 9: self = .writerCleared(try reader.value())
        case 10:
            guard let kind = WindowKind(rawValue: try reader.byte()), kind != .free else { throw .malformed }
            self = .opened(kind, try reader.fixed(UInt32.self))
        case 11:
            let epoch = try reader.fixed(UInt64.self)
            let round = try reader.fixed(UInt32.self)
            guard epoch <= Limits.epoch, round <= Limits.round else { throw .malformed }
            self = .settled(Tenure(epoch: Epoch(epoch), round: Round(round)))
        case 12: self = .resized(try reader.fixed(UInt64.self))
        case 13: self = .swept(try reader.value())
        case 14: self = .sweepEnded
        case 15: self = .generationRaised(try reader.fixed(UInt64.self))
        case 16: self = .reverting(try reader.optional())
        case 17: self = .overwritten
        default: throw .malformed
        }
    }
}

extension EntryKey: WireValue {
    func encode(to writer: inout ByteWriter) {
        writer.fixed(branch)
        writer.fixed(chunk)
        writer.fixed(end)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        branch = try reader.fixed(UInt32.self)
        chunk = try reader.fixed(UInt64.self)
        end = try reader.fixed(UInt64.self)
        guard end < .max else { throw .malformed }
    }
}

extension SnapshotRequest: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(uuid)
        writer.string(name)
        writer.fixed(UInt32(bitPattern: priority))
        writer.fixed(flags.rawValue)
        writer.fixed(created)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        uuid = try reader.value()
        name = try reader.string(limit: StoreLimits.nameLength)
        priority = Int32(bitPattern: try reader.fixed(UInt32.self))
        flags = SnapshotFlags(rawValue: try reader.fixed(UInt32.self))
        created = try reader.fixed(UInt64.self)
    }
}

extension Snapshot: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(number.value)
        writer.fixed(size)
        writer.value(about)
        if number.branch != nil { writer.fixed(base?.value ?? 0) }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        number = SnapshotNumber(try reader.fixed(UInt64.self))
        size = try reader.fixed(UInt64.self)
        about = try reader.value()
        base = number.branch == nil ? nil : SnapshotNumber(try reader.fixed(UInt64.self))
        guard number.isPossible, base.map({ $0.isPossible && $0.branch == nil }) ?? true,
            size <= StoreLayout.maximumOriginSize
        else { throw .malformed }
    }
}

extension PreparedSnapshot: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(about)
        writer.value(decider)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        about = try reader.value()
        decider = try reader.value()
    }
}

extension WriterRecord: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(node.value)
        writer.value(machineID)
        writer.value(kernelBootID)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        node = NodeID(try reader.fixed(UInt32.self))
        machineID = try reader.value()
        kernelBootID = try reader.value()
    }
}
