import ArgumentParser
import CsnapCore
import CsnapRuntime
import Glibc

extension SnapshotCommand {
    struct Receive: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "receive",
            abstract: "Make the volume what a stream on standard input says, then a snapshot of it.",
            discussion: """
                The origin is overwritten through this node's client. It needs the volume for itself: stop the \
                clients on all other nodes, and what uses the volume on this one. The snapshot is made at the end, so \
                a stream that breaks leaves none; the command then says how to go on, and other nodes' clients wait \
                until it did, or until it is given up with --abandon. A stream since an earlier snapshot needs that \
                one here, and the origin as it was then: revert it first if it has changed.
                """)

        @Argument(help: "The snapshot's name here; default: that of the stream.") var name: String?
        @Flag(help: "Give up a stream that is half received; all nodes may have the volume as it is then.")
        var abandon = false
        @OptionGroup var options: Options

        func run() throws {
            if abandon { return try giveUp() }
            guard isatty(0) == 0 else {
                throw CommandFailure.usage("csnapctl: standard input is a terminal: give it a stream")
            }
            Interruption.watch()
            var receiver = try SnapshotReceiver(self)
            let report = try receiver.run()
            Terminal.say(options.json ? try SnapshotCommand.json(report) : report.text("received"))
        }

        private func giveUp() throws {
            let (volume, uuid) = try options.agent.call(waitingFor: "the server to store it") { caller in
                let volume = try options.name(caller)
                let alone = try OriginReservation(volume, options.agent.runtime())
                return try withExtendedLifetime(alone) {
                    guard let revert = try caller.volume(volume).revert, revert.receiving else {
                        throw CommandFailure(text: "csnapctl: \(volume) is not being received", code: 4)
                    }
                    try caller.endRevert(volume, revert.uuid)
                    return (volume, revert.uuid)
                }
            }
            if options.json {
                return Terminal.say(try SnapshotCommand.json(["volume": volume, "abandoned": uuid]))
            }
            Terminal.say("\(volume): given up; it holds what was received so far")
        }
    }
}

/// One run of `csnapctl snapshot receive`: the one client of the origin, by a record in the store
/// (docs/decisions/0085-receive-has-the-origin-alone.md).
private struct SnapshotReceiver {
    /// Bytes between two flushes; what is flushed need not be received again.
    private static let flushEvery: UInt64 = 64 << 20

    private let options: SnapshotCommand.Options
    private let volume: String
    private let name: String
    private let base: SnapshotItem?
    private let alone: OriginReservation
    private let device: NBDClient
    private let begun = boottime()
    private var reader: StreamReader
    private var report: StreamReport
    private var progress: StreamProgress
    /// An earlier run has begun to overwrite the volume; until the server has told, it may have.
    private var isBegun = true
    /// This one has.
    private var hasWritten = false
    private var unflushed: UInt64 = 0
    /// All before it is on the origin.
    private var position: UInt64 = 0
    /// The same, and durable.
    private var durable: UInt64 = 0
    /// Chunks of this volume of which the stream has said something, in bytes; only where there is a base.
    private var covered: [ChangesItem.Range] = []
    private var chunkSize: UInt64 = 1

    private enum Problem: Error {
        /// Nothing to go on with: this stream, or this volume, will not do.
        case refused(String)
        case damaged(SnapshotItem)
        case changedBefore(UInt64)
        /// It was to make the snapshot, and was not answered.
        case unknown(CommandFailure)
    }

