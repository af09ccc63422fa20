import Glibc

/// A bar on standard error, if that is a terminal; nothing else.
struct StreamProgress {
    private let total: UInt64
    private let isShown = isatty(2) == 1
    private let begun = boottime()
    private var drawn: Int64 = 0
    private var moved: UInt64 = 0

    /// `total`: bytes of the image.
    init(total: UInt64) { self.total = max(total, 1) }

    /// The image is done up to `position`; so many more bytes were moved for it.
    mutating func reached(_ position: UInt64, moved more: UInt64) {
        moved += more
        let now = boottime()
        guard isShown, now - drawn > 200_000_000 else { return }
        drawn = now
        draw(position, now)
    }

    /// Leaves the line as it is.
    mutating func end(_ position: UInt64) {
        guard isShown else { return }
        draw(position, boottime())
        Terminal.put("\n", to: 2)
    }

    private func draw(_ position: UInt64, _ now: Int64) {
        let bar = Terminal.bar(Double(position) / Double(total), rest: "-")
        let seconds = max(Double(now - begun) / 1e9, 0.001)
        let rate = ByteText.short(UInt64(Double(moved) / seconds))
        Terminal.put("\r[\(bar)] \(position * 100 / total) %  \(ByteText.short(moved)), \(rate)/s  ", to: 2)
    }
}

/// Standard input and output as streams of bytes.
enum StandardStream {
    /// So many bytes, or fewer at the end and when a person ends the command.
    static func read(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count && !Interruption.isRequested {
            var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 200) > 0 else { continue }
            let got = bytes.withUnsafeMutableBytes { Glibc.read(0, $0.baseAddress.map { $0 + done }, count - done) }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw CommandFailure.failed("csnapctl: standard input: \(lastError())") }
            if got == 0 { break }
            done += got
        }
        bytes.removeLast(count - done)
        return bytes
    }

    static func write(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { Glibc.write(1, $0.baseAddress.map { $0 + done }, bytes.count - done) }
            if put < 0 && errno == EINTR { continue }
            guard put > 0 else { throw CommandFailure.failed("csnapctl: standard output: \(lastError())") }
            done += put
        }
    }
}

/// What send and receive print with `--json`; the keys are stable. Bytes and seconds.
struct StreamReport: Encodable {
    var volume: String
    var snapshot: String
    var uuid: String
    /// Left out: all was in the stream.
    var base: String?
    var size: UInt64
    var dataBytes: UInt64 = 0
    var zeroBytes: UInt64 = 0
    /// Of a stream that was resumed: compared and found to be there.
    var sameBytes: UInt64 = 0
    var seconds: Double = 0

    mutating func count(_ dataBytes: UInt64 = 0, zeros: UInt64 = 0, same: UInt64 = 0) {
        self.dataBytes += dataBytes
        zeroBytes += zeros
        sameBytes += same
    }

    /// For people.
    func text(_ verb: String) -> String {
        let what = base.map { "\(snapshot) since \($0)" } ?? snapshot
        return "\(verb) \(what): \(ByteText.short(dataBytes)) of data, \(ByteText.short(zeroBytes)) of zeros, "
            + "\(decimals(seconds)) s"
    }
}
