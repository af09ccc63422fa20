/// Why a state file cannot be used. The node is then a learner; nothing of the file is to be believed (§1).
package enum StoredStateError: Error, Equatable, Sendable {
    /// The file ends before its stated length: an interrupted copy, or a full disk.
    case truncated
    /// Contents and checksum disagree, or this is no state file.
    case damaged
    /// Intact, but written by a newer csnap.
    case newerVersion(UInt16)
}

extension StoredStateError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .truncated:
            "the state file is cut short; move it away and start again, the node then joins as a learner"
        case .damaged:
            "the state file is damaged; move it away and start again, the node then joins as a learner"
        case .newerVersion(let version):
            "the state file has version \(version), written by a newer csnap; upgrade csnap on this node"
        }
    }
}

/// The state file: magic "CSNS", version, length of the body, body, CRC32C over all before it.
///
/// Magic, version, length and checksum stay where they are in every later version.
package enum StoredStateCodec {
    package static let version: UInt16 = 1
    private static let magic: [UInt8] = [0x43, 0x53, 0x4e, 0x53]
    private static let headerSize = 10
    private static let checksumSize = 4

    package static func encode(_ state: StoredState) -> [UInt8] {
        var body = ByteWriter(capacity: 512)
        body.value(state)
        var writer = ByteWriter(capacity: body.count + headerSize + checksumSize)
        writer.raw(magic)
        writer.fixed(version)
        writer.fixed(UInt32(truncatingIfNeeded: body.count))
        writer.raw(body.bytes)
        writer.fixed(Castagnoli.checksum(writer.bytes))
        return writer.bytes
    }

    package static func decode(_ bytes: [UInt8]) throws(StoredStateError) -> StoredState {
        guard magic.starts(with: bytes.prefix(magic.count)) else { throw .damaged }
        guard bytes.count >= headerSize + checksumSize else { throw .truncated }
        var reader = ByteReader(bytes)
        let (seenVersion, length) = try header(&reader)
        guard reader.remaining >= Int(length) + checksumSize else { throw .truncated }
        guard reader.remaining == Int(length) + checksumSize else { throw .damaged }
        let checked = bytes.dropLast(checksumSize)
        let checksum = bytes.suffix(checksumSize).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard Castagnoli.checksum(Array(checked)) == checksum else { throw .damaged }
        guard seenVersion <= version else { throw .newerVersion(seenVersion) }
        guard seenVersion == version else { throw .damaged }
        return try body(of: Array(checked.dropFirst(headerSize)))
    }

    private static func header(_ reader: inout ByteReader) throws(StoredStateError) -> (UInt16, UInt32) {
        do throws(WireError) {
            _ = try reader.raw(magic.count)
            return (try reader.fixed(UInt16.self), try reader.fixed(UInt32.self))
        } catch { throw .truncated }
    }

    private static func body(of bytes: [UInt8]) throws(StoredStateError) -> StoredState {
        do throws(WireError) {
            var reader = ByteReader(bytes)
            let state = try reader.value(StoredState.self)
            try reader.finish()
            return state
        } catch { throw .damaged }
    }
}

extension StoredState: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(cluster)
        writer.value(process)
        writer.value(machineID)
        writer.value(kernelBootID)
        writer.value(startBits)
        writer.optional(promise)
        writer.value(highestEpoch)
        writer.optional(committed)
        writer.optional(pending)
        writer.list(admissions.entries)
        writer.flag(mayVote)
        writer.flag(enabled)
        writer.list(peers)
        writer.value(floor)
        writer.list(volumeEpochs)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let cluster = try reader.value(Bits128.self)
        let process = try reader.value(NodeBoot.self)
        let machineID = try reader.value(Bits128.self)
        let kernelBootID = try reader.value(Bits128.self)
        self.init(
            process: process, machineID: machineID, kernelBootID: kernelBootID, startBits: try reader.value())
        self.cluster = cluster
        promise = try reader.optional()
        highestEpoch = try reader.value()
        committed = try reader.optional()
        pending = try reader.optional()
        admissions = AdmissionTable(merging: try reader.list(limit: Limits.storedEntries))
        mayVote = try reader.flag()
        enabled = try reader.flag()
        peers = try reader.list(limit: Limits.storedEntries)
        // Files of before have no such fields.
        if reader.remaining > 0 { floor = try reader.value() }
        if reader.remaining > 0 { volumeEpochs = try reader.list(limit: Limits.rememberedVolumes) }
    }
}
