import CsnapCore
import CsnapRuntime
import Testing

/// The stream of send and receive: what was not written whole, in its place and by one sender, is not believed.
@Suite struct SnapshotStreamTests {
    static func header(base: Bits128 = .zero, size: UInt64 = 1 << 20, start: UInt64 = 0) -> StreamHeader {
        StreamHeader(
            cluster: Bits128(high: 1, low: 2), volume: "data", snapshot: Bits128(high: 3, low: 4), name: "monday",
            created: 1_700_000_000, base: base, size: size, chunkSize: 65536, start: start)
    }

    static let block = [UInt8](repeating: 7, count: 4096)
    static let frames: [StreamFrame] = [
        .data(offset: 0, block), .zeros(offset: 4096, count: (1 << 20) - 8192), .data(offset: (1 << 20) - 4096, block),
        .end,
    ]

    static func bytes(_ header: StreamHeader = header(), _ frames: [StreamFrame] = frames) throws -> [UInt8] {
        var all: [UInt8] = []
        var writer = try StreamWriter(header) { all += $0 }
        for frame in frames { try writer.put(frame) }
        return all
    }

    /// All frames up to the end; throws what is wrong.
    static func read(_ bytes: [UInt8]) throws -> (StreamHeader, [StreamFrame]) {
        var rest = bytes[...]
        var reader = try StreamReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        var frames: [StreamFrame] = []
        repeat { frames.append(try reader.next()) } while frames.last != .end
        return (reader.header, frames)
    }

    static func problem(_ bytes: [UInt8]) -> StreamError? {
        do {
            _ = try read(bytes)
            return nil
        } catch {
            return error as? StreamError
        }
    }

    @Test func whatIsWrittenIsRead() throws {
        let (header, frames) = try Self.read(try Self.bytes())
        #expect(header == Self.header() && frames == Self.frames)
        let since = Self.header(base: Bits128(high: 5, low: 6), start: 65536)
        let same = StreamFrame.same(offset: 4096, count: 4096, digest: StreamDigest.of(Self.block))
        let sparse = [same, .data(offset: 131072, Self.block), .end]
        let read = try Self.read(try Self.bytes(since, sparse))
        #expect(read.0 == since && read.1 == sparse)
    }

    @Test func everyFlippedByteIsNoticed() throws {
        let whole = try Self.bytes()
        for index in whole.indices {
            var changed = whole
            changed[index] ^= 0x10
            #expect(Self.problem(changed) != nil, "byte \(index)")
        }
    }

    @Test func everyCutIsNoticed() throws {
        let whole = try Self.bytes()
        for count in whole.indices {
            switch Self.problem(Array(whole[..<count])) {
            case .truncated(let position): #expect(position == UInt64(count))
            case .foreign: #expect(count < 16)
            case let other: Issue.record("\(count) bytes: \(String(describing: other))")
            }
        }
    }

    @Test func foreignBytesAreNamed() throws {
        #expect(Self.problem(Array("QFI\u{fb}, an image of QEMU".utf8)) == .foreign)
        var newer = try Self.bytes()
        newer[8] = 2
        #expect(Self.problem(newer) == .version(2))
        #expect("\(StreamError.version(2))".contains("upgrade"))
    }

    /// Frames that are whole, and do not belong where they are.
    @Test func framesStayInTheirStreamAndPlace() throws {
        let whole = try Self.bytes()
        let head = Self.header().bytes.count
        let first = 40 + 4096
        let withoutOne = Array(whole[..<head]) + whole[(head + first)...]
        #expect(Self.problem(withoutOne) == .corrupt(at: UInt64(head), "a frame is missing"))
        let other = try Self.bytes(Self.header(size: 2 << 20), [.data(offset: 0, Self.block)])
        let mixed = Array(whole[..<head]) + other[head...]
        #expect(Self.problem(mixed) == .corrupt(at: UInt64(head), "no frame of this stream"))
        let since = Self.header(base: Bits128(high: 5, low: 6), start: 4096)
        let digest = StreamDigest.of(Self.block)
        let wrong: [(StreamHeader, [StreamFrame])] = [
            (Self.header(), [.data(offset: 4096, Self.block), .end]),
            (Self.header(), [.data(offset: 0, Self.block), .end]),
            (Self.header(), [.zeros(offset: 0, count: (1 << 20) + 512), .end]),
            (Self.header(), [.zeros(offset: 0, count: 0), .end]),
            (Self.header(), [.zeros(offset: 0, count: 100), .end]),
            (since, [.data(offset: 8192, Self.block), .data(offset: 8192, Self.block), .end]),
            (since, [.data(offset: 8192, Self.block), .data(offset: 0, Self.block), .end]),
            (since, [.same(offset: 4096, count: 4096, digest: digest), .end]),
            (since, [.same(offset: 0, count: 4096, digest: [1, 2]), .end]),
            (since, [.data(offset: .max - 511, Self.block), .end]),
        ]
        for (header, frames) in wrong {
            guard case .corrupt = Self.problem(try Self.bytes(header, frames)) else {
                Issue.record("\(frames) was believed")
                continue
            }
        }
    }
}
