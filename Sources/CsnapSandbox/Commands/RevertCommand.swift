import ArgumentParser
import CsnapCore
import CsnapRuntime
import Glibc

extension SnapshotCommand {
    struct Revert: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revert",
            abstract: "Write a snapshot back to its volume.",
            discussion: """
                First the present is kept as a snapshot of its own, then what differs is written to the origin by \
                this node's client. It needs the volume for itself: stop the clients on all other nodes, and what \
                uses the volume on this one. Interrupted, it goes on with the same command, which compares what was \
                written; until then 'csnapctl status' names the volume, and other nodes' clients wait. Other \
                snapshots stay.
                """)

        @Argument(help: "The volume.") var volume: String
        @Argument(help: "The snapshot.") var name: String
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var agent: AgentOptions

        func run() throws {
            Interruption.watch()
            var session = try RevertSession(volume, name, agent)
            let result = try session.run()
            if json { return Terminal.say(try SnapshotCommand.json(result)) }
            Terminal.say(
                "\(volume) is \(name) again: \(ByteText.short(result.bytes)) written in \(decimals(result.seconds)) s; "
                    + "what it was before is the snapshot \(result.before)")
        }
    }
}

/// What `--json` says at the end.
struct RevertResult: Encodable {
    var volume: String
    var snapshot: String
    /// The snapshot of what was there before.
    var before: String
    /// Written back by this call.
    var bytes: UInt64
    var seconds: Double
}

/// The one origin client of a revert: an NBD client of this node's csnap-client, and the cursor at the server.
struct RevertSession {
    private let volume: String
    private let name: String
    private let agent: AgentOptions
    private let alone: OriginReservation
    private let notice: WaitNotice
    /// An earlier revert, or the receiving of a stream, has left the origin half written.
    private var isBegun = false
    /// By receiving: there is no way back from that.
    private var isReceiving = false
    /// So may this one.
    private var hasWritten = false
    /// The snapshot of what was there before.
    private var before: String?
    /// Read and written at once, bytes.
    private static let part = 1 << 20
    /// Between two moves of the cursor, bytes: a multiple of every chunk size.
    private static let step = 64 << 20

    init(_ volume: String, _ name: String, _ agent: AgentOptions) throws {
        self.volume = volume
        self.name = name
        self.agent = agent
        alone = try OriginReservation(volume, agent.runtime())
        notice = WaitNotice(socket: try agent.path())
    }

    mutating func run() throws -> RevertResult {
        let begun = boottime()
        let revert = try begin()
        let result: RevertResult
        do {
            let kept = try keep(revert.uuid)
            let bytes = try write(revert)
            try settle { try $0.endRevert(volume, revert.uuid) }
            result = RevertResult(
                volume: volume, snapshot: name, before: kept, bytes: bytes, seconds: Double(boottime() - begun) / 1e9)
        } catch {
            throw failure(error, revert.uuid)
        }
        try expectStillWhole(revert.number)
        return result
    }

    /// A repair may have lain between.
    private func expectStillWhole(_ number: UInt64) throws {
        let known = try agent.call(waitingFor: "the server to answer") { try $0.snapshots(volume) }
        guard known.contains(where: { $0.number == number && $0.damaged }) else { return }
        throw CommandFailure.failed(
            "csnapctl: \(volume) is what is left of '\(name)', which a repair of the store could not save as a whole"
                + (before.map { ": the way back is `csnapctl snapshot revert \(volume) \($0)`" } ?? ""))
    }

    /// What may be done or not when its answer is not waited for.
    private func settle<Result>(_ body: (AgentCaller) throws -> Result) throws -> Result {
        try agent.call(waitingFor: "the server to answer", patience: AgentOptions.answered, body)
    }

    private mutating func begin() throws -> RevertItem {
        let earlier = try agent.call(waitingFor: "the server to answer") { caller in
            try SnapshotCommand.expectWhole(name, volume, caller)
            return try caller.volume(volume).revert
        }
        isBegun = earlier != nil
        isReceiving = earlier?.receiving == true
        let uuid = RandomBits.draw().hex
        do {
            let revert = try settle { try $0.beginRevert(volume, name, uuid: uuid) }
            // Begun by another node meanwhile.
            if revert.uuid != uuid { isBegun = true }
            return revert
        } catch let error as CommandFailure where error.code == 4 {
            throw error
        } catch {
            throw failure(error, uuid)
        }
    }

