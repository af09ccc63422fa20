package import CsnapCore

extension ClientFrame: SessionFrame {
    /// 4096 ranges of the longest, a hello of the longest names, and the data of a branch fit it; a client is not
    /// trusted with more.
    package static let maximumBody = 64 << 10 + 64

    package static func isKnown(type: UInt16) -> Bool { (1...14).contains(type) }

    package var type: UInt16 {
        switch self {
        case .hello: 1
        case .queryWrite: 2
        case .ping: 3
        case .bye: 4
        case .queryRead: 5
        case .endRead: 6
        case .barrierAck: 7
        case .listSnapshots: 8
        case .command: 9
        case .queryChanges: 10
        case .clientGone: 11
        case .readData: 12
        case .writeBranch: 13
        case .openImages: 14
        }
    }

    package var epoch: Epoch {
        switch self {
        case .hello(let hello): hello.tenure.epoch
        case .queryWrite(_, let epoch, _), .queryRead(_, let epoch, _, _), .endRead(_, let epoch),
            .listSnapshots(_, let epoch, _), .queryChanges(_, let epoch, _), .command(_, let epoch, _),
            .clientGone(_, let epoch, _, _), .readData(_, let epoch, _, _, _), .writeBranch(_, let epoch, _),
            .openImages(let epoch, _), .ping(let epoch):
            epoch
        case .barrierAck(let attempt, _): attempt.tenure.epoch
        case .bye: .none
        }
    }

    package func encodeBody(to writer: inout ByteWriter) {
        switch self {
        case .hello(let hello): writer.value(hello)
        case .queryWrite(let request, _, let ranges):
            writer.fixed(request)
            writer.list(ranges)
        case .queryRead(let request, _, let snapshot, let ranges):
            writer.fixed(request)
            writer.varint(snapshot)
            writer.list(ranges)
        case .endRead(let request, _): writer.fixed(request)
        case .barrierAck(let attempt, let origin):
            writer.value(attempt)
            writer.fixed(origin)
        case .listSnapshots(let request, _, let after):
            writer.fixed(request)
            writer.varint(after)
        case .command(let request, _, let command):
            writer.fixed(request)
            writer.value(command)
        case .queryChanges(let request, _, let query):
            writer.fixed(request)
            writer.value(query)
        case .clientGone(let request, _, let volume, let client):
            writer.fixed(request)
            writer.string(volume)
            writer.value(client)
        case .readData(let request, _, let snapshot, let offset, let length):
            writer.fixed(request)
            writer.varint(snapshot)
            writer.varint(offset)
            writer.varint(UInt64(length))
        case .writeBranch(let request, _, let data):
            writer.fixed(request)
            writer.value(data)
        case .openImages(_, let images):
            writer.varint(UInt64(images.count))
            for image in images { writer.varint(image) }
        case .ping, .bye: break
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
    ) throws(WireError) -> ClientFrame {
        switch type {
        case 1:
            let hello = try reader.value(SessionHello.self)
            guard hello.tenure.epoch == epoch else { throw .malformed }
            return .hello(hello)
        case 2:
            return .queryWrite(
                request: try reader.fixed(UInt64.self), epoch: epoch,
                ranges: try reader.list(limit: SessionWire.maximumRanges))
        case 3: return .ping(epoch: epoch)
        case 4:
            guard epoch == .none else { throw .malformed }
            return .bye
        case 5:
            return .queryRead(
                request: try reader.fixed(UInt64.self), epoch: epoch, snapshot: try reader.varint(),
                ranges: try reader.list(limit: SessionWire.maximumRanges))
        case 6: return .endRead(request: try reader.fixed(UInt64.self), epoch: epoch)
        case 7:
            let attempt = try reader.value(BarrierAttempt.self)
            guard attempt.tenure.epoch == epoch else { throw .malformed }
            return .barrierAck(attempt, origin: try reader.fixed(UInt32.self))
        case 8:
            return .listSnapshots(
                request: try reader.fixed(UInt64.self), epoch: epoch, after: try reader.varint())
        case 9: return .command(request: try reader.fixed(UInt64.self), epoch: epoch, try reader.value())
        case 10: return .queryChanges(request: try reader.fixed(UInt64.self), epoch: epoch, try reader.value())
        case 11:
            return .clientGone(
                request: try reader.fixed(UInt64.self), epoch: epoch,
                volume: try reader.string(limit: Limits.volumeName), client: try reader.value())
        case 12:
            return .readData(
                request: try reader.fixed(UInt64.self), epoch: epoch, snapshot: try reader.varint(),
                offset: try reader.varint(), length: try reader.varint32())
        case 13: return .writeBranch(request: try reader.fixed(UInt64.self), epoch: epoch, try reader.value())
        case 14:
            let count = try reader.varint()
            guard count <= UInt64(SessionWire.maximumOpenImages) else { throw .tooLarge }
            var images: [UInt64] = []
            for _ in 0..<count { images.append(try reader.varint()) }
            return .openImages(epoch: epoch, images)
        default: throw .unknownKind(UInt8(truncatingIfNeeded: type))
        }
    }
}

/// Refused when it is empty, too long, or has not as many bytes as it says.
extension BranchData: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(branch)
        writer.varint(offset)
        writer.varint(UInt64(length))
        writer.flag(!bytes.isEmpty)
        writer.raw(bytes)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let branch = try reader.varint()
        let offset = try reader.varint()
        let length = try reader.varint32()
        guard length >= 1, !offset.addingReportingOverflow(UInt64(length)).overflow else { throw .malformed }
        guard length <= UInt32(SessionWire.maximumData) else { throw .tooLarge }
        let bytes = try reader.flag() ? try reader.raw(Int(length)) : []
        self.init(branch: branch, offset: offset, length: length, bytes: bytes)
    }
}

extension SessionHello: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(versions.lowerBound)
        writer.fixed(versions.upperBound)
        writer.value(process)
        writer.value(client)
        writer.value(machineID)
        writer.value(kernelBootID)
        writer.string(volume)
        writer.string(image)
        writer.value(tenure)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let lowest = try reader.fixed(UInt16.self)
        let highest = try reader.fixed(UInt16.self)
        guard lowest <= highest else { throw .malformed }
        self.init(
            versions: lowest...highest, process: try reader.value(), client: try reader.value(),
            machineID: try reader.value(), kernelBootID: try reader.value(),
            volume: try reader.string(limit: Limits.volumeName),
            image: try reader.string(limit: SessionWire.maximumImageName), tenure: try reader.value())
    }
}

/// Refused when it is empty or passes the end of 64 bits.
extension ChunkRange: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(first)
        writer.varint(UInt64(count))
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let first = try reader.varint()
        let count = try reader.varint32()
        guard count >= 1, !first.addingReportingOverflow(UInt64(count)).overflow else { throw .malformed }
        self.init(first: first, count: count)
    }
}
