import CShims
package import CsnapCore
import Glibc
import Synchronization

/// What one tenure of a server on this node left as evidence. Instants are of CLOCK_BOOTTIME.
package struct ServedTenure: Equatable, Sendable {
    package var processID: Int32
    package var tenure: Tenure
    /// When START opened the gate.
    package var gateOpenAt: Instant
    /// When the first and last accept, store write or reply had been carried out; nil if there was none.
    package var firstServiceAt: Instant?
    package var lastServiceAt: Instant?
    /// Accepts, store writes and replies.
    package var count: UInt64
}

/// `service.record` in the runtime directory: a shared mapping that outlives SIGKILL, so that people and tests can
/// see when each of the last 64 tenures on this node served (docs/testing.md).
///
/// Layout, in native words of 8 bytes: a header of 8 (magic, version, entries, tenures ever begun, zeros), then 64
/// entries of 8 (process id, epoch, round, gate opened, first service, last service, count, zero). Only the living
/// server writes; readers may come at any time. An entry with process id 0 is empty or just being made.
package final class ServiceRecord: Sendable {
    private static let magic: UInt64 = 0x3152_5350_414E_5343  // "CSNAPSR1"
    private static let entries: UInt64 = 64
    private static let entryWords = 8
    private static let byteCount = (Int(entries) + 1) * entryWords * 8

    /// Safe to share: mapped until `deinit`, and each word is read and written atomically.
    private struct Words: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<UInt64>
    }

    private let words: Words
    private let current = Mutex<Int?>(nil)

    /// Maps the file, which is made if missing.
    package init(path: String) throws(SystemError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemError("cannot open the service record", path) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(Self.byteCount)) == 0 else { throw SystemError("cannot extend", path) }
        let address = mmap(nil, Self.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else { throw SystemError("cannot map", path) }
        words = Words(pointer: address.bindMemory(to: UInt64.self, capacity: Self.byteCount / 8))
        if load(0) != Self.magic || load(1) != 1 {
            memset(address, 0, Self.byteCount)
            store(2, Self.entries)
            store(1, 1)
            store(0, Self.magic)
        }
    }

    deinit { munmap(words.pointer, Self.byteCount) }

    /// A tenure begins: the oldest entry becomes its.
    package func begin(_ tenure: Tenure, at now: Instant) {
        current.withLock { current in
            let begun = load(3)
            let entry = Self.entryWords * (1 + Int(begun % Self.entries))
            store(entry, 0)
            store(entry + 1, tenure.epoch.value)
            store(entry + 2, UInt64(tenure.round.value))
            store(entry + 3, UInt64(bitPattern: now.nanoseconds))
            for word in 4..<8 { store(entry + word, 0) }
            store(entry, UInt64(getpid()))
            store(3, begun &+ 1)
            current = entry
        }
    }

    /// An accept, a store write or a reply has just been carried out.
    package func served(at now: Instant) {
        current.withLock { current in
            guard let entry = current else { return }
            if load(entry + 4) == 0 { store(entry + 4, UInt64(bitPattern: now.nanoseconds)) }
            store(entry + 5, max(load(entry + 5), UInt64(bitPattern: now.nanoseconds)))
            store(entry + 6, load(entry + 6) &+ 1)
        }
    }

    private func load(_ word: Int) -> UInt64 { csnap_word_load(words.pointer + word) }
    private func store(_ word: Int, _ value: UInt64) { csnap_word_store(words.pointer + word, value) }
}

extension ServiceRecord {
    /// The tenures in the file, oldest first; none if there is no such file.
    package static func read(_ path: String) throws(SystemError) -> [ServedTenure] {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: byteCount)
        } catch {
            if error.code == ENOENT { return [] }
            throw error
        }
        guard bytes.count == byteCount else { return [] }
        let words = bytes.withUnsafeBytes { raw in
            (0..<byteCount / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
        }
        guard words[0] == magic, words[1] == 1 else { return [] }
        return (0..<entries).compactMap { index in
            let entry = entryWords * (1 + Int((words[3] &+ index) % entries))
            return evidence(Array(words[entry..<entry + entryWords]))
        }
    }

    private static func evidence(_ words: [UInt64]) -> ServedTenure? {
        guard words[0] != 0 else { return nil }
        func instant(_ word: UInt64) -> Instant? {
            word == 0 ? nil : Instant(nanoseconds: Int64(bitPattern: word))
        }
        let tenure = Tenure(
            epoch: Epoch(words[1]), round: Round(UInt32(truncatingIfNeeded: words[2])))
        return ServedTenure(
            processID: Int32(truncatingIfNeeded: words[0]), tenure: tenure,
            gateOpenAt: Instant(nanoseconds: Int64(bitPattern: words[3])), firstServiceAt: instant(words[4]),
            lastServiceAt: instant(words[5]), count: words[6])
    }
}
