import ArgumentParser
import CsnapCore
import CsnapRuntime
import Glibc

extension SnapshotCommand {
    struct Send: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "send",
            abstract: "Write a snapshot to standard output, whole or since an earlier one.",
            discussion: """
                'csnapctl snapshot receive' takes it. Fail-overs only make it wait. A summary goes to standard error. \
                A snapshot that is deleted meanwhile ends the command, by name, and the stream has no end then.
                """)

        @Argument(help: "The snapshot's name.") var name: String
        @Option(help: ArgumentHelp("Only what may differ from this earlier snapshot.", valueName: "name"))
        var from: String?
        @Option(
            help: ArgumentHelp(
                "Go on with a stream that broke: send only checksums of what lies before this byte.", valueName: "byte")
        )
        var resumeFrom: UInt64 = 0
        @OptionGroup var options: Options

        func run() throws {
            guard isatty(1) == 0 else {
                throw CommandFailure.usage("csnapctl: standard output is a terminal: redirect it to a file or a pipe")
            }
            var sender = try SnapshotSender(self)
            let report = try sender.run()
            Terminal.complain(options.json ? try SnapshotCommand.json(report) : report.text("sent"))
        }
    }
}

/// One run of `csnapctl snapshot send`.
private struct SnapshotSender {
    private let options: SnapshotCommand.Options
    private let volume: String
    private let snapshot: SnapshotItem
    private let base: SnapshotItem?
    private let device: NBDClient
    private let begun = boottime()
    private var writer: StreamWriter
    private var report: StreamReport
    private var progress: StreamProgress
    /// Zeros that were read and not written yet.
    private var zeros = 0..<UInt64(0)

    init(_ command: SnapshotCommand.Send) throws {
        options = command.options
        let waiting = "the server to answer"
        let status = try options.agent.call(waitingFor: waiting) { try $0.status() }
        let volume = try options.agent.call(waitingFor: waiting) { try command.options.name($0) }
        let known = try options.agent.call(waitingFor: waiting) { try $0.snapshots(volume) }
        let snapshot = try SnapshotCommand.find(command.name, in: known)
        base = try command.from.map { try SnapshotCommand.find($0, in: known) }
        self.volume = volume
        self.snapshot = snapshot
        device = try options.device(volume, "snap#\(snapshot.number)")
        // Also refuses a base that is not older.
        let page = try options.agent.call(waitingFor: waiting) { [base] in
            try $0.changesPage(volume, from: (base ?? snapshot).number, to: snapshot.number)
        }
        guard command.resumeFrom <= device.size, command.resumeFrom % UInt64(page.chunkSize) == 0 else {
            throw CommandFailure.usage("csnapctl: --resume-from takes what 'snapshot receive' said when it broke")
        }
        let header = StreamHeader(
            cluster: status.clusterUUID.flatMap { Bits128(hex: $0) } ?? .zero, volume: volume,
            snapshot: Bits128(hex: snapshot.uuid) ?? .zero, name: snapshot.name, created: snapshot.created,
            base: base.flatMap { Bits128(hex: $0.uuid) } ?? .zero, size: device.size, chunkSize: page.chunkSize,
            start: command.resumeFrom)
        report = StreamReport(
            volume: volume, snapshot: snapshot.name, uuid: snapshot.uuid, base: base?.name, size: device.size)
        progress = StreamProgress(total: device.size)
        writer = try StreamWriter(header, write: StandardStream.write)
    }

    mutating func run() throws -> StreamReport {
        do {
            if let base { try sendChanges(since: base) } else { try send(0..<device.size) }
            try putZeros()
            try expectStillThere()
        } catch {
            try expectStillThere()
            throw error
        }
        try writer.put(.end)
        progress.end(device.size)
        report.seconds = Double(boottime() - begun) / 1e9
        return report
    }

