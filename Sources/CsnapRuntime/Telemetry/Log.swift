import CsnapCore
import Glibc
package import Logging
import Systemd

/// Makes the loggers of a daemon. The journal if standard error goes there, lines on standard error otherwise.
package enum Log {
    /// Of all loggers of this process.
    package static let threshold = LogThreshold(.info)

    /// `identifier` is the program's name; cluster and node stand in every record.
    package static func make(identifier: String, configuration: CsnapConfiguration) -> Logger {
        threshold.set(configuration.logLevel.level)
        var logger = plain(identifier: identifier)
        logger[metadataKey: LogField.cluster] = "\(configuration.cluster)"
        logger[metadataKey: LogField.node] = "\(configuration.node.value)"
        return logger
    }

    /// A logger for the time before there is a configuration.
    package static func plain(identifier: String) -> Logger {
        let output: CsnapLogHandler.Output =
            Journal.isStandardError ? .journal(identifier: identifier) : .lines(writeLine)
        return Logger(label: identifier) { _ in CsnapLogHandler(output: output, threshold: threshold) }
    }

    /// One write per line, so that lines of several processes do not mix. Nobody waits for whoever reads them.
    private static func writeLine(_ line: String) {
        guard QueueProbe.hasRoom(STDERR_FILENO) else { return }
        try? Files.writeAll(Array((line + "\n").utf8), descriptor: STDERR_FILENO, path: "standard error")
    }
}

/// The fields of our journal records (docs/operations.md, "Journal").
package enum LogField {
    package static let messageID = "MESSAGE_ID"
    package static let cluster = "CSNAP_CLUSTER"
    package static let clusterUUID = "CSNAP_CLUSTER_UUID"
    package static let node = "CSNAP_NODE"
    package static let epoch = "CSNAP_EPOCH"
    package static let round = "CSNAP_ROUND"
    package static let phase = "CSNAP_PHASE"
    package static let peer = "CSNAP_PEER"
    package static let volume = "CSNAP_VOLUME"
    package static let session = "CSNAP_SESSION"
}

extension CsnapConfiguration.LogLevel {
    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}
