import CsnapCore

/// Takes a stream apart: bytes in, frames or one error out.
///
/// It holds at most one incomplete frame beside what was fed last, and refuses a frame by its header alone, before
/// its body has come. After an error it gives that error for ever: the connection is to be closed.
package struct FrameReader<Frame: SessionFrame>: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0
    private var failure: SessionFrameError?

    package init() {}

    /// Bytes that no frame has been made of yet.
    package var buffered: Int { buffer.count - start }

    package mutating func feed(_ bytes: some Sequence<UInt8>) {
        guard failure == nil else { return }
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole frame; nil: feed more.
    package mutating func next() throws(SessionFrameError) -> Frame? {
        if let failure { throw failure }
        do {
            return try take()
        } catch {
            failure = error
            buffer = []
            start = 0
            throw error
        }
    }

    private mutating func take() throws(SessionFrameError) -> Frame? {
        guard buffered >= SessionWire.headerSize else { return nil }
        let header = try FrameHeader(buffer, at: start)
        guard Frame.isKnown(type: header.type) else { throw .unknownType(header.type) }
        guard header.length <= UInt32(Frame.maximumBody) else { throw .tooLong(header.length) }
        let bodyStart = start + SessionWire.headerSize
        let end = bodyStart + Int(header.length)
        guard buffer.count >= end else { return nil }
        let summed = Array(buffer[start..<bodyStart - 4]) + buffer[bodyStart..<end]
        guard Castagnoli.checksum(summed) == header.checksum else { throw .checksum }
        var reader = ByteReader(Array(buffer[bodyStart..<end]))
        let frame = try Frame(type: header.type, epoch: header.epoch, body: &reader)
        guard reader.isAtEnd else { throw .body(.trailingBytes) }
        start = end
        return frame
    }
}

/// The fixed part of a frame, examined as far as both directions agree.
private struct FrameHeader {
    var type: UInt16
    var length: UInt32
    var epoch: Epoch
    var checksum: UInt32

    init(_ bytes: [UInt8], at start: Int) throws(SessionFrameError) {
        var reader = ByteReader(Array(bytes[start..<start + SessionWire.headerSize]))
        let version: UInt16
        let flags: UInt16
        do throws(WireError) {
            guard try reader.fixed(UInt32.self) == SessionWire.magic else { throw .foreign }
            version = try reader.fixed(UInt16.self)
            type = try reader.fixed(UInt16.self)
            flags = try reader.fixed(UInt16.self)
            guard try reader.fixed(UInt16.self) == 0 else { throw .malformed }
            length = try reader.fixed(UInt32.self)
            epoch = Epoch(try reader.fixed(UInt64.self))
            checksum = try reader.fixed(UInt32.self)
        } catch {
            throw error == .foreign ? .foreign : .body(error)
        }
        guard version == SessionWire.version else { throw .version(version) }
        guard flags & SessionWire.mandatoryFlags == 0 else { throw .mandatoryFlag(flags) }
        guard epoch.value <= Limits.epoch else { throw .body(.malformed) }
    }
}
