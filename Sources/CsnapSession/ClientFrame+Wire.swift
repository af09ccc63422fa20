package import CsnapCore

extension ClientFrame: SessionFrame {
    /// 4096 ranges of the longest and a hello of the longest names fit it; a client is not trusted with more.
    package static let maximumBody = 64 << 10

    package static func isKnown(type: UInt16) -> Bool { (1...4).contains(type) }

    package var type: UInt16 {
        switch self {
        case .hello: 1
        case .queryWrite: 2
        case .ping: 3
        case .bye: 4
        }
    }

    package var epoch: Epoch {
        switch self {
        case .hello(let hello): hello.tenure.epoch
        case .queryWrite(_, let epoch, _): epoch
        case .ping(let epoch): epoch
        case .bye: .none
        }
    }

    package func encodeBody(to writer: inout ByteWriter) {
        switch self {
        case .hello(let hello): writer.value(hello)
        case .queryWrite(let request, _, let ranges):
            writer.fixed(request)
            writer.list(ranges)
        case .ping, .bye: break
        }
    }

    package init(type: UInt16, epoch: Epoch, body reader: inout ByteReader) throws(SessionFrameError) {
        do throws(WireError) {
            switch type {
            case 1:
                let hello = try reader.value(SessionHello.self)
                guard hello.tenure.epoch == epoch else { throw .malformed }
                self = .hello(hello)
            case 2:
                self = .queryWrite(
                    request: try reader.fixed(UInt64.self), epoch: epoch,
                    ranges: try reader.list(limit: SessionWire.maximumRanges))
            case 3: self = .ping(epoch: epoch)
            case 4:
                guard epoch == .none else { throw .malformed }
                self = .bye
            default: throw .unknownKind(UInt8(truncatingIfNeeded: type))
            }
        } catch {
            throw .body(error)
        }
    }
}

extension SessionHello: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(versions.lowerBound)
        writer.fixed(versions.upperBound)
        writer.value(process)
        writer.value(client)
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