    init(_ command: SnapshotCommand.Receive) throws {
        options = command.options
        do {
            reader = try StreamReader(read: StandardStream.read)
        } catch let error as StreamError {
            throw CommandFailure.failed("csnapctl: \(error)")
        }
        let header = reader.header
        let volume = try options.agent.call(waitingFor: "the server to answer") { try command.options.name($0) }
        self.volume = volume
        let name = command.name ?? header.name
        self.name = name
        guard SnapshotItem.isName(name) else {
            throw CommandFailure.usage("csnapctl: '\(name)' is no name for a snapshot: give another one")
        }
        alone = try OriginReservation(volume, options.agent.runtime())
        let known = try options.agent.call(waitingFor: "the server to answer") { try $0.snapshots(volume) }
        if let other = known.first(where: { $0.uuid == header.snapshot.hex || $0.name == name }) {
            try Self.endEarlier(other, volume, options)
            throw Self.failure("the volume has this snapshot, or one of its name, already: '\(other.name)'")
        }
        let base = header.isFull ? nil : known.first { $0.uuid == header.base.hex }
        guard header.isFull || base != nil else {
            throw Self.failure(
                "the stream adds to a snapshot that this volume does not have: receive that one first, or a full one")
        }
        if let base, base.damaged { throw Self.failure(Self.damage(base)) }
        self.base = base
        device = try options.device(volume, "origin")
        guard device.size == header.size else {
            throw Self.failure(
                "the image has \(header.size) bytes, the volume \(device.size): they must be of one size")
        }
        report = StreamReport(
            volume: volume, snapshot: name, uuid: header.snapshot.hex, base: base?.name, size: header.size)
        progress = StreamProgress(total: header.size)
        do {
            try begin()
        } catch {
            endUnlessBegun()
            switch error {
            case Problem.refused(let text): throw Self.failure(text)
            case Problem.damaged(let base): throw Self.failure(Self.damage(base))
            default: throw error
            }
        }
    }

    /// A run that died when it had made the snapshot has left its record.
    private static func endEarlier(
        _ made: SnapshotItem, _ volume: String, _ options: SnapshotCommand.Options
    ) throws {
        try options.agent.call(waitingFor: "the server to store it", patience: AgentOptions.answered) { caller in
            guard let revert = try caller.volume(volume).revert, revert.receiving, revert.uuid == made.uuid else {
                return
            }
            try caller.endRevert(volume, revert.uuid)
        }
    }

    /// Nothing was written: the volume is what it was.
    private func endUnlessBegun() {
        if isBegun { return }
        do {
            try options.agent.call(waitingFor: "the server to store it", patience: AgentOptions.answered) {
                [volume, reader] in try $0.endRevert(volume, reader.header.snapshot.hex)
            }
        } catch {
            let volume = try? options.agent.call(waitingFor: "the server to answer") { try $0.volume(self.volume) }
            // The record is another's, or has ended.
            if let volume, volume.revert?.uuid != reader.header.snapshot.hex { return }
            Terminal.complain(
                "csnapctl: nothing was written, but other nodes' clients of \(self.volume) may still wait: free it "
                    + "with `csnapctl snapshot receive --abandon --volume \(self.volume)`")
        }
    }

    private static func damage(_ base: SnapshotItem) -> String {
        "the stream adds to '\(base.name)', which is damaged here: a repair of the store could not save all of it. "
            + "Send a whole one, without --from"
    }

    private static func failure(_ text: String) -> CommandFailure {
        CommandFailure(text: "csnapctl: \(text)", code: 4)
    }

    /// Nobody else may have the origin; and what the stream adds to must be there.
    private mutating func begin() throws {
        let uuid = reader.header.snapshot.hex
        let waiting = "the server to store it"
        let earlier = try options.agent.call(waitingFor: waiting) { [volume] in try $0.volume(volume).revert }
        isBegun = earlier != nil
        // From here on it has one size.
        let whole = try options.agent.call(waitingFor: waiting, patience: AgentOptions.answered) { [volume] in
            _ = try $0.beginReceive(volume, uuid)
            return try $0.volume(volume).originSize
        }
        // What is less than a block behind the end is not offered.
        guard whole < device.size + 4096 else {
            throw Problem.refused(
                "the image has \(device.size) bytes, as this node's device, the volume \(whole): they must be of one "
                    + "size; enlarge the device here, then restart csnap-client@\(volume)")
        }
        guard let base else { return }
        chunkSize = UInt64(
            try options.agent.call(waitingFor: "the server to answer") { [volume] in
                try $0.changesPage(volume, from: base.number, to: nil).chunkSize
            })
        // A resumed stream is looked at as a whole, at its end.
        if reader.header.start == 0 { try expectOnlyCovered("changed since '\(base.name)': revert it first") }
    }

