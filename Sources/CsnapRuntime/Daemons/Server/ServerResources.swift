import CShims
import CsnapCore
import Glibc
import Logging

/// Everything a server needs, opened, allocated and locked before it says `inert`: the path of a fail-over opens
/// nothing, resolves no name and starts no program (docs/data-plane.md, "Server").
struct ServerResources {
    let configuration: CsnapConfiguration
    let keys: KeySource
    let gate: ServiceGate
    let record: ServiceRecord
    let doorbell: Doorbell
    let deadline: DeadlineThread
    let stores: [StoreKeeper]
    /// Volumes whose stores fail are left out, as long as there is another.
    let leavesOut: Bool
    /// Volumes whose devices could not be opened; only if they may be left out.
    let missing: [ServerLoadError]
    /// Volumes that the agent says are to be left out: an earlier server failed while it served them.
    let withheld: [String]

    /// Throws `SystemError`, or `ServerLoadError` for the devices of a volume.
    init(
        configuration: CsnapConfiguration, keys: KeySource, leavesOut: Bool = false, without withheld: [String] = []
    ) throws {
        self.configuration = configuration
        self.leavesOut = leavesOut
        self.keys = keys
        let gate = ServiceGate()
        let record = try ServiceRecord(path: configuration.runtime.serviceRecord)
        let doorbell = try Doorbell(blocking: false)
        var stores: [StoreKeeper] = []
        var missing: [ServerLoadError] = []
        for volume in configuration.volumes where !withheld.contains(volume.name) {
            do throws(SystemError) {
                stores.append(try StoreKeeper(volume, gate: gate, record: record, done: doorbell))
            } catch {
                missing.append(ServerLoadError(volume: volume.name, error: error))
            }
        }
        if let first = missing.first, !leavesOut || stores.isEmpty { throw first }
        self.missing = missing
        self.withheld = withheld
        self.gate = gate
        self.record = record
        self.doorbell = doorbell
        self.stores = stores
        deadline = try DeadlineThread(gate: gate)
    }
}

/// The devices of one volume cannot be opened.
struct ServerLoadError: Error, CustomStringConvertible {
    let volume: String
    let error: SystemError

    var description: String { "volume \(volume): \(error)" }

    var failure: ServerFailure { error.code == EAGAIN ? .storeInUse : .storeUnreachable }
}

/// Ends the process at the hard deadline whatever the other threads are doing.
final class DeadlineThread: Sendable {
    private let started: Doorbell

    init(gate: ServiceGate) throws(SystemError) {
        let started = try Doorbell(blocking: true)
        self.started = started
        try ServerThread.start("deadline") {
            started.wait()
            while true {
                let hard = gate.hardDeadline
                csnap_sleep_until(hard.nanoseconds)
                if gate.mustExit(BootClock.now()) { ServerExit.hardDeadline.now() }
                // Renewed meanwhile; or the canary, which must not spin.
                if gate.hardDeadline <= hard { csnap_pause(100) }
            }
        }
    }

    /// From now on there is a deadline.
    func start() { started.ring() }
}

/// How the process ends: at once, without handlers. The kernel closes all.
enum ServerExit: Int32 {
    /// As the agent asked.
    case stopped = 0
    case failed = 1
    case usage = 2
    case hardDeadline = 3
    case agentGone = 4

    func now() -> Never { _exit(rawValue) }
}
