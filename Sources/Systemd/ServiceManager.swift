import CSystemd
import Glibc

/// What a daemon tells systemd about itself. Every call is a no-op when no service manager listens (sd_notify(3)).
package enum ServiceManager {
    /// One assignment of the notification protocol.
    package enum Notice: Equatable, Sendable {
        case ready
        /// One line for `systemctl status`.
        case status(String)
        case watchdog
        case stopping
        /// At this instant of CLOCK_MONOTONIC a reload began.
        case reloading(monotonicMicroseconds: UInt64)
        /// Starting or stopping takes that much longer.
        case extendTimeout(microseconds: UInt64)

        var text: String {
            switch self {
            case .ready: "READY=1"
            case .status(let line): "STATUS=" + String(line.map { $0.isNewline ? " " : $0 })
            case .watchdog: "WATCHDOG=1"
            case .stopping: "STOPPING=1"
            case .reloading(let microseconds): "RELOADING=1\nMONOTONIC_USEC=\(microseconds)"
            case .extendTimeout(let microseconds): "EXTEND_TIMEOUT_USEC=\(microseconds)"
            }
        }
    }

    /// Whether a service manager listens.
    package static var isPresent: Bool {
        guard let address = getenv("NOTIFY_SOCKET") else { return false }
        return address.pointee != 0
    }

    /// For a start that failed and will be tried again at once (`RestartSec=`): two seconds, so that what stays wrong
    /// fills no log. Nothing where nobody tries again.
    package static func waitBeforeNextTry() {
        if isPresent { _ = poll(nil, 0, 2000) }
    }

    /// Sends the notices in one datagram; whether a service manager took it.
    @discardableResult
    package static func notify(_ notices: Notice...) -> Bool {
        sd_notify(0, notices.map(\.text).joined(separator: "\n")) > 0
    }

    /// RELOADING=1 with the present instant of CLOCK_MONOTONIC, as `Type=notify-reload` wants it.
    @discardableResult
    package static func notifyReloading() -> Bool {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let microseconds = UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1000
        return notify(.reloading(monotonicMicroseconds: microseconds))
    }

    /// The interval in microseconds within which WATCHDOG=1 is expected; nil if none is.
    package static var watchdogMicroseconds: UInt64? {
        var interval: UInt64 = 0
        return sd_watchdog_enabled(0, &interval) > 0 && interval > 0 ? interval : nil
    }
}
