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

    /// Sends the notices in one datagram; whether a service manager took it. Waits while its queue is full: not for an
    /// event loop.
    @discardableResult
    package static func notify(_ notices: Notice...) -> Bool {
        sd_notify(0, notices.map(\.text).joined(separator: "\n")) > 0
    }

    /// The same, without waiting: false if the queue is full.
    @discardableResult
    package static func notifyAtOnce(_ notices: Notice...) -> Bool {
        guard isPresent, let name = getenv("NOTIFY_SOCKET") else { return false }
        var path = Array(String(cString: name).utf8)
        // A name in the abstract space begins with NUL.
        if path.first == UInt8(ascii: "@") { path[0] = 0 }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let bytes = Array(notices.map(\.text).joined(separator: "\n").utf8)
        let length = (MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) + path.count
        let sent = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL), $0,
                    socklen_t(length))
            }
        }
        return sent == bytes.count
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
