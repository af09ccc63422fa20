import CShims
import CsnapCore
import CsnapSession
import Glibc

/// One TCP connection of a client: seal, frames and a bounded buffer of what it has not read yet.
struct SessionConnection {
    /// Bytes it may leave unread before it is cut off.
    static let outgoingLimit = 256 << 10
    /// Bytes unread from which on nothing more is heard from it.
    static let highWater = 32 << 10
    /// Bytes taken from it in one turn, so that none keeps the others waiting.
    static let turn = 16 << 10
    /// How long a connection may go without a hello, or without reading what it asked for.
    static let patience = Interval.seconds(5)

    let descriptor: Int32
    private var seal: SessionSeal
    private var reader = FrameReader<ClientFrame>()
    private var outgoing: [UInt8]
    /// When it last made progress: it said hello, or read what was sent.
    private(set) var progressAt: Instant
    /// It has a session; strangers must say hello in time.
    var isWelcome = false
    /// What came does not open with our keys.
    private(set) var lacksKey = false
    /// To be closed when all is sent.
    var isClosing = false

    enum Reading {
        case frames([ClientFrame])
        /// What came before the garbage counts.
        case garbage(after: [ClientFrame], SessionFrameError)
        case ended(String)
    }

    init(descriptor: Int32, keys: KeyRing, now: Instant) {
        self.descriptor = descriptor
        seal = SessionSeal(side: .server, keys: keys)
        outgoing = seal.preamble
        progressAt = now
    }

    var wantsToSend: Bool { !outgoing.isEmpty }
    var isOverfull: Bool { outgoing.count > Self.outgoingLimit }
    var mayRead: Bool { !isClosing && outgoing.count < Self.highWater }

    /// It has waited too long: without hello, or for the client to read.
    func isOverdue(_ now: Instant) -> Bool {
        (isClosing || !isWelcome || !outgoing.isEmpty) && now - progressAt > Self.patience
    }

    mutating func resetPatience(_ now: Instant) { progressAt = now }

    /// One turn's worth of bytes; never waits.
    mutating func read(into buffer: inout [UInt8]) -> Reading {
        let count = recv(descriptor, &buffer, Self.turn, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return .frames([]) }
        guard count > 0 else { return .ended(count == 0 ? "it closed the connection" : "the connection broke") }
        do throws(SessionSealError) {
            reader.feed(try seal.open(buffer[..<count]))
        } catch {
            lacksKey = true
            return .ended(error.description)
        }
        var frames: [ClientFrame] = []
        do throws(SessionFrameError) {
            while let frame = try reader.next() { frames.append(frame) }
            return .frames(frames)
        } catch {
            return .garbage(after: frames, error)
        }
    }

    /// Queues a frame; false if the client has left too much unread.
    mutating func send(_ frame: ServerFrame, now: Instant) -> Bool {
        guard seal.isReady else { return true }
        if outgoing.isEmpty { progressAt = now }
        outgoing += seal.seal(frame.bytes)
        return !isOverfull
    }

    /// One send(2) of what is queued: true if it took some. An error shows at the next reading.
    mutating func flush(now: Instant) -> Bool {
        guard !outgoing.isEmpty else { return false }
        let sent = Glibc.send(descriptor, outgoing, outgoing.count, Int32(MSG_NOSIGNAL))
        guard sent > 0 else { return false }
        outgoing.removeFirst(sent)
        progressAt = now
        return true
    }

    /// Nothing of what is queued, here or in the kernel, is to reach the client.
    mutating func discard() {
        outgoing = []
        _ = csnap_reset_on_close(descriptor)
    }
}
