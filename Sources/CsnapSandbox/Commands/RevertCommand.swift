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
                uses the volume on this one. Interrupted, it goes on where it was with the same command; until then \
                'csnapctl status' names the volume, and other nodes' clients wait. Other snapshots stay.
                """)

        @Argument(help: "The volume.") var volume: String
        @Argument(help: "The snapshot.") var name: String
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var agent: AgentOptions

        func run() throws {
            Interruption.watch()
            let socket = try agent.volumeSocket(volume)
            let alone = try OriginReservation(volume, agent.runtime())
            let result: RevertResult
            do {
                result = try agent.call(waitingFor: "the server to answer") { caller in
                    try withExtendedLifetime(alone) {
                        try RevertSession(volume, name, socket, caller, WaitNotice(socket: agent.path())).run()
                    }
                }
            } catch let error as SandboxError {
                throw CommandFailure.failed(
                    "csnapctl: \(error): \(volume) may be half reverted: go on with the same command, or go back with "
                        + "`csnapctl snapshot revert \(volume)` and the snapshot that was made first")
            }
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
    private let socket: String
    private let caller: AgentCaller
    private let notice: WaitNotice
    /// Read and written at once, bytes.
    private static let part = 1 << 20
    /// Between two moves of the cursor, bytes: a multiple of every chunk size.
    private static let step = 64 << 20

    init(_ volume: String, _ name: String, _ socket: String, _ caller: AgentCaller, _ notice: WaitNotice) {
        self.volume = volume
        self.name = name
        self.socket = socket
        self.caller = caller
        self.notice = notice
    }

    func run() throws -> RevertResult {
        let begun = boottime()
        // An earlier revert, or the receiving of a stream, has left the origin half written.
        let isBegun = try caller.volume(volume).revert != nil
        let revert = try caller.beginRevert(volume, name)
        let before = "before-revert-\(ClockText.utc(UInt64(max(0, time(nil)))))"
        let kept: SnapshotItem
        do {
            kept = try caller.createSnapshot(volume, before, uuid: revert.uuid)
        } catch {
            // Without that snapshot this run has written nothing.
            if !isBegun { try? caller.endRevert(volume, revert.uuid) }
            throw error
        }
        let source = try export("snap/\(name)")
        let origin = try export("origin")
        var bytes: UInt64 = 0
        var unsaved: UInt64 = 0
        var progress = StreamProgress(total: origin.size)
        try caller.changes(volume, from: revert.number, to: nil) { page in
            let compared = revert.cursor * UInt64(page.chunkSize)
            // An export is a multiple of its blocks, which an origin need not be.
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
                    try caller.moveRevert(volume, revert.uuid, end / UInt64(page.chunkSize))
                    unsaved = 0
                }
            }
        }
        try origin.flush()
        try caller.endRevert(volume, revert.uuid)
        progress.end(origin.size)
        source.disconnect()
        origin.disconnect()
        return RevertResult(
            volume: volume, snapshot: name, before: kept.name, bytes: bytes,
            seconds: Double(boottime() - begun) / 1e9)
    }

    /// The client may not know a snapshot yet that was made just now.
    private func export(_ export: String) throws -> NBDClient {
        let end = boottime() + 10_000_000_000
        while true {
            do {
                return try NBDClient(path: socket, export: export, cancelled: notice.isCancelled)
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
    private func copy(
        _ range: Range<UInt64>, _ source: NBDClient, _ origin: NBDClient, comparedBelow compared: UInt64
    ) throws -> UInt64 {
        var offset = range.lowerBound
        var written: UInt64 = 0
        while offset < range.upperBound {
            if Interruption.isRequested { throw SandboxError.cancelled }
            let count = Int(min(UInt64(Self.part), range.upperBound - offset))
            let bytes = try source.readPadded(offset: offset, count: count)
            if try offset >= compared || origin.read(offset: offset, count: count) != bytes {
                try origin.write(bytes, offset: offset)
                written += UInt64(count)
            }
            offset += UInt64(count)
        }
        return written
    }
}
