import CsnapCore

/// What is written to branches: no grant, no barrier and no hold concerns it, since it changes no snapshot.
extension SessionTable {
    /// The store carries out one order after the other: a write that is sent again on a new session is done after its
    /// first copy, and whoever opens the branch after a STRIKE sees all that the struck one wrote.
    mutating func writeBranch(
        _ request: UInt64, _ data: BranchData, _ session: Session, _ id: ConnectionID
    ) -> [SessionAction] {
        let chunkSize = UInt64(volumes[session.volume].about.chunkSize)
        guard UInt64(data.length) <= chunkSize - data.offset % chunkSize else {
            return [failure(request, .outOfRange, id)]
        }
        guard branchWrites(of: id, session) < limits.branchWrites else { return end(id, .tooManyQueries) }
        guard isActive || SessionMutants.active(.branchWrittenBeforeActivation) else {
            return keep(.writeBranch(request: request, epoch: tenure.epoch, data), session, id)
        }
        let answer = CommandAnswer(connection: id, request: request)
        let actions = [order(.writeBranch(data), session.volume, for: .branch(answer))]
        guard SessionMutants.active(.branchWriteAnsweredAtOnce) else { return actions }
        return actions + [.send(.written(request: request, epoch: tenure.epoch), to: id)]
    }

    private func branchWrites(of id: ConnectionID, _ session: Session) -> Int {
        let early = session.early.reduce(0) { sum, frame in
            if case .writeBranch = frame { sum + 1 } else { sum }
        }
        return orders.values.reduce(early) { sum, order in
            if case .branch(let answer) = order, answer.connection == id { sum + 1 } else { sum }
        }
    }

    /// Without room the client keeps what it wants to write, and asks again.
    mutating func wroteBranch(_ result: StoreResult, _ volume: Int, _ answer: CommandAnswer) -> [SessionAction] {
        let id = answer.connection
        guard case .session(let session) = connections[id] else { return [] }
        switch result {
        case .written:
            invariant(.noStaleService, isActive && isAdmitted(session.owner.process), "a write outside of service")
            volumes[volume].fullBranches[id] = nil
            return [.send(.written(request: answer.request, epoch: tenure.epoch), to: id)]
        case .full:
            let known = fullBranches(volume).first { $0.0 == id }?.1
            volumes[volume].fullBranches[id] = FullBranch(since: known?.since ?? now, last: now)
            return [failure(answer.request, .storeFull, id)]
        case .failed(let error): return [failure(answer.request, error, id)]
        default: return unexpected()
        }
    }

    /// Those that ask still.
    func fullBranches(_ volume: Int) -> [(ConnectionID, FullBranch)] {
        volumes[volume].fullBranches.filter { now - $0.1.last <= FullBranch.patience }
    }
}
