import CsnapCore
import CsnapSession
import Logging

/// From START until all stores are taken, and what is prepared in them is decided.
extension ServerLoop {
    func resolveIfTaken() {
        guard case .taking(let taking) = phase, taking.volumes.count == stores.count else { return }
        if taking.resolution == nil {
            // The table numbers the volumes as we number the stores.
            resolve(PreparedResolution(stores.compactMap { taking.volume($0.volume) })) { $0.begin() }
        }
    }

    /// What an earlier server left prepared is decided before anybody is heard.
    func resolve(
        _ resolution: PreparedResolution, _ step: (inout PreparedResolution) -> [PreparedResolution.Step]
    ) {
        guard case .taking(var taking) = phase else { return }
        var resolution = resolution
        for step in step(&resolution) { stores[step.volume].submit(step.order, ticket: step.ticket) }
        if taking.resolution == nil {
            // It has some time of its own, however late the stores were.
            taking.deadline = max(
                taking.deadline, BootClock.now() + resources.configuration.timing.reconnect / 8)
        }
        taking.resolution = resolution
        phase =
            resolution.isDone
            ? .listening(ListeningServer(start: taking.start, volumes: resolution.volumes, kept: taking.kept))
            : .taking(taking)
    }

    /// A store that does not answer says nothing itself.
    func giveUpHanging() {
        guard case .taking(let taking) = phase, BootClock.now() >= taking.deadline else { return }
        if let resolution = taking.resolution {
            guard let index = resolution.waitsFor else { return }
            fail(.storeUnreachable, "\(stores[index].path) or its origin does not answer", volume: stores[index].volume)
        }
        for store in stores where taking.volume(store.volume) == nil {
            let reason = "\(store.path) or its origin does not answer: it is not taken in time"
            guard resources.leavesOut, stores.count > 1 else {
                fail(.storeUnreachable, reason, volume: store.volume)
            }
            store.leaveOut()
            leaveOut(store, reason)
        }
        resolveIfTaken()
    }

    /// Its clients wait, by name; the others are served.
    func leaveOut(_ store: StoreKeeper, _ reason: String) {
        logger.error("\(store.volume) is left out: \(reason)", metadata: [LogField.volume: "\(store.volume)"])
        stores.removeAll { $0 === store }
        leftOut.append(store.volume)
    }
}