    private mutating func keep(_ uuid: String) throws -> String {
        let name = "before-revert-\(ClockText.utc(UInt64(max(0, time(nil)))))"
        try expectUninterrupted()
        let kept = try agent.call(waitingFor: "the writes to finish", patience: AgentOptions.answered) {
            try $0.createSnapshot(volume, name, uuid: uuid).name
        }
        before = kept
        return kept
    }

    /// How much it was, in bytes.
    private mutating func write(_ revert: RevertItem) throws -> UInt64 {
        let source = try export("snap#\(revert.number)")
        let origin = try export("origin")
        var bytes: UInt64 = 0
        var unsaved: UInt64 = 0
        var progress = StreamProgress(total: origin.size)
        var next = UInt64?.some(0)
        while let first = next {
            let page = try agent.call(waitingFor: "the server to answer") {
                try $0.changesPage(volume, from: revert.number, to: nil, firstChunk: first)
            }
            let compared = revert.cursor * UInt64(page.chunkSize)
            // An export is a multiple of its blocks, which an origin need not be.
            guard page.size < origin.size + 4096 else {
                throw CommandFailure(
                    text: "csnapctl: this node's device has \(origin.size) bytes, the volume \(page.size): enlarge the "
                        + "device here, then restart csnap-client@\(volume)", code: 4)
            }
            for range in page.ranges where range.offset < origin.size {
                let rangeEnd = min(range.end, origin.size)
                for start in stride(from: range.offset, to: rangeEnd, by: UInt64.Stride(Self.step)) {
                    let end = min(start + UInt64(Self.step), rangeEnd)
                    let written = try copy(start..<end, source, origin, comparedBelow: compared)
                    bytes += written
                    unsaved += written
                    progress.reached(end, moved: written)
                    guard unsaved >= UInt64(Self.step) else { continue }
                    // The cursor moves over what is durable only.
                    try origin.flush()
                    try agent.call(waitingFor: "the server to store it") {
                        try $0.moveRevert(volume, revert.uuid, end / UInt64(page.chunkSize))
                    }
                    unsaved = 0
                }
            }
            next = page.nextChunk
        }
        try origin.flush()
        progress.end(origin.size)
        source.disconnect()
        origin.disconnect()
        return bytes
    }

    /// The error with what has become of the volume; what has written nothing leaves no record.
    private func failure(_ error: any Error, _ uuid: String) -> CommandFailure {
        var failure = error as? CommandFailure ?? .failed("csnapctl: \(error)")
        guard isBegun || hasWritten else {
            failure.text += "\nNothing was written" + (before.map { "; the snapshot \($0) stays" } ?? "")
            do {
                try settle { try $0.endRevert(volume, uuid) }
            } catch {
                failure.text +=
                    ". But other nodes' clients of \(volume) may still wait, until the same command is done"
            }
            return failure
        }
        let what = hasWritten ? "may be half reverted" : "is still half written by an earlier command"
        let back = isReceiving ? "" : before.map { ", or back with `csnapctl snapshot revert \(volume) \($0)`" } ?? ""
        failure.text += "\n\(volume) \(what): go on with the same command\(back)"
        // That would mean that nothing has changed.
        if hasWritten, failure.code == 4 { failure.code = 1 }
        return failure
    }

    private func expectUninterrupted() throws {
        if Interruption.isRequested { throw SandboxError.cancelled }
    }

    /// The client may not know a snapshot yet that was made just now.
    private func export(_ export: String) throws -> NBDClient {
        let end = boottime() + 10_000_000_000
        while true {
            do {
                return try NBDClient(path: agent.volumeSocket(volume), export: export, cancelled: notice.isCancelled)
            } catch let error as SandboxError {
                guard boottime() < end, !Interruption.isRequested else {
                    throw CommandFailure.failed(
                        "csnapctl: \(export) of \(volume) cannot be opened: \(error). Does csnap-client@\(volume) run?")
                }
                pause(milliseconds: 50)
            }
        }
    }

    /// What an earlier command wrote is looked at: programs on this node may have written there after it. How much was
    /// written now, in bytes.
    private mutating func copy(
        _ range: Range<UInt64>, _ source: NBDClient, _ origin: NBDClient, comparedBelow compared: UInt64
    ) throws -> UInt64 {
        var offset = range.lowerBound
        var written: UInt64 = 0
        while offset < range.upperBound {
            try expectUninterrupted()
            let count = Int(min(UInt64(Self.part), range.upperBound - offset))
            let bytes = try source.readPadded(offset: offset, count: count)
            if try offset >= compared || origin.read(offset: offset, count: count) != bytes {
                hasWritten = true
                try origin.write(bytes, offset: offset)
                written += UInt64(count)
            }
            offset += UInt64(count)
        }
        return written
    }
}
