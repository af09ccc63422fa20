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
                The origin is overwritten through this node's client, which must be the only one of the volume; stop \
                what uses it here. The snapshot is made at the end, so a stream that breaks leaves none; the command \
                then says how to go on. A stream since an earlier snapshot needs that one here, and the origin \
                unchanged since.
                """)

        @Argument(help: "The snapshot's name here; default: that of the stream.") var name: String?
        @OptionGroup var options: Options

        func run() throws {
            guard isatty(0) == 0 else {
                throw CommandFailure.usage("csnapctl: standard input is a terminal: give it a stream")
            }
            Interruption.watch()
            var receiver = try SnapshotReceiver(self)
            let report = try receiver.run()
            Terminal.say(options.json ? try SnapshotCommand.json(report) : report.text("received"))
        }
    }
}

/// One run of `csnapctl snapshot receive`: an ordinary client of the origin, which looks that it stays the only one.
private struct SnapshotReceiver {
    /// Bytes between two flushes; what is flushed need not be received again.
    private static let flushEvery: UInt64 = 64 << 20
    /// Nanoseconds between two looks whether other clients came.
    private static let lookEvery: Int64 = 1_000_000_000

    private let options: SnapshotCommand.Options
    private let volume: String
    private let name: String
    private let base: SnapshotItem?
    private let device: NBDClient
    private let begun = boottime()
    private var reader: StreamReader
    private var report: StreamReport
    private var progress: StreamProgress
    private var lookedAt: Int64 = 0
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
        case changedBefore(UInt64)
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
        let known = try options.agent.call(waitingFor: "the server to answer") { try $0.snapshots(volume) }
        if let other = known.first(where: { $0.uuid == header.snapshot.hex || $0.name == name }) {
            throw Self.failure("the volume has this snapshot, or one of its name, already: '\(other.name)'")
        }
        let base = header.isFull ? nil : known.first { $0.uuid == header.base.hex }
        guard header.isFull || base != nil else {
            throw Self.failure(
                "the stream adds to a snapshot that this volume does not have: receive that one first, or a full one")
        }
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
        } catch Problem.refused(let text) {
            throw Self.failure(text)
        }
    }

    private static func failure(_ text: String) -> CommandFailure {
        CommandFailure(text: "csnapctl: \(text)", code: 4)
    }

    /// Nobody else may have the origin; and what the stream adds to must be there.
    private mutating func begin() throws {
        let now = try options.agent.call(waitingFor: "the server to answer") { [volume] in try $0.volume(volume) }
        guard now.lostWriters.isEmpty else {
            let nodes = now.lostWriters.map { "\($0.node)" }.joined(separator: ", ")
            throw Problem.refused("what the lost nodes \(nodes) wrote may still land: see `csnapctl volume list`")
        }
        try expectAlone()
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
            try expectAlone()
            try expectOnlyCovered("changed while the stream was received: receive it again from its beginning")
            let uuid = reader.header.snapshot.hex
            _ = try options.agent.call(waitingFor: "all nodes to finish their writes") { [volume, name] in
                try $0.createSnapshot(volume, name, uuid: uuid)
            }
        } catch Problem.refused(let text) {
            throw Self.failure("\(text). No snapshot was made")
        } catch Problem.changedBefore(let offset) {
            throw CommandFailure.failed(
                "csnapctl: what was received earlier is not there any more, at byte \(offset). No snapshot was made.\n"
                    + "Send and receive it again from its beginning.")
        } catch {
            let failure = error as? CommandFailure
            let text = failure?.text ?? "csnapctl: \(error)"
            throw CommandFailure(text: "\(text). No snapshot was made.\n\(advice())", code: failure?.code ?? 1)
        }
        progress.end(report.size)
        report.seconds = Double(boottime() - begun) / 1e9
        return report
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
        if boottime() - lookedAt > Self.lookEvery { try expectAlone() }
        switch frame {
        case .data(let offset, let bytes):
            try device.write(bytes, offset: offset)
            try took(offset, UInt64(bytes.count))
            report.count(UInt64(bytes.count))
        case .zeros(let offset, let count):
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

    private mutating func took(_ offset: UInt64, _ count: UInt64) throws {
        position = offset + count
        progress.reached(position, moved: count)
        if base != nil { cover(offset / chunkSize * chunkSize, (position + chunkSize - 1) / chunkSize * chunkSize) }
        unflushed += count
        if unflushed >= Self.flushEvery {
            try device.flush()
            durable = position
            unflushed = 0
        }
    }

    private mutating func cover(_ start: UInt64, _ end: UInt64) {
        if let last = covered.last, last.end >= start {
            covered[covered.count - 1].length = max(last.end, end) - last.offset
        } else {
            covered.append(ChangesItem.Range(offset: start, length: end - start))
        }
    }

    /// No other node's client is connected. One of this node is: that is ours.
    private mutating func expectAlone() throws {
        lookedAt = boottime()
        let now = try options.agent.call(waitingFor: "the server to answer") { [volume] in try $0.volume(volume) }
        guard now.sessions <= 1 else {
            throw Problem.refused(
                "\(now.sessions) clients of the volume are connected: stop csnap-client@\(volume) on all nodes but "
                    + "this one")
        }
    }

    /// Nothing of the origin differs from the base but what the stream has brought.
    private func expectOnlyCovered(_ problem: String) throws {
        guard let base else { return }
        var next = UInt64?.some(0)
        var index = 0
        while let first = next {
            let page = try options.agent.call(waitingFor: "the server to answer") {
                try $0.changesPage(volume, from: base.number, to: nil, firstChunk: first)
            }
            for range in page.ranges {
                while index < covered.count, covered[index].end < range.end { index += 1 }
                guard index < covered.count, covered[index].offset <= range.offset else {
                    throw Problem.refused("the volume at byte \(range.offset) \(problem)")
                }
            }
            next = page.nextChunk
        }
    }
}
