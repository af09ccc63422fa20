import CShims
package import CsnapCore

/// This machine's CLOCK_BOOTTIME: the only clock of the protocol (docs/protocol.md §5.9).
package enum BootClock {
    package static func now() -> Instant { Instant(nanoseconds: csnap_boottime_nanoseconds()) }
}
