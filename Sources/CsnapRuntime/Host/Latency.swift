import Glibc
package import Logging

/// What keeps a daemon from being late: locked memory, and a scheduling class of its own. Both where allowed; without
/// them csnap is as safe, but a loaded machine may lose a lease.
package enum Latency {
    private static let resetOnFork: Int32 = 0x4000_0000
    private static let onFault: Int32 = 4
    private static let lockCapability: UInt64 = 1 << 14

    /// Pages that were once touched are never paged out again. Says in one line why not.
    package static func lockMemory(_ logger: Logger) {
        guard mayLockAll else {
            logger.notice("memory is not locked: it needs CAP_IPC_LOCK, or an unlimited LimitMEMLOCK")
            return
        }
        // Not yet touched pages cost nothing (MCL_ONFAULT): thread stacks stay small.
        guard mlockall(Int32(MCL_CURRENT) | Int32(MCL_FUTURE) | onFault) != 0 else { return }
        logger.notice("memory is not locked: \(String(cString: strerror(errno)))")
    }

    /// With a finite limit a later allocation would fail, which is worse than a page fault.
    private static var mayLockAll: Bool {
        var limit = rlimit()
        if getrlimit(Int32(__RLIMIT_MEMLOCK.rawValue), &limit) == 0, limit.rlim_cur == .max { return true }
        guard let bytes = try? Files.read("/proc/self/status", limit: 1 << 16) else { return false }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("CapEff:") }),
            let capabilities = UInt64(line.dropFirst("CapEff:".count).filter(\.isHexDigit), radix: 16)
        else { return false }
        return capabilities & lockCapability != 0
    }

    /// The calling thread alone runs before ordinary ones; what it starts does not inherit that. One line if not.
    package static func scheduleThisThread(_ logger: Logger) {
        var parameter = sched_param()
        parameter.sched_priority = 1
        guard sched_setscheduler(0, Int32(SCHED_RR) | resetOnFork, &parameter) != 0 else { return }
        logger.notice("no real-time scheduling: \(String(cString: strerror(errno))); it needs CAP_SYS_NICE")
    }
}
