import CShims
import CsnapCore
import CsnapSession
import CsnapStore
import Glibc
import NBDProtocol
import Synchronization

/// The snapshots and branches of a client's volume as exports: where their chunks are comes from the server, through
/// the core; the disk reads are done here, by threads that may block. Where the store is not seen the server reads for
/// us. What is written to a branch, the server writes.
final class SnapshotReader: Sendable {
    /// Chunks of one question: its answer has at most a piece for each.
    private static let chunksPerPart: UInt64 = 1024

    private struct Job {
        let request: ExportRequest
        let export: SnapshotExport
        /// The server reads or writes it.
        var isRemote = false
        /// Bytes that are done.
        var done: UInt64 = 0
        var isWithdrawn = false

        var offset: UInt64 { request.command.offset + done }
        var rest: UInt64 { UInt64(request.command.length) - done }

        /// Of the next part.
        var chunks: ChunkRange {
            let size = UInt64(export.chunkSize)
            let first = offset / size
            let last = (offset + rest - 1) / size
            return ChunkRange(first: first, count: UInt32(min(last - first + 1, chunksPerPart)))
        }

        /// Bytes of the next part; of one chunk, if the server does it.
        var partLength: UInt64 {
            let size = UInt64(export.chunkSize)
            if isRemote { return min(rest, UInt64(SessionWire.maximumData), size - offset % size) }
            return min(rest, chunks.end * size - offset)
        }

        /// The next part of something to be written; nil: it is read.
        var branchData: BranchData? {
            var bytes: [UInt8] = []
            switch request.command.action {
            case .write: bytes = Array(request.data[Int(done)..<Int(done + partLength)])
            case .writeZeroes: break
            case .read, .flush, .trim, .cache, .blockStatus: return nil
            }
            return BranchData(branch: export.snapshot, offset: offset, length: UInt32(partLength), bytes: bytes)
        }
    }

    private let volume: String
    private let monitor: ClientMonitor
    private let watch: DiskWatch
    private let origin: OriginDevice
    private let store: StoreReader?
    private let exports: ExportTable
    private let log: @Sendable (ClientNote) -> Void
    private let damage = Mutex(DamageWatch())
    private let readers = WorkerPool(threads: 8)
    /// Alone, so that reads do not delay a snapshot.
    private let flusher = WorkerPool(threads: 1)
    private let jobs = Mutex((living: [UInt64: Job](), next: UInt64(1) << 63))

    init(
        options: ClientOptions, monitor: ClientMonitor, watch: DiskWatch, origin: OriginDevice, exports: ExportTable,
        log: @escaping @Sendable (ClientNote) -> Void
    ) {
        volume = options.volume
        self.log = log
        self.monitor = monitor
        self.watch = watch
        self.origin = origin
        self.exports = exports
        guard let path = options.store else {
            store = nil
            return
        }
        do throws(SystemError) {
            store = try StoreReader(path: path)
        } catch {
            store = nil
            log(ClientNote(.other, "\(error); the server reads snapshots for this node"))
        }
    }

    func flushOrigin(_ attempt: BarrierAttempt) {
        flusher.run { [self] in
            watch.begin(DiskWatch.flush)
            var error = origin.flush()
            var sample: UInt32 = 0
            if error == 0 { error = origin.sample(&sample) }
            watch.end(DiskWatch.flush)
            monitor.with { $0.flushed(attempt, error: error, sample: sample) }
        }
    }

    /// Those who connect from now on see it; not more than this node's device has, which is returned.
    func offerOrigin(upTo size: UInt64) -> UInt64 {
        let seen = min(size, origin.currentSize)
        exports.insert(ServedExport(export: origin.export(of: volume, size: seen)))
        return seen
    }

    /// These are the snapshots now.
    func offer(_ entries: [SnapshotEntry], chunkSize: UInt32, of storeUUID: Bits128) {
        guard chunkSize > 0 else { return }
        exports.replaceSnapshots(
            entries.map { entry in
                let isBranch = entry.base != nil
                let export = NBDExport(
                    name: "snap/\(entry.name)",
                    // A name may be another's by now; whoever has asked the server knows the number.
                    alias: "snap#\(entry.number)",
                    description: "\(isBranch ? "branch" : "snapshot") \(entry.name) of volume \(volume)",
                    size: entry.size, minimumBlock: origin.minimumBlock, preferredBlock: chunkSize,
                    isReadOnly: !isBranch,
                    // What changes at any time has no changes since another image; of what has lost something, and
                    // since it, nobody knows them all.
                    image: isBranch || entry.isDamaged ? nil : NBDImage(name: entry.name, number: entry.number))
                return ServedExport(
                    export: export,
                    backend: SnapshotExport(
                        reader: self, store: storeUUID, snapshot: entry.number, chunkSize: chunkSize))
            })
    }

