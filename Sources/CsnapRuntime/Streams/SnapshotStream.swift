import Crypto
import CsnapCore

/// Frames of a stream. Each is 40 bytes and a payload, little-endian:
///
///     0      4         8        16      24       32       36
///     | kind | payload | offset | count | number | stream | CRC-32C of what is before it and of the payload |
///
/// `number` rises by one from 1; `stream` is the header's checksum, so that frames of two streams do not mix.
private enum FrameLayout {
    static let size = 40
    static let data: UInt32 = 1
    static let zeros: UInt32 = 2
    static let same: UInt32 = 3
    static let end: UInt32 = 4

    static func bytes(
        _ kind: UInt32, offset: UInt64, count: UInt64, number: UInt64, stream: UInt32, _ payload: [UInt8]
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: size + payload.count)
        writer.fixed(kind)
        writer.fixed(UInt32(payload.count))
        writer.fixed(offset)
        writer.fixed(count)
        writer.fixed(number)
        writer.fixed(stream)
        writer.fixed(Castagnoli.checksum(writer.bytes + payload))
        writer.raw(payload)
        return writer.bytes
    }
}

package enum StreamDigest {
    package static func of(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
}

/// Writes a stream: the header at once, then frames.
package struct StreamWriter {
    package let header: StreamHeader
    private let stream: UInt32
    private var number: UInt64 = 0
    private var covered: UInt64 = 0
    private let write: ([UInt8]) throws -> Void

    package init(_ header: StreamHeader, write: @escaping ([UInt8]) throws -> Void) throws {
        self.header = header
        self.write = write
        let bytes = header.bytes
        stream = Castagnoli.checksum(bytes)
        try write(bytes)
    }

    package mutating func put(_ frame: StreamFrame) throws {
        switch frame {
        case .data(let offset, let bytes): try put(FrameLayout.data, offset, UInt64(bytes.count), bytes)
        case .zeros(let offset, let count): try put(FrameLayout.zeros, offset, count, [])
        case .same(let offset, let count, let digest): try put(FrameLayout.same, offset, count, digest)
        case .end: try put(FrameLayout.end, header.size, covered, [])
        }
    }

    private mutating func put(_ kind: UInt32, _ offset: UInt64, _ count: UInt64, _ payload: [UInt8]) throws {
        number += 1
        covered += count
        try write(
            FrameLayout.bytes(kind, offset: offset, count: count, number: number, stream: stream, payload))
    }
}

/// Takes a stream apart, and believes no frame that is not whole, in its place and of this stream.
package struct StreamReader {
    package let header: StreamHeader
    private let stream: UInt32
    private var number: UInt64 = 0
    private var covered: UInt64 = 0
    /// Where the last part of the image ended.
    private var position: UInt64 = 0
    /// Bytes of the stream that were taken.
    private var taken: UInt64
    private let read: (Int) throws -> [UInt8]

    /// `read` gives as many bytes as asked for, or fewer at the end. Throws `StreamError`, or what `read` throws.
    package init(read: @escaping (Int) throws -> [UInt8]) throws {
        self.read = read
        let prefix = try read(StreamHeader.prefixSize)
        guard prefix.count == StreamHeader.prefixSize else { throw StreamError.foreign }
        let wanted = try StreamHeader.rest(after: prefix)
        let rest = try read(wanted)
        guard rest.count == wanted else { throw StreamError.truncated(at: UInt64(prefix.count + rest.count)) }
        header = try StreamHeader(prefix + rest)
        stream = Castagnoli.checksum(prefix + rest)
        taken = UInt64(prefix.count + rest.count)
    }

    /// After `.end` there is nothing more.
    package mutating func next() throws -> StreamFrame {
        let start = taken
        let head = try take(FrameLayout.size)
        var fields = ByteReader(head)
        let kind = try fields.fixed(UInt32.self)
        let length = try fields.fixed(UInt32.self)
        let offset = try fields.fixed(UInt64.self)
        let count = try fields.fixed(UInt64.self)
        let numbered = try fields.fixed(UInt64.self)
        guard try fields.fixed(UInt32.self) == stream, length <= StreamFrame.maximumData else {
            throw StreamError.corrupt(at: start, "no frame of this stream")
        }
        let payload = try take(Int(length))
        guard try fields.fixed(UInt32.self) == Castagnoli.checksum(head.dropLast(4) + payload) else {
            throw StreamError.corrupt(at: start, "a checksum is wrong")
        }
        guard numbered == number + 1 else { throw StreamError.corrupt(at: start, "a frame is missing") }
        number = numbered
        return try frame(kind, offset, count, payload, start)
    }

    private mutating func take(_ count: Int) throws -> [UInt8] {
        let bytes = try read(count)
        taken += UInt64(bytes.count)
        guard bytes.count == count else { throw StreamError.truncated(at: taken) }
        return bytes
    }

    private mutating func frame(
        _ kind: UInt32, _ offset: UInt64, _ count: UInt64, _ payload: [UInt8], _ start: UInt64
    ) throws -> StreamFrame {
        if kind == FrameLayout.end {
            guard offset == header.size, count == covered, !header.isFull || position == header.size else {
                throw StreamError.corrupt(at: start, "its end does not fit what came before")
            }
            return .end
        }
        let isInPlace = header.isFull ? offset == position : offset >= position
        guard isInPlace, count > 0, offset <= header.size, count <= header.size - offset, offset % 512 == 0,
            count % 512 == 0
        else { throw StreamError.corrupt(at: start, "a part of the image is not in its place") }
        position = offset + count
        covered += count
        switch kind {
        case FrameLayout.data where payload.count == Int(clamping: count): return .data(offset: offset, payload)
        case FrameLayout.zeros where payload.isEmpty: return .zeros(offset: offset, count: count)
        case FrameLayout.same
        where payload.count == StreamFrame.digestSize && position <= header.start
            && count <= UInt64(StreamFrame.maximumData):
            return .same(offset: offset, count: count, digest: payload)
        default: throw StreamError.corrupt(at: start, "a frame of no known kind")
        }
    }
}