    mutating func run() throws -> StreamReport {
        do {
            while try take(try reader.next()) {}
            try device.flush()
            durable = report.size
            try expectOnlyCovered("changed while the stream was received")
            // Whoever asks for the snapshot and is not answered must not free the volume.
            isBegun = true
            try makeSnapshot()
        } catch {
            throw failure(error)
        }
        try endRecord()
        progress.end(report.size)
        report.seconds = Double(boottime() - begun) / 1e9
        return report
    }

    private func makeSnapshot() throws {
        let uuid = reader.header.snapshot.hex
        do {
            try options.agent.call(waitingFor: "the snapshot to be made", patience: AgentOptions.answered) {
                [volume, name] in
                _ = try $0.finishReceive(volume, name, uuid)
            }
        } catch let error as CommandFailure where error.code != 4 {
            // It may have been made, though the agent was gone before it said so.
            let known = try? options.agent.call(waitingFor: "the server to answer") { try $0.snapshots(volume) }
            if known?.contains(where: { $0.uuid == uuid }) == true { return }
            throw Problem.unknown(error)
        }
    }

    private func endRecord() throws {
        do {
            try options.agent.call(waitingFor: "the server to store it", patience: AgentOptions.answered) {
                [volume, reader] in try $0.endRevert(volume, reader.header.snapshot.hex)
            }
        } catch let error as CommandFailure {
            throw CommandFailure(
                text: "\(error.text). The snapshot '\(name)' was made.\nOther nodes' clients wait for `csnapctl "
                    + "snapshot receive --abandon`, which leaves the snapshot.", code: Self.code(after: error.code))
        }
    }

    /// 4 says that nothing has changed.
    private static func code(after code: Int32) -> Int32 { code == 4 ? 1 : code }

    /// Why there is no snapshot, and how to go on.
    private mutating func failure(_ error: any Error) -> CommandFailure {
        endUnlessBegun()
        let waiting =
            isBegun ? "\nOther nodes' clients wait for that, or for `csnapctl snapshot receive --abandon`." : ""
        var code = (error as? CommandFailure)?.code ?? 1
        var outcome = "No snapshot was made."
        let (text, advice): (String, String)
        switch error {
        case Problem.refused(let reason):
            code = 4
            let first = base.map { "Revert the volume to '\($0.name)', then receive" } ?? "Receive"
            (text, advice) = ("csnapctl: \(reason)", "\(first) it again from its beginning.")
        case Problem.damaged(let base):
            code = 4
            (text, advice) = ("csnapctl: \(Self.damage(base))", "The volume holds what was received so far.")
        case Problem.changedBefore(let offset):
            text = "csnapctl: what was received earlier is not there any more, at byte \(offset)"
            let first = base.map { "Revert the volume to '\($0.name)', then send" } ?? "Send"
            advice = "\(first) and receive it again from its beginning."
        case Problem.unknown(let failure):
            code = failure.code
            outcome = "`csnapctl snapshot list` says whether the snapshot was made."
            (text, advice) = (failure.text, self.advice())
        default: (text, advice) = ((error as? CommandFailure)?.text ?? "csnapctl: \(error)", self.advice())
        }
        return CommandFailure(
            text: "\(text). \(outcome)\n\(advice)\(waiting)", code: hasWritten ? Self.code(after: code) : code)
    }

    /// How to go on after a break.
    private mutating func advice() -> String {
        if durable < position, (try? device.flush()) != nil { durable = position }
        progress.end(durable)
        let chunk = UInt64(reader.header.chunkSize)
        let from = durable / chunk * chunk
        return from == 0
            ? "Send and receive it again."
            : "To go on send it again with --resume-from \(from); what was received is compared then."
    }

