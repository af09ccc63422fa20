import CShims
import CsnapCore
import CsnapStore
import Glibc
import Synchronization

/// The store of one volume and the one thread that touches it.
final class StoreKeeper: Sendable {
    let volume: String
    let path: String
    private let gate: ServiceGate
    private let record: ServiceRecord
    private let done: Doorbell
    private let work: Doorbell
    private let claim = Mutex<StoreClaim?>(nil)
    private let outcome = Mutex<StoreTaking.Step?>(nil)

    /// Safe to hand over: it is used by the store's thread alone.
    private struct Handover: @unchecked Sendable {
        let device: StoreDevice
    }

    /// Opens the store and starts its thread; `done` is rung when `takeOutcome` has something to say.
    init(
        _ volume: CsnapConfiguration.Volume, gate: ServiceGate, record: ServiceRecord, done: Doorbell
    ) throws(SystemError) {
        self.volume = volume.name
        path = volume.store
        self.gate = gate
        self.record = record
        self.done = done
        work = try Doorbell(blocking: true)
        let device = try StoreDevice(path: volume.store)
        try device.lock(exclusively: false)
        let handover = Handover(device: device)
        try ServerThread.start("store") { [self] in run(handover.device) }
    }

    /// Begins the taking; at most once in a process.
    func take(_ claim: StoreClaim) {
        self.claim.withLock { $0 = claim }
        work.ring()
    }

    /// How the taking ended; once.
    func takeOutcome() -> StoreTaking.Step? {
        outcome.withLock { outcome in
            defer { outcome = nil }
            return outcome
        }
    }

    private func run(_ device: StoreDevice) {
        while true {
            work.wait()
            guard var claim = claim.withLock({ $0 }) else { continue }
            claim.deviceSize = device.size
            let step = take(claim, device)
            outcome.withLock { $0 = step }
            done.ring()
        }
    }

    private func take(_ claim: StoreClaim, _ device: StoreDevice) -> StoreTaking.Step {
        var taking = StoreTaking(claim)
        var request = taking.first
        while true {
            switch taking.answered(perform(request, device)) {
            case .perform(let next): request = next
            case .taken(let superblock): return .taken(superblock)
            case .refused(let refusal): return .refused(refusal)
            }
        }
    }

    /// No write begins past soft. Past hard the process ends while this waits.
    private func perform(_ request: StoreRequest, _ device: StoreDevice) -> StoreAnswer {
        guard case .write = request else { return device.perform(request) }
        while !gate.mayServe(BootClock.now()) { csnap_pause(1) }
        let answer = device.perform(request)
        record.served(at: BootClock.now())
        return answer
    }
}
