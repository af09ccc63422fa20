import CShims
import Dispatch
import Glibc
import Synchronization

/// How a process ended.
package enum ProcessEnd: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signal(Int32)
    /// It was reaped by something else; the group was empty all the same.
    case unknown

    package var description: String {
        switch self {
        case .exited(let status): "exited with \(status)"
        case .signal(let number): "was ended by signal \(number)"
        case .unknown: "ended"
        }
    }
}

/// A csnap-server and all it started: one process group, which lives no longer than this agent (§5.6).
///
/// Duties: `whenEmpty` is called exactly once, when no process of the group can do anything any more. A group that
/// does not empty (sleep in the kernel) never calls it; `isStuck` says so.
package final class ServerProcess: Sendable {
    package let processID: Int32
    /// Our end of the socket pair; the owner takes it over and closes it.
    package let channelDescriptor: Int32
    private let processDescriptor: Int32
    /// Guards the kill: the group's number is ours only until its leader is reaped.
    private let reaped = Mutex(false)

    private init(processID: Int32, channelDescriptor: Int32, processDescriptor: Int32) {
        self.processID = processID
        self.channelDescriptor = channelDescriptor
        self.processDescriptor = processDescriptor
    }

    deinit { close(processDescriptor) }

    /// Starts the program with descriptor 3 as its channel; it dies when the calling thread ends.
    ///
    /// Throws if it cannot be executed; nothing is left behind then.
    package static func spawn(
        executable: String, arguments: [String], whenEmpty: @escaping @Sendable (ProcessEnd) -> Void
    ) throws(SystemError) -> ServerProcess {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw SystemError("cannot make a socket for", executable)
        }
        var processDescriptor: Int32 = -1
        var pointers: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        let result = csnap_spawn_group(executable, &pointers, ends[1], &processDescriptor)
        for pointer in pointers { free(pointer) }
        close(ends[1])
        guard result > 0 else {
            close(ends[0])
            throw SystemError("cannot start", executable, code: -result)
        }
        let process = ServerProcess(
            processID: result, channelDescriptor: ends[0], processDescriptor: processDescriptor)
        DispatchQueue(label: "csnap.server.\(result)").async { whenEmpty(process.waitUntilEmpty()) }
        return process
    }

    /// SIGKILL to every process of the group; nothing if its leader is gone already (the rest was killed then).
    package func killGroup() {
        reaped.withLock { reaped in
            if !reaped { kill(-processID, SIGKILL) }
        }
    }

    /// Runs on a thread of its own.
    private func waitUntilEmpty() -> ProcessEnd {
        while csnap_wait_ended(processDescriptor, 1000) == 0 {}
        // The dead leader keeps the group's number from being given to others until it is reaped: kill the rest now.
        let status = reaped.withLock { reaped in
            kill(-processID, SIGKILL)
            reaped = true
            return csnap_reap(processDescriptor)
        }
        while !ProcessGroup.isEmpty(processID) { csnap_pause(2) }
        return status < 0 ? .unknown : status >= 1000 ? .signal(status - 1000) : .exited(status)
    }
}

/// What the kernel knows of a process group.
package enum ProcessGroup {
    /// Whether no process of the group can run any more. Zombies cannot; their parent may never reap them.
    package static func isEmpty(_ group: Int32) -> Bool {
        if kill(-group, 0) != 0 && errno == ESRCH { return true }
        // The group exists. It is proven harmless only if its members can be seen, and all of them are dead.
        guard let names = try? Files.names(in: "/proc") else { return false }
        var seen = false
        for name in names where name.utf8.first.map({ (48...57).contains($0) }) == true {
            guard let stat = field(of: "/proc/\(name)/stat"), stat.group == group else { continue }
            seen = true
            let tasks = (try? Files.names(in: "/proc/\(name)/task")) ?? []
            for task in tasks {
                guard let thread = field(of: "/proc/\(name)/task/\(task)/stat") else { continue }
                if thread.state != "Z" && thread.state != "X" { return false }
            }
        }
        return seen
    }

    /// State and group from a stat line: "7 (name, may hold anything) S 1 7 …"; nil if the process is gone.
    private static func field(of path: String) -> (state: Character, group: Int32)? {
        guard let bytes = try? Files.read(path, limit: 8192) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let close = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 3, let state = fields[0].first, let group = Int32(fields[2]) else { return nil }
        return (state, group)
    }
}
