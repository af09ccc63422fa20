package import CsnapCore

extension SnapshotCommand: WireValue {
    private var kind: UInt8 {
        switch self {
        case .create: 1
        case .delete: 2
        case .rename: 3
        case .list: 4
        case .examine: 5
        case .changes: 6
        case .createSeveral: 16
        case .beginRevert: 17
        case .moveRevert: 18
        case .endRevert: 19
        case .check: 20
        case .resize: 21
        case .branch: 22
        case .beginReceive: 23
        case .finishReceive: 24
        case .show: 25
        }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.byte(kind)
        writer.string(volume)
        switch self {
        case .create(_, let name, let uuid, let priority):
            writer.string(name)
            writer.value(uuid)
            writer.fixed(UInt32(bitPattern: priority))
        case .show(_, let name): writer.string(name)
        case .delete(_, let name, let uuid):
            writer.string(name)
            writer.optional(uuid)
        case .rename(_, let from, let to, let uuid):
            writer.string(from)
            writer.string(to)
            writer.optional(uuid)
        case .list(_, let after): writer.varint(after)
        case .examine, .resize: break
        case .changes(_, let query): writer.value(query)
        case .beginRevert(_, let name, let uuid), .finishReceive(_, let name, let uuid):
            writer.string(name)
            writer.value(uuid)
        case .moveRevert(_, let uuid, let cursor):
            writer.value(uuid)
            writer.varint(cursor)
        case .endRevert(_, let uuid), .beginReceive(_, let uuid), .check(_, let uuid): writer.value(uuid)
        case .createSeveral(let volumes, let name, let uuid, let priority):
            writer.string(name)
            writer.value(uuid)
            writer.fixed(UInt32(bitPattern: priority))
            writer.varint(UInt64(max(volumes.count, 1) - 1))
            for volume in volumes.dropFirst() { writer.string(volume) }
        case .branch(_, let from, let name, let uuid):
            writer.string(from)
            writer.string(name)
            writer.value(uuid)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let kind = try reader.byte()
        let volume = try reader.string(limit: Limits.volumeName)
        switch kind {
        case 1:
            self = .create(
                volume: volume, name: try reader.string(limit: SnapshotName.limit), uuid: try reader.value(),
                priority: Int32(bitPattern: try reader.fixed(UInt32.self)))
        case 2:
            self = .delete(
                volume: volume, name: try reader.string(limit: SnapshotName.limit), uuid: try reader.optional())
        case 3:
            self = .rename(
                volume: volume, from: try reader.string(limit: SnapshotName.limit),
                to: try reader.string(limit: SnapshotName.limit), uuid: try reader.optional())
        case 4: self = .list(volume: volume, after: try reader.varint())
        case 5: self = .examine(volume: volume)
        case 6: self = .changes(volume: volume, try reader.value())
        case 16:
            let name = try reader.string(limit: SnapshotName.limit)
            let uuid: Bits128 = try reader.value()
            let priority = Int32(bitPattern: try reader.fixed(UInt32.self))
            var volumes = [volume]
            let more = try reader.varint()
            guard more < UInt64(SessionWire.volumesOfOneCommand) else { throw .tooLarge }
            for _ in 0..<more { volumes.append(try reader.string(limit: Limits.volumeName)) }
            self = .createSeveral(volumes: volumes, name: name, uuid: uuid, priority: priority)
        case 20: self = .check(volume: volume, uuid: try reader.value())
        case 21: self = .resize(volume: volume)
        case 22:
            self = .branch(
                volume: volume, from: try reader.string(limit: SnapshotName.limit),
                name: try reader.string(limit: SnapshotName.limit), uuid: try reader.value())
        case 17:
            self = .beginRevert(
                volume: volume, name: try reader.string(limit: SnapshotName.limit), uuid: try reader.value())
        case 24:
            self = .finishReceive(
                volume: volume, name: try reader.string(limit: SnapshotName.limit), uuid: try reader.value())
        case 23: self = .beginReceive(volume: volume, uuid: try reader.value())
        case 18: self = .moveRevert(volume: volume, uuid: try reader.value(), cursor: try reader.varint())
        case 19: self = .endRevert(volume: volume, uuid: try reader.value())
        case 25: self = .show(volume: volume, name: try reader.string(limit: SnapshotName.limit))
        default: throw .unknownKind(kind)
        }
    }
}