    /// False: that was the last frame.
    private mutating func take(_ frame: StreamFrame) throws -> Bool {
        switch frame {
        case .data(let offset, let bytes):
            beginWriting()
            try device.write(bytes, offset: offset)
            try took(offset, UInt64(bytes.count))
            report.count(UInt64(bytes.count))
        case .zeros(let offset, let count):
            beginWriting()
            var position = offset
            while position < offset + count {
                let part = min(offset + count - position, 1 << 30)
                try device.writeZeroes(offset: position, count: Int(part))
                position += part
            }
            try took(offset, count)
            report.count(zeros: count)
        case .same(let offset, let count, let digest):
            guard StreamDigest.of(try device.read(offset: offset, count: Int(count))) == digest else {
                throw Problem.changedBefore(offset)
            }
            try took(offset, count)
            report.count(same: count)
        case .end: return false
        }
        return true
    }

    private mutating func beginWriting() {
        isBegun = true
        hasWritten = true
    }

    private mutating func took(_ offset: UInt64, _ count: UInt64) throws {
        position = offset + count
        progress.reached(position, moved: count)
        if base != nil { cover(offset / chunkSize * chunkSize, (position + chunkSize - 1) / chunkSize * chunkSize) }
        unflushed += count
        if unflushed >= Self.flushEvery {
            try device.flush()
            durable = position
            unflushed = 0
            try expectAlone()
        }
    }

    /// Somebody may have given it up meanwhile; then others write there.
    private func expectAlone() throws {
        let uuid = reader.header.snapshot.hex
        let revert = try options.agent.call(waitingFor: "the server to answer") { [volume] in
            try $0.volume(volume).revert
        }
        guard revert?.uuid == uuid else { throw Problem.refused("the receiving was given up on another node") }
    }

    private mutating func cover(_ start: UInt64, _ end: UInt64) {
        if let last = covered.last, last.end >= start {
            covered[covered.count - 1].length = max(last.end, end) - last.offset
        } else {
            covered.append(ChangesItem.Range(offset: start, length: end - start))
        }
    }

    /// Nothing of the origin differs from the base but what the stream has brought.
    private func expectOnlyCovered(_ problem: String) throws {
        guard let base else { return }
        let known = try options.agent.call(waitingFor: "the server to answer") { try $0.snapshots(volume) }
        if known.contains(where: { $0.uuid == base.uuid && $0.damaged }) { throw Problem.damaged(base) }
        var next = UInt64?.some(0)
        var index = 0
        while let first = next {
            let page = try options.agent.call(waitingFor: "the server to answer") {
                try $0.changesPage(volume, from: base.number, to: nil, firstChunk: first)
            }
            for range in page.ranges {
                var offset = range.offset
                while offset < range.end {
                    while index < covered.count, covered[index].end <= offset { index += 1 }
                    let known = index < covered.count ? covered[index] : ChangesItem.Range(offset: range.end, length: 0)
                    if offset < known.offset {
                        try expectEqual(offset..<min(known.offset, range.end), base, problem)
                    }
                    offset = min(known.end, range.end)
                }
            }
            next = page.nextChunk
        }
    }

    /// What was written is no change if it is what the base has: so after a revert.
    private func expectEqual(_ range: Range<UInt64>, _ base: SnapshotItem, _ problem: String) throws {
        let source = try options.device(volume, "snap#\(base.number)")
        defer { source.disconnect() }
        let part: UInt64 = 1 << 20
        for start in stride(from: range.lowerBound, to: min(range.upperBound, device.size), by: UInt64.Stride(part)) {
            let end = min(start + part, range.upperBound, device.size)
            let bytes = try source.readPadded(offset: start, count: Int(end - start))
            guard try device.read(offset: start, count: bytes.count) == bytes else {
                throw Problem.refused("the volume at byte \(start) \(problem)")
            }
        }
    }
}
