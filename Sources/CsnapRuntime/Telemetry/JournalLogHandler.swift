import CsnapCore
package import Logging
import Synchronization
import Systemd

/// The record a log line becomes: one text, and fields that keep their names in the journal.
struct LogRecord {
    var level: Logger.Level
    var message: String
    /// Sorted by name, so that a line is always the same.
    var fields: [(name: String, value: String)]

    init(level: Logger.Level, message: String, metadata: Logger.Metadata) {
        self.level = level
        self.message = message
        fields = metadata.map { (Self.fieldName($0.key), "\($0.value)") }.sorted { $0.name < $1.name }
    }

    /// Journal names: capital letters, digits, underscores, at most 64, beginning with a letter.
    static func fieldName(_ key: String) -> String {
        let name = String(
            key.uppercased().unicodeScalars.prefix(64).map { scalar in
                ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) ? Character(scalar) : "_"
            })
        return name.first?.isLetter == true ? name : "X" + name.dropFirst(name.isEmpty ? 0 : 1)
    }

    /// syslog's priorities (RFC 5424, table 2).
    var priority: Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// Left out of lines; a line is read beside its neighbours.
    private static let sameInEveryLine = [
        LogField.messageID, LogField.cluster, LogField.clusterUUID, LogField.node,
    ]

    /// `[   12.345678] warning: message (epoch=7 peer=3)`: seconds of CLOCK_BOOTTIME, as dmesg shows them.
    func line(at nanoseconds: Int64) -> String {
        let seconds = String(nanoseconds / 1_000_000_000)
        let fraction = String(1_000_000 + nanoseconds / 1000 % 1_000_000).dropFirst()
        let stamp = "[" + String(repeating: " ", count: max(0, 6 - seconds.count)) + seconds + "." + fraction + "] "
        let shown = fields.filter { !Self.sameInEveryLine.contains($0.name) }
        let details = shown.map { name, value in
            (name.hasPrefix("CSNAP_") ? String(name.dropFirst(6)) : name).lowercased() + "=" + value
        }
        let severity = level == .info ? "" : level.rawValue + ": "
        let tail = details.isEmpty ? "" : " (" + details.joined(separator: " ") + ")"
        return stamp + severity + String(message.map { $0.isNewline ? " " : $0 }) + tail
    }
}

/// The least level that is logged; may be changed while the program runs.
package final class LogThreshold: Sendable {
    private let value: Mutex<Logger.Level>

    package init(_ level: Logger.Level) { value = Mutex(level) }

    package var level: Logger.Level { value.withLock { $0 } }

    package func set(_ level: Logger.Level) { value.withLock { $0 = level } }
}

/// Sends swift-log records to the journal with native fields, or as readable lines to standard error.
package struct CsnapLogHandler: LogHandler {
    package enum Output: Sendable {
        case journal(identifier: String)
        case lines(@Sendable (String) -> Void)
    }

    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    /// Shared by all copies of the handler, so that a reload changes every logger.
    private let threshold: LogThreshold
    private let output: Output

    package init(output: Output, threshold: LogThreshold) {
        self.output = output
        self.threshold = threshold
    }

    package var logLevel: Logger.Level {
        get { threshold.level }
        set { threshold.set(newValue) }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let event = event.metadata { all.merge(event) { $1 } }
        if let error = event.error { all["CSNAP_ERROR"] = "\(error)" }
        let record = LogRecord(level: event.level, message: "\(event.message)", metadata: all)
        switch output {
        case .lines(let write): write(record.line(at: BootClock.now().nanoseconds))
        case .journal(let identifier):
            // A journal that stands still must not hold an event loop, and with it a lease.
            guard Self.journal?.hasRoom ?? true else {
                Self.lost.add(1, ordering: .relaxed)
                return
            }
            let lost = Self.lost.exchange(0, ordering: .relaxed)
            if lost > 0 {
                let text = "\(lost) log records were lost: the journal did not take them"
                send(LogRecord(level: .warning, message: text, metadata: metadata), identifier)
            }
            send(record, identifier)
        }
    }

    private static let journal = QueueProbe(path: "/run/systemd/journal/socket")
    private static let lost = Atomic<Int>(0)

    private func send(_ record: LogRecord, _ identifier: String) {
        var fields = record.fields
        fields.append(("MESSAGE", record.message))
        fields.append(("PRIORITY", String(record.priority)))
        fields.append(("SYSLOG_IDENTIFIER", identifier))
        _ = Journal.send(fields)
    }
}
