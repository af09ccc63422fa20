package import CsnapCore

extension ServerFrame: SessionFrame {
    /// Room for what maps of snapshot reads and their data will need.
    package static let maximumBody = 1 << 20

    package static func isKnown(type: UInt16) -> Bool { (129...143).contains(type) }

    package var type: UInt16 {
        switch self {
        case .welcome: 129
        case .refused: 130
        case .grant: 131
        case .error: 132
        case .pong: 133
        case .goAway: 134
        case .map: 135
        case .barrierBegin: 136
        case .barrierEnd: 137
        case .snapshots: 138
        case .outcome: 139
        case .snapshotsChanged: 140
        case .changes: 141
        case .data: 142
        case .written: 143
        }
    }

    package var epoch: Epoch {
        switch self {
        case .welcome(let welcome): welcome.tenure.epoch
        case .refused(_, let tenure), .goAway(let tenure): tenure.epoch
        case .grant(_, let epoch, _), .error(_, let epoch, _), .written(_, let epoch), .pong(let epoch),
            .map(_, let epoch, _),
            .snapshots(_, let epoch, _, _), .outcome(_, let epoch, _), .changes(_, let epoch, _),
            .snapshotsChanged(let epoch, _), .data(_, let epoch, _):
            epoch
        case .barrierBegin(let attempt), .barrierEnd(let attempt, _, _): attempt.tenure.epoch
        }
    }

    package func encodeBody(to writer: inout ByteWriter) {
        switch self {
        case .welcome(let welcome): writer.value(welcome)
        case .refused(let reason, let tenure):
            writer.fixed(reason.rawValue)
            writer.value(tenure.round)
        case .grant(let request, _, let generation):
            writer.fixed(request)
            writer.fixed(generation)
        case .error(let request, _, let code):
            writer.fixed(request)
            writer.fixed(code)
        case .pong: break
        case .goAway(let tenure): writer.value(tenure.round)
        case .map(let request, _, let pieces):
            writer.fixed(request)
            writer.list(pieces)
        case .barrierBegin(let attempt): writer.value(attempt)
        case .barrierEnd(let attempt, let generation, let originSize):
            writer.value(attempt)
            writer.varint(generation)
            writer.varint(originSize)
        case .snapshots(let request, _, let entries, let hasMore):
            writer.fixed(request)
            writer.list(entries)
            writer.flag(hasMore)
        case .outcome(let request, _, let outcome):
            writer.fixed(request)
            writer.value(outcome)
        case .snapshotsChanged(_, let number): writer.varint(number)
        case .changes(let request, _, let changes):
            writer.fixed(request)
            writer.value(changes)
        case .data(let request, _, let bytes):
            writer.fixed(request)
            writer.raw(bytes)
        case .written(let request, _): writer.fixed(request)
        }
    }

    package init(type: UInt16, epoch: Epoch, body reader: inout ByteReader) throws(SessionFrameError) {
        do throws(WireError) {
            self = try Self.decode(type: type, epoch: epoch, from: &reader)
        } catch {
            throw .body(error)
        }
    }

    private static func decode(
        type: UInt16, epoch: Epoch, from reader: inout ByteReader
    ) throws(WireError) -> ServerFrame {
        switch type {
        case 129:
            let welcome = try reader.value(SessionWelcome.self)
            guard welcome.tenure.epoch == epoch else { throw .malformed }
            return .welcome(welcome)
        case 130:
            guard let reason = SessionRefusal(rawValue: try reader.fixed(UInt16.self)) else { throw .malformed }
            return .refused(reason, tenure: Tenure(epoch: epoch, round: try reader.value()))
        case 131:
            return .grant(
                request: try reader.fixed(UInt64.self), epoch: epoch, generation: try reader.fixed(UInt64.self))
        case 132:
            return .error(request: try reader.fixed(UInt64.self), epoch: epoch, code: try reader.fixed(UInt16.self))
        case 133: return .pong(epoch: epoch)
        case 134: return .goAway(tenure: Tenure(epoch: epoch, round: try reader.value()))
        case 135...143: return try decodeSnapshot(type: type, epoch: epoch, from: &reader)
        default: throw .unknownKind(UInt8(truncatingIfNeeded: type))
        }
    }
}

extension ServerFrame {
    private static func decodeSnapshot(
        type: UInt16, epoch: Epoch, from reader: inout ByteReader
    ) throws(WireError) -> ServerFrame {
        switch type {
        case 135:
            return .map(
                request: try reader.fixed(UInt64.self), epoch: epoch,
                pieces: try reader.list(limit: SessionWire.maximumReadChunks))
        case 136: return .barrierBegin(try attempt(epoch, &reader))
        case 137:
            return .barrierEnd(
                try attempt(epoch, &reader), generation: try reader.varint(), originSize: try reader.varint())
        case 138:
            return .snapshots(
                request: try reader.fixed(UInt64.self), epoch: epoch,
                entries: try reader.list(limit: SessionWire.snapshotsPerPage), hasMore: try reader.flag())
        case 142:
            let request = try reader.fixed(UInt64.self)
            guard reader.remaining <= SessionWire.maximumData else { throw .malformed }
            return .data(request: request, epoch: epoch, bytes: try reader.raw(reader.remaining))
        case 143: return .written(request: try reader.fixed(UInt64.self), epoch: epoch)
        case 140: return .snapshotsChanged(epoch: epoch, from: try reader.varint())
        case 141: return .changes(request: try reader.fixed(UInt64.self), epoch: epoch, try reader.value())
        default: return .outcome(request: try reader.fixed(UInt64.self), epoch: epoch, try reader.value())
        }
    }

    private static func attempt(_ epoch: Epoch, _ reader: inout ByteReader) throws(WireError) -> BarrierAttempt {
        let attempt = try reader.value(BarrierAttempt.self)
        guard attempt.tenure.epoch == epoch else { throw .malformed }
        return attempt
    }
}

extension SessionWelcome: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(session)
        writer.value(tenure)
        writer.value(storeUUID)
        writer.fixed(originSize)
        writer.fixed(chunkSize)
        writer.fixed(generation)
    }

    /// The chunk size must be a power of two from 4 KiB to 1 MiB.
    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            session: try reader.fixed(UInt64.self), tenure: try reader.value(), storeUUID: try reader.value(),
            originSize: try reader.fixed(UInt64.self), chunkSize: try reader.fixed(UInt32.self),
            generation: try reader.fixed(UInt64.self))
        guard chunkSize.nonzeroBitCount == 1, (4 << 10...1 << 20).contains(chunkSize) else { throw .malformed }
    }
}
