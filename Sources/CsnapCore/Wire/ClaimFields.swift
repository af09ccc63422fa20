// Field by field, in the order of the types; docs/protocol.md §4 and §5.

extension Claim: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.choice(phase)
        writer.value(server)
        writer.value(serviceAddress)
        writer.varint(configurationVersion)
        writer.volumes(volumes)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            tenure: try reader.value(), phase: try reader.choice(), server: try reader.value(),
            serviceAddress: try reader.value(), configurationVersion: try reader.varint(),
            volumes: try reader.volumes())
    }
}

extension VoterSet: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(version)
        writer.list(voters)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            version: try reader.varint(upTo: Limits.version), voters: try reader.list(limit: Limits.voters))
    }
}

extension PendingVoterSet: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(set)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), set: try reader.value())
    }
}

extension Promise: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(holder)
        writer.flag(released)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), holder: try reader.value(), released: try reader.flag())
    }
}

extension PreClaim: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.fixed(nonce)
        writer.fixed(configurationHash)
        writer.choice(reason)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            epoch: try reader.value(), nonce: try reader.fixed(UInt64.self),
            configurationHash: try reader.fixed(UInt64.self), reason: try reader.choice())
    }
}

extension PreGrant: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.fixed(nonce)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), nonce: try reader.fixed(UInt64.self))
    }
}

extension PreDeny: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.choice(reason)
        writer.optional(claim)
        writer.value(remaining)
        writer.value(highestEpoch)
        writer.optional(configuration)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            nonce: try reader.fixed(UInt64.self), reason: try reader.choice(), claim: try reader.optional(),
            remaining: try reader.value(), highestEpoch: try reader.value(), configuration: try reader.optional())
    }
}

extension VoteRequest: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.fixed(nonce)
        writer.fixed(configurationHash)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            epoch: try reader.value(), nonce: try reader.fixed(UInt64.self),
            configurationHash: try reader.fixed(UInt64.self))
    }
}

extension Grant: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.fixed(nonce)
        writer.choice(promiseWas)
        writer.value(sinceRelease)
        writer.list(admissions)
        writer.value(committed)
        writer.optional(pending)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            epoch: try reader.value(), nonce: try reader.fixed(UInt64.self), promiseWas: try reader.choice(),
            sinceRelease: try reader.value(), admissions: try reader.list(), committed: try reader.value(),
            pending: try reader.optional())
    }
}

extension Deny: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.choice(reason)
        writer.optional(promised)
        writer.value(remaining)
        writer.value(highestEpoch)
        writer.optional(configuration)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            nonce: try reader.fixed(UInt64.self), reason: try reader.choice(), promised: try reader.optional(),
            remaining: try reader.value(), highestEpoch: try reader.value(), configuration: try reader.optional())
    }
}

extension Renew: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.fixed(nonce)
        writer.choice(phase)
        writer.fixed(configurationHash)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            epoch: try reader.value(), nonce: try reader.fixed(UInt64.self), phase: try reader.choice(),
            configurationHash: try reader.fixed(UInt64.self))
    }
}

extension RenewAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.fixed(nonce)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), nonce: try reader.fixed(UInt64.self))
    }
}

extension RenewNak: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(promised)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), promised: try reader.value())
    }
}

extension Release: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(holder)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), holder: try reader.value())
    }
}

extension Transfer: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(holder)
        writer.value(successor)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), holder: try reader.value(), successor: try reader.value())
    }
}

extension ConfigPropose: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(committed)
        writer.value(proposed)
        writer.list(admissions)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            epoch: try reader.value(), committed: try reader.value(), proposed: try reader.value(),
            admissions: try reader.list())
    }
}

extension ConfigAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.varint(version)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), version: try reader.varint())
    }
}

extension ConfigCommit: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(committed)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), committed: try reader.value())
    }
}

extension ConfigCommitAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.varint(version)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), version: try reader.varint())
    }
}

extension VoteRecover: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.fixed(nonce) }

    package init(from reader: inout ByteReader) throws(WireError) { self.init(nonce: try reader.fixed(UInt64.self)) }
}

extension VoteRecoverAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(highestEpoch)
        writer.optional(promise)
        writer.value(floor)
        writer.list(admissions)
        writer.value(committed)
        writer.optional(pending)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            nonce: try reader.fixed(UInt64.self), highestEpoch: try reader.value(), promise: try reader.optional(),
            floor: try reader.value(), admissions: try reader.list(), committed: try reader.value(),
            pending: try reader.optional())
    }
}

/// Volumes that a server names, or does not.
extension ByteWriter {
    mutating func volumes(_ volumes: [VolumeDigest]?) {
        flag(volumes != nil)
        if let volumes { list(volumes) }
    }
}

extension ByteReader {
    mutating func volumes() throws(WireError) -> [VolumeDigest]? {
        try flag() ? try list(limit: Limits.claimedVolumes) : nil
    }
}