    fileprivate func tell(_ news: (inout ClientCore) -> Void) { monitor.with(news) }

    // MARK: - One request

    fileprivate func begin(_ request: ExportRequest, _ export: SnapshotExport) {
        switch request.command.action {
        case .read: start(Job(request: request, export: export, isRemote: store == nil))
        // What is written is durable when it is answered; what is trimmed may stay.
        case .flush, .cache, .trim: request.finish(0)
        // Of a snapshot NBDTransmission has refused them.
        case .write, .writeZeroes: start(Job(request: request, export: export, isRemote: true))
        case .blockStatus: askChanges(request, export)
        }
    }

    private func keep(_ job: Job) -> UInt64 {
        jobs.withLock { jobs in
            jobs.next += 1
            jobs.living[jobs.next] = job
            return jobs.next
        }
    }

    /// Asks for the next part.
    private func start(_ job: Job) { ask(keep(job), job) }

    private func ask(_ id: UInt64, _ job: Job) {
        let data = job.branchData
        let isGone = monitor.with { core in
            if core.isGone(job.export.store) { return true }
            let now = BootClock.now()
            let snapshot = job.export.snapshot
            if let data {
                core.writeBranch(id, data, now: now)
            } else if job.isRemote {
                core.readRemotely(
                    id, snapshot: snapshot, offset: job.offset, length: UInt32(job.partLength), now: now)
            } else {
                core.read(id, snapshot: snapshot, job.chunks, now: now)
            }
            return false
        }
        if isGone { return failed(id, code: SessionQueryError.unknownSnapshot.rawValue) }
        // It may have been withdrawn before the core knew of it.
        endIfWithdrawn(id)
    }

    /// The server has written the next part.
    func wrote(_ id: UInt64) { finish(id, 0) }

    /// The server has read the next part.
    func received(_ id: UInt64, _ bytes: [UInt8]) {
        guard let job = jobs.withLock({ $0.living[id] }) else { return }
        let part = UnsafeMutableRawBufferPointer(
            rebasing: job.request.data[Int(job.done)..<Int(job.done + job.partLength)])
        part.copyBytes(from: bytes)
        finish(id, 0)
    }

    func failed(_ id: UInt64, code: UInt16) {
        guard let job = jobs.withLock({ $0.living.removeValue(forKey: id) }) else { return }
        switch SessionQueryError(rawValue: code) {
        case .unknownSnapshot: job.request.finish(ESTALE)
        case .notWritable: job.request.finish(EROFS)
        default: job.request.finish(EIO)
        }
    }

    func mapped(_ id: UInt64, _ pieces: [MapPiece]) {
        readers.run { [self] in
            guard let job = jobs.withLock({ $0.living[id] }) else { return }
            var failure: StoreReadError?
            do throws(StoreReadError) { try transfer(job, pieces) } catch { failure = error }
            // The lease is looked at after the disk read: a void read is mapped and done again.
            let holds = monitor.with { $0.finishRead(id, now: BootClock.now()) }
            guard holds else { return endIfWithdrawn(id) }
            if case .damaged(let place) = failure { say(damage: place, job.export) }
            finish(id, failure?.code ?? 0)
        }
    }

    private func finish(_ id: UInt64, _ error: Int32) {
        enum Step {
            case end(Job, Int32)
            case ask(UInt64, Job)
        }
        // In one step: whoever withdraws it must find it.
        let step = jobs.withLock { jobs -> Step? in
            guard var job = jobs.living.removeValue(forKey: id) else { return nil }
            job.done += job.partLength
            if error != 0 || job.rest == 0 { return .end(job, error) }
            if job.isWithdrawn { return .end(job, ESHUTDOWN) }
            jobs.next += 1
            jobs.living[jobs.next] = job
            return .ask(jobs.next, job)
        }
        switch step {
        case .end(let job, let error): job.request.finish(error)
        case .ask(let id, let job): ask(id, job)
        case nil: break
        }
    }

    fileprivate func withdraw(_ ticket: UInt32, _ export: SnapshotExport) {
        let ids = jobs.withLock { jobs in
            let ids = jobs.living.filter { $0.value.request.ticket == ticket && $0.value.export === export }.map(\.key)
            for id in ids { jobs.living[id]?.isWithdrawn = true }
            return ids
        }
        for id in ids { endIfWithdrawn(id) }
    }

    private func endIfWithdrawn(_ id: UInt64) {
        guard jobs.withLock({ $0.living[id]?.isWithdrawn }) == true, monitor.with({ $0.withdrawRead(id) }) else {
            return
        }
        jobs.withLock { $0.living.removeValue(forKey: id) }?.request.finish(ESHUTDOWN)
    }