    /// Names a snapshot that was deleted meanwhile, or has lost something.
    private func expectStillThere() throws {
        let known = try options.agent.call(waitingFor: "the server to answer") { try $0.snapshots(volume) }
        for item in [snapshot, base].compactMap({ $0 }) {
            let there = known.first { $0.uuid == item.uuid }
            guard there?.damaged != false else { continue }
            let what = there == nil ? "deleted" : "damaged"
            throw CommandFailure.failed("csnapctl: the snapshot '\(item.name)' was \(what) while it was sent")
        }
    }

    private mutating func sendChanges(since base: SnapshotItem) throws {
        var next = UInt64?.some(0)
        while let first = next {
            let page = try options.agent.call(waitingFor: "the server to answer") {
                try $0.changesPage(volume, from: base.number, to: snapshot.number, firstChunk: first)
            }
            for range in page.ranges where range.offset < device.size {
                try send(range.offset..<min(range.end, device.size))
            }
            next = page.nextChunk
        }
    }

    private mutating func send(_ range: Range<UInt64>) throws {
        var position = range.lowerBound
        while position < range.upperBound {
            // A part lies before the start of a resumed stream or behind it.
            let limit = position < writer.header.start ? min(writer.header.start, range.upperBound) : range.upperBound
            let count = Int(min(UInt64(StreamFrame.maximumData), limit - position))
            try put(try device.read(offset: position, count: count), at: position)
            position += UInt64(count)
            progress.reached(position, moved: UInt64(count))
        }
    }

    /// Zero chunks become zeros, runs of others data.
    private mutating func put(_ bytes: [UInt8], at offset: UInt64) throws {
        let chunk = Int(writer.header.chunkSize)
        var start = 0
        for position in stride(from: 0, to: bytes.count, by: chunk) {
            let end = min(position + chunk, bytes.count)
            guard Self.isZero(bytes, position..<end) else { continue }
            try putData(bytes[start..<position], at: offset + UInt64(start))
            let from = offset + UInt64(position)
            if zeros.upperBound != from { try putZeros() }
            zeros = (zeros.isEmpty ? from : zeros.lowerBound)..<offset + UInt64(end)
            start = end
        }
        try putData(bytes[start...], at: offset + UInt64(start))
    }

    private static func isZero(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        bytes.withUnsafeBytes { raw in
            guard let first = raw.baseAddress.map({ $0 + range.lowerBound }) else { return true }
            // The first is zero, and each is like the one before it.
            return bytes[range.lowerBound] == 0 && memcmp(first, first + 1, range.count - 1) == 0
        }
    }

    private mutating func putData(_ bytes: ArraySlice<UInt8>, at offset: UInt64) throws {
        if bytes.isEmpty { return }
        try putZeros()
        let data = Array(bytes)
        if offset < writer.header.start {
            try writer.put(.same(offset: offset, count: UInt64(data.count), digest: StreamDigest.of(data)))
            report.count(same: UInt64(data.count))
        } else {
            try writer.put(.data(offset: offset, data))
            report.count(UInt64(data.count))
        }
    }

    private mutating func putZeros() throws {
        if zeros.isEmpty { return }
        let count = zeros.upperBound - zeros.lowerBound
        try writer.put(.zeros(offset: zeros.lowerBound, count: count))
        report.count(zeros: count)
        zeros = 0..<0
    }
}

extension SnapshotCommand.Options {
    /// An export of this node's client of the volume, which may not know a snapshot yet that was made just now.
    func device(_ volume: String, _ export: String) throws -> NBDClient {
        let path = try agent.volumeSocket(volume)
        let end = boottime() + 10_000_000_000
        while true {
            do {
                return try NBDClient(
                    path: path, export: export, cancelled: WaitNotice(socket: agent.path()).isCancelled)
            } catch let error as SandboxError where error == .notOffered(export) {
                guard boottime() < end, !Interruption.isRequested else {
                    throw CommandFailure.failed("csnapctl: \(volume): \(error)")
                }
                pause(milliseconds: 50)
            } catch {
                throw CommandFailure.failed(
                    "csnapctl: \(error). Is the volume's client running? `systemctl status csnap-client@\(volume)`")
            }
        }
    }
}
