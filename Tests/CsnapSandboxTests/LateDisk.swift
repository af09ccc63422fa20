import CsnapRuntime
import CsnapSandbox
import CsnapStore
import Foundation
import Glibc
import Synchronization
import Testing

/// Another way to a file, on FUSE, with a volatile cache in it: a write returns at once and reaches the file with the
/// next flush, in no order. From a write of a chosen step on nothing reaches the file any more and no flush returns,
/// until `release`, whatever became of the process that wrote. Needs root, as `HeldDisk` does.
final class LateDisk: Sendable {
    private static let block = StoreLayout.blockSize

    private struct State {
        /// What was written and has not reached the file, by the number of its block.
        var cache: [UInt64: [UInt8]] = [:]
        /// From the first write of this step on nothing gets through.
        var awaited: StoreStep?
        var whenHeld: (@Sendable () -> Void)?
        var isHolding = false
        /// Cookies of the flushes that wait.
        var flushes: [UInt64] = []
    }

    /// What is to be opened instead of the file.
    let path: String
    private let state = Mutex(State())
    private let directory: String
    private let file: Int32
    private let size: UInt64
    private let listener: Int32
    private let peer: Int32
    private let fuse: SystemTool

    init(of file: String, in directory: String) throws {
        self.directory = directory
        path = directory + "/late.image"
        self.file = open(file, O_RDWR | O_CLOEXEC)
        try #require(self.file >= 0)
        size = UInt64(lseek(self.file, 0, SEEK_END))
        let address = directory + "/late.sock"
        listener = try Self.listen(address)
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        fuse = try SystemTool("nbdfuse", [path, "nbd+unix:///?socket=\(address)"])
        peer = accept(listener, nil, nil)
        try #require(peer >= 0)
        Thread.detachNewThread { [self] in serve() }
        try waitUntil("nbdfuse shows the file", seconds: 30) {
            var status = stat()
            return stat(path, &status) == 0 && status.st_size > 0
        }
    }

    private static func listen(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let address = try #require(UnixAddress(path))
        try #require(
            address.with { bind(descriptor, $0, $1) } == 0 && Glibc.listen(descriptor, 1) == 0,
            "cannot listen at \(path)")
        return descriptor
    }

    // MARK: Holding

    /// From the next write of this step on; `whenHeld` is called when its writer waits for the flush.
    func hold(from step: StoreStep, whenHeld: @escaping @Sendable () -> Void) {
        state.withLock {
            $0.awaited = step
            $0.whenHeld = whenHeld
        }
    }

    /// Whether somebody waits for a flush.
    var isHolding: Bool { state.withLock { !$0.flushes.isEmpty } }
    /// Blocks that were written and have not reached the file.
    var heldBlocks: Int { state.withLock { $0.cache.count } }

    /// What was held reaches the file now.
    func release() {
        state.withLock { state in
            state.awaited = nil
            state.isHolding = false
            land(&state)
            for cookie in state.flushes { reply(cookie) }
            state.flushes = []
        }
    }

    private func land(_ state: inout State) {
        for (number, bytes) in state.cache.shuffled() {
            let count = pwrite(file, bytes, bytes.count, off_t(number) * off_t(Self.block))
            precondition(count == bytes.count, "the file takes what fits in it")
        }
        state.cache = [:]
        fdatasync(file)
    }

    /// Nobody may use it any more.
    func close() {
        release()
        _ = try? SystemTool.output("umount", [path], in: directory)
        fuse.end()
        // The server's thread sees the end of its stream.
        shutdown(peer, Int32(SHUT_RDWR))
        Glibc.close(listener)
    }

    // MARK: NBD, as much of it as nbdfuse needs (doc/proto.md: fixed newstyle, simple replies)

    private func serve() {
        guard negotiate() else { return }
        while let header = receive(28) {
            let type = header.number(6, UInt16.self)
            let cookie = header.number(8, UInt64.self)
            let offset = header.number(16, UInt64.self)
            let count = Int(header.number(24, UInt32.self))
            switch type {
            case 0: reply(cookie, read(offset, count))
            case 1:
                guard let bytes = receive(count) else { return }
                write(bytes, at: offset)
                reply(cookie)
            case 3: flush(cookie)
            default: return
            }
        }
    }

    private func negotiate() -> Bool {
        send(Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
        guard receive(4) != nil else { return false }
        while let header = receive(16) {
            let option = header.number(8, UInt32.self)
            let count = Int(header.number(12, UInt32.self))
            guard receive(count) != nil else { return false }
            // NBD_OPT_GO; structured replies and the like are refused.
            guard option == 7 else {
                answer(option, 0x8000_0001)
                continue
            }
            // NBD_INFO_EXPORT: the size, and that there are flags, and flushes.
            answer(option, 3, [0, 0] + size.bytes + [0, 5])
            answer(option, 1)
            return true
        }
        return false
    }

    private func answer(_ option: UInt32, _ type: UInt32, _ data: [UInt8] = []) {
        send(UInt64(0x3_E889_0455_65A9).bytes + option.bytes + type.bytes + UInt32(data.count).bytes + data)
    }

    private func reply(_ cookie: UInt64, _ data: [UInt8] = []) {
        send(UInt32(0x6744_6698).bytes + UInt32(0).bytes + cookie.bytes + data)
    }

    private func read(_ offset: UInt64, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = pread(file, &bytes, count, off_t(offset))
        precondition(got == count && offset % UInt64(Self.block) == 0 && count % Self.block == 0, "whole blocks")
        state.withLock { state in
            for index in 0..<count / Self.block {
                guard let cached = state.cache[offset / UInt64(Self.block) + UInt64(index)] else { continue }
                bytes.replaceSubrange(index * Self.block..<(index + 1) * Self.block, with: cached)
            }
        }
        return bytes
    }

    private func write(_ bytes: [UInt8], at offset: UInt64) {
        precondition(offset % UInt64(Self.block) == 0 && bytes.count % Self.block == 0, "whole blocks")
        state.withLock { state in
            for index in 0..<bytes.count / Self.block {
                state.cache[offset / UInt64(Self.block) + UInt64(index)] = Array(
                    bytes[index * Self.block..<(index + 1) * Self.block])
            }
            if bytes.withUnsafeBytes({ StoreStep($0) }) == state.awaited { state.isHolding = true }
        }
    }

    private func flush(_ cookie: UInt64) {
        let whenHeld = state.withLock { state -> (@Sendable () -> Void)? in
            guard state.isHolding else {
                land(&state)
                reply(cookie)
                return nil
            }
            state.flushes.append(cookie)
            return state.whenHeld.take()
        }
        whenHeld?()
    }

    private func send(_ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(peer, $0.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            done += count
        }
    }

    /// Nil at the end of the stream.
    private func receive(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes {
                recv(peer, $0.baseAddress?.advanced(by: done), count - done, 0)
            }
            guard got > 0 else { return nil }
            done += got
        }
        return bytes
    }
}

extension FixedWidthInteger {
    fileprivate var bytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}

extension [UInt8] {
    fileprivate func number<Number: FixedWidthInteger>(_ offset: Int, _ type: Number.Type) -> Number {
        self[offset..<offset + MemoryLayout<Number>.size].reduce(0) { $0 << 8 | Number($1) }
    }
}
