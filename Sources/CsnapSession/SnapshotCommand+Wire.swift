package import CsnapCore

extension SnapshotCommand: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .create(let volume, let name, let uuid, let priority):
            writer.byte(1)
            writer.string(volume)
            writer.string(name)
            writer.value(uuid)
            writer.fixed(UInt32(bitPattern: priority))
        case .delete(let volume, let name):
            writer.byte(2)
            writer.string(volume)
            writer.string(name)
        case .rename(let volume, let from, let to):
            writer.byte(3)
            writer.string(volume)
            writer.string(from)
            writer.string(to)
        case .list(let volume, let after):
            writer.byte(4)
            writer.string(volume)
            writer.varint(after)
        case .examine(let volume):
            writer.byte(5)
            writer.string(volume)
        case .changes(let volume, let query):
            writer.byte(6)
            writer.string(volume)
            writer.value(query)
        case .beginRevert(let volume, let name, let uuid):
            writer.byte(17)
            writer.string(volume)
            writer.string(name)
            writer.value(uuid)
        case .moveRevert(let volume, let uuid, let cursor):
            writer.byte(18)
            writer.string(volume)
            writer.value(uuid)
            writer.varint(cursor)
        case .endRevert(let volume, let uuid):
            writer.byte(19)
            writer.string(volume)
            writer.value(uuid)
        case .createSeveral(let volumes, let name, let uuid, let priority):
            writer.byte(16)
            writer.string(volumes.first ?? "")
            writer.string(name)
            writer.value(uuid)
            writer.fixed(UInt32(bitPattern: priority))
            writer.varint(UInt64(max(volumes.count, 1) - 1))
            for volume in volumes.dropFirst() { writer.string(volume) }
        case .resize(let volume):
            writer.byte(21)
            writer.string(volume)
        case .check(let volume, let uuid):
            writer.byte(20)
            writer.string(volume)
            writer.value(uuid)
        case .branch(let volume, let from, let name, let uuid):
            writer.byte(22)
            writer.string(volume)
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
        case 2: self = .delete(volume: volume, name: try reader.string(limit: SnapshotName.limit))
        case 3:
            self = .rename(
                volume: volume, from: try reader.string(limit: SnapshotName.limit),
                to: try reader.string(limit: SnapshotName.limit))
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
        case 18: self = .moveRevert(volume: volume, uuid: try reader.value(), cursor: try reader.varint())
        case 19: self = .endRevert(volume: volume, uuid: try reader.value())
        default: throw .unknownKind(kind)
        }
    }
}