    // MARK: - Changes

    private func askChanges(_ request: ExportRequest, _ export: SnapshotExport) {
        guard let since = request.transmission.changedSince else { return request.finish(EINVAL) }
        let query = ChangesQuery(
            from: since, to: export.snapshot, first: request.command.offset / UInt64(export.chunkSize))
        let id = keep(Job(request: request, export: export))
        let isGone = monitor.with { core in
            if core.isGone(export.store) { return true }
            core.askChanges(id, query)
            return false
        }
        if isGone { failed(id, code: SessionQueryError.unknownSnapshot.rawValue) }
    }

    func changed(_ id: UInt64, _ changes: ChangedChunks) {
        guard let job = jobs.withLock({ $0.living.removeValue(forKey: id) }) else { return }
        let extents = changes.extents(from: job.offset, length: job.request.command.length)
        if extents.isEmpty { job.request.finish(EIO) } else { job.request.finish(changes: extents) }
    }

    // MARK: - Disk

    private func transfer(_ job: Job, _ pieces: [MapPiece]) throws(StoreReadError) {
        let chunkSize = UInt64(job.export.chunkSize)
        let end = job.offset + job.partLength
        var start = job.chunks.first * chunkSize
        for piece in pieces {
            let pieceEnd = start + UInt64(piece.count) * chunkSize
            let from = max(start, job.offset)
            let to = min(pieceEnd, end)
            if from < to {
                let position = Int(from - job.request.command.offset)
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: job.request.data[position..<position + Int(to - from)])
                try read(part, piece, from: from, pieceStart: start, job)
            }
            start = pieceEnd
        }
        if start < end { throw .system(EIO) }
    }

    private func read(
        _ buffer: UnsafeMutableRawBufferPointer, _ piece: MapPiece, from offset: UInt64, pieceStart: UInt64, _ job: Job
    ) throws(StoreReadError) {
        switch piece.place {
        case .origin:
            watch.begin(job.request.ticket)
            defer { watch.end(job.request.ticket) }
            try StoreReader.fill(buffer, origin.descriptor, at: offset)
        case .store(let address):
            guard let store else { throw .system(ENODEV) }
            let saved = SavedChunks(address: address, chunkSize: Int(job.export.chunkSize), checksums: piece.checksums)
            try store.read(buffer, of: saved, at: Int(offset - pieceStart))
        case .zero: buffer.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    private func say(damage place: UInt64, _ export: SnapshotExport) {
        let isNews = damage.withLock { watch in
            watch.met(.damaged(offset: place), at: BootClock.now())
            return watch.take() != nil
        }
        guard isNews else { return }
        log(
            ClientNote(
                .other,
                "what is saved for snapshot number \(export.snapshot) at byte \(place) of the store is damaged: "
                    + "reads of it fail; `csnapctl volume check \(volume)` names the chunk"))
    }
}

extension ChangedChunks {
    /// Runs of changed and of unchanged bytes from `offset` on: `length`, or less where the answer goes no further.
    fileprivate func extents(from offset: UInt64, length: UInt32) -> [NBDExtent] {
        let size = UInt64(chunkSize)
        let end = offset + UInt64(length)
        var extents: [NBDExtent] = []
        var position = offset
        func extend(to chunk: UInt64, isChanged: Bool) {
            let target = chunk < end / size ? chunk * size : end
            if target <= position { return }
            extents.append(NBDExtent(length: UInt32(target - position), isChanged: isChanged))
            position = target
        }
        for range in ranges where position < end {
            extend(to: range.first, isChanged: false)
            extend(to: range.end, isChanged: true)
        }
        extend(to: next ?? .max, isChanged: false)
        return extents
    }
}

/// One snapshot as an export.
final class SnapshotExport: ExportBackend {
    private let reader: SnapshotReader
    /// Whose number it is.
    let store: Bits128
    let snapshot: UInt64
    let chunkSize: UInt32

    init(reader: SnapshotReader, store: Bits128, snapshot: UInt64, chunkSize: UInt32) {
        self.reader = reader
        self.store = store
        self.snapshot = snapshot
        self.chunkSize = chunkSize
    }

    func opened() {
        reader.tell { if !$0.isGone(store) { $0.opened(snapshot) } }
    }

    func closed() {
        reader.tell { if !$0.isGone(store) { $0.closed(snapshot) } }
    }

    func begin(_ request: ExportRequest) { reader.begin(request, self) }

    func withdraw(_ ticket: UInt32) { reader.withdraw(ticket, self) }
}
