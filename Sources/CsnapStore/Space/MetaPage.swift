import CsnapCore

/// A page of the size of a node that is no tree node: a link of the catalog, or a page of the space map.
///
///     0       4        8        16            24               28     32
///     | magic | length | offset | next offset | next checksum  | kind | payload ...
struct MetaPage: Equatable, Sendable {
    enum Kind: UInt32, Equatable, Sendable {
        case catalog = 1
        case space = 2
    }

    static let headerSize = 32
    /// "CSPG" in the order of its bytes.
    static let magic: UInt32 = 0x4750_5343

    var kind: Kind
    var payload: [UInt8]
    var next: NodePointer?

    func encoded(at offset: UInt64, pageSize: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: pageSize)
        writer.fixed(Self.magic)
        writer.fixed(UInt32(payload.count))
        writer.fixed(offset)
        writer.fixed(next?.offset ?? 0)
        writer.fixed(next?.checksum ?? 0)
        writer.fixed(kind.rawValue)
        writer.raw(payload)
        precondition(writer.count <= pageSize, "a page has room for its payload")
        writer.zeros(pageSize - writer.count)
        return writer.bytes
    }

    /// Nil: not the page that the pointer means.
    init?(_ bytes: [UInt8], _ pointer: NodePointer, kind: Kind) {
        guard Castagnoli.checksum(bytes) == pointer.checksum else { return nil }
        var reader = ByteReader(bytes)
        do throws(WireError) {
            guard try reader.fixed(UInt32.self) == Self.magic else { return nil }
            let length = Int(try reader.fixed(UInt32.self))
            guard try reader.fixed(UInt64.self) == pointer.offset else { return nil }
            let offset = try reader.fixed(UInt64.self)
            let checksum = try reader.fixed(UInt32.self)
            guard try reader.fixed(UInt32.self) == kind.rawValue else { return nil }
            next = offset == 0 ? nil : NodePointer(offset: offset, checksum: checksum)
            payload = try reader.raw(length)
        } catch {
            return nil
        }
        self.kind = kind
    }

    init(kind: Kind, payload: [UInt8], next: NodePointer?) {
        self.kind = kind
        self.payload = payload
        self.next = next
    }
}
