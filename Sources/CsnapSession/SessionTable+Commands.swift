package import CsnapCore

/// Commands of people, and what the stores answer.
extension SessionTable {
    mutating func perform(_ command: SnapshotCommand, _ answer: CommandAnswer) -> [SessionAction] {
        guard isActive else { return refusal(.notActive, "", answer) }
        if case .createSeveral(let names, let name, let uuid, let priority) = command {
            return createSeveral(names, name: name, uuid: uuid, priority: priority, answer)
        }
        guard let volume = index(command.volume) else { return refusal(of: command.volume, answer) }
        let order: StoreOrder
        switch command {
        case .create(_, let name, let uuid, let priority), .createSeveral(_, let name, let uuid, let priority):
            return create([volume], isSeveral: false, name: name, uuid: uuid, priority: priority, answer)
        case .resize: return resize(volume, answer)
        case .check(_, let uuid): order = .check(uuid)
        case .beginRevert(_, let name, let uuid):
            guard case .commander(let process, _) = connections[answer.connection] else { return [] }
            let begin = StoreOrder.beginRevert(name: name, uuid: uuid, node: process.node)
            return beginRevert(volume, begin, by: process.node, answer)
        case .beginReceive(_, let uuid):
            guard case .commander(let process, _) = connections[answer.connection] else { return [] }
            return beginRevert(volume, .beginReceive(uuid: uuid, node: process.node), by: process.node, answer)
        case .finishReceive(_, let name, let uuid):
            guard let revert = volumes[volume].about.revert, revert.uuid == uuid, revert.number == 0 else {
                return refusal(.notReverting, command.volume, answer)
            }
            return create([volume], isSeveral: false, name: name, uuid: uuid, priority: 0, answer)
        case .endRevert(_, let uuid): return endRevert(volume, uuid, answer)
        case .moveRevert(_, let uuid, let cursor):
            let move = StoreOrder.moveRevert(uuid: uuid, cursor: cursor)
            return [self.order(move, volume, for: .revert(answer, volume: volume, isBegin: false))]
        case .show(_, let name): order = .show(name: name)
        case .delete(_, let name, let uuid):
            // Until all volumes have theirs, the one that decides must show it.
            if let id = volumes[volume].barrier, barriers[id]?.name == name { return refusal(.busy, name, answer) }
            let untold = untold(volume)
            guard untold.isEmpty else {
                let words = Self.words(untold) + (untold.count == 1 ? " has" : " have")
                return refusal(.inUse, "\(name): \(words) not said yet what is open there", answer)
            }
            order = .delete(name: name, uuid: uuid, inUse: uses(volume))
        case .branch(_, let from, let name, let uuid):
            guard SnapshotName.isValid(name) else { return refusal(.badName, name, answer) }
            order = .branch(from: from, name: name, uuid: uuid)
        case .rename(_, let from, let to, let uuid):
            guard SnapshotName.isValid(to) else { return refusal(.badName, to, answer) }
            order = .rename(from: from, to: to, uuid: uuid)
        case .list(_, let after): order = .list(after: after)
        case .examine: order = .examine
        case .changes(_, let query): order = .changes(query)
        }
        return [self.order(order, volume, for: .command(answer))]
    }

    func index(_ volume: String) -> Int? { volumes.firstIndex { $0.about.name == volume } }

    /// Of a volume that is not served.
    func refusal(of volume: String, _ answer: CommandAnswer) -> [SessionAction] {
        refusal(leftOut.contains(volume) ? .leftOut : .unknownVolume, volume, answer)
    }

    private mutating func createSeveral(
        _ names: [String], name: String, uuid: Bits128, priority: Int32, _ answer: CommandAnswer
    ) -> [SessionAction] {
        var chosen: [Int] = []
        for volume in names {
            guard let index = index(volume) else { return refusal(of: volume, answer) }
            if !chosen.contains(index) { chosen.append(index) }
        }
        return create(chosen, isSeveral: true, name: name, uuid: uuid, priority: priority, answer)
    }

    /// A store has carried out the order of that ticket.
    package mutating func completed(
        _ ticket: UInt64, volume: Int, _ result: StoreResult, at now: Instant
    ) -> [SessionAction] {
        guard let order = orders[ticket] else { return [] }
        orders[ticket] = nil
        self.now = now
        switch order {
        case .write(let write, _):
            switch result {
            case .copied: return copied(write, volume, ticket)
            case .full where SessionMutants.active(.fullStoreGranted): return copied(write, volume, ticket)
            case .full:
                if volumes[volume].full.isEmpty { volumes[volume].fullUntil = now + limits.fullRetry }
                volumes[volume].full[ticket] = write
                return []
            case .failed where SessionMutants.active(.failedCopyGranted): return copied(write, volume, ticket)
            case .failed(let error):
                return answered(write) == nil ? [] : [failure(write.request, error, write.connection)]
            default: return unexpected()
            }
        case .read(let read, _):
            switch result {
            case .mapped(let pieces): return mapped(read, volume, ticket, pieces) + reuse(volume)
            case .failed(let error): return [failure(read.request, error, read.connection)] + reuse(volume)
            default: return unexpected()
            }
        case .data(let answer):
            guard connections[answer.connection] != nil else { return [] }
            switch result {
            case .data(let bytes):
                let frame = ServerFrame.data(request: answer.request, epoch: tenure.epoch, bytes: bytes)
                return [.send(frame, to: answer.connection)]
            case .failed(let error): return [failure(answer.request, error, answer.connection)]
            default: return unexpected()
            }
        case .branch(let answer): return wroteBranch(result, volume, answer)
        case .writer(let writer, _): return written(writer, volume, result)
        case .server(let kernel, _):
            switch result {
            case .done: volumes[volume].servers.cleared(kernel)
            case .failed: volumes[volume].servers.notChanged(kernel, at: now)
            default: return unexpected()
            }
            return []
        case .revert(let answer, let volume, let isBegin):
            return reverted(result, volume, isBegin: isBegin, answer)
        case .barrier(let id, let volume): return answered(id, volume, result)
        case .gone(let writer, let answer, _):
            let actions = written(writer, volume, result)
            let outcome =
                result == .writerCleared ? outcome(ofGone: writer, volume) : .refused(.storeFailed, culprit: "")
            return actions + self.answer(answer, outcome)
        case .list(let answer):
            guard case .outcome(.snapshots(let entries, let hasMore)) = result else { return unexpected() }
            let frame = ServerFrame.snapshots(
                request: answer.request, epoch: tenure.epoch, entries: entries, hasMore: hasMore)
            return [.send(frame, to: answer.connection)]
        case .changes(let answer): return changes(answer, result)
        case .command(let answer):
            if case .changed(let entry) = result {
                return changed(entry.number, volume) + self.answer(answer, .snapshot(entry))
            }
            guard case .outcome(let outcome) = result else { return unexpected() }
            return self.answer(answer, completed(outcome, volume))
        case .reuse: return []
        }
    }

    private func changes(_ answer: CommandAnswer, _ result: StoreResult) -> [SessionAction] {
        switch result {
        case .outcome(.changes(let changes)):
            let frame = ServerFrame.changes(request: answer.request, epoch: tenure.epoch, changes)
            return [.send(frame, to: answer.connection)]
        case .outcome(.refused(let reason, _)):
            let error: SessionQueryError = reason == .unknownSnapshot ? .unknownSnapshot : .storeDamaged
            return [failure(answer.request, error, answer.connection)]
        default: return unexpected()
        }
    }

    private mutating func written(
        _ writer: SessionWriter, _ volume: Int, _ result: StoreResult
    ) -> [SessionAction] {
        switch result {
        case .writerRecorded: volumes[volume].writers.recorded(writer)
        case .writerCleared:
            volumes[volume].writers.cleared(writer)
            volumes[volume].lost[writer] = nil
        case .failed: return refuseWaiting(writer, volume)
        default: return unexpected()
        }
        return welcomeWaiting(volume)
    }

    /// The store gave a snapshot up for room.
    package func dropped(_ number: UInt64, volume: Int) -> [SessionAction] { changed(number, volume) }

    /// Clients offer the snapshots as exports: they ask what there is from this number on.
    func changed(_ number: UInt64, _ volume: Int) -> [SessionAction] {
        sessions(on: [volume]).map { .send(.snapshotsChanged(epoch: tenure.epoch, from: number), to: $0.0) }
    }

    /// Only our own code could answer an order with something else.
    func unexpected() -> [SessionAction] {
        fatalError("a store answered what it was not asked")
    }

    /// The store knows what lies in it; who is connected and who reads, the table does.
    private func completed(_ outcome: CommandOutcome, _ volume: Int) -> CommandOutcome {
        guard case .volume(var report) = outcome else { return outcome }
        report.sessions = UInt32(sessions(on: [volume]).count)
        let branches = fullBranches(volume)
        report.waitingWrites = UInt32(volumes[volume].heldUp.count + volumes[volume].full.count + branches.count)
        report.heldUp = age(volumes[volume].heldUp.values.map { $0.since })
        report.full = age(volumes[volume].full.values.map { $0.since } + branches.map { $0.1.since })
        report.holds = volumes[volume].holds.report
        report.lostWriters = lostWriters(volume)
        report.strangers = volumes[volume].strangers
        if !report.strangers.isEmpty { report.strangersAge = volumes[volume].strangersSince.map { now - $0 } }
        report.revert = volumes[volume].about.revert
        if report.revert != nil { report.revertAge = now - (volumes[volume].revertSince ?? activeSince ?? now) }
        if let id = volumes[volume].barrier, let barrier = barriers[id] {
            report.barrier = BarrierReport(
                name: barrier.name, age: now - barrier.begun, missing: barrier.missing.values,
                volumes: barrier.isSeveral ? missingVolumes(barrier) : [])
        }
        return .volume(report)
    }

    /// Of the oldest.
    private func age(_ since: [Instant]) -> Interval? { since.min().map { now - $0 } }

    func answer(_ answer: CommandAnswer, _ outcome: CommandOutcome) -> [SessionAction] {
        guard connections[answer.connection] != nil else { return [] }
        return [
            .send(.outcome(request: answer.request, epoch: tenure.epoch, outcome), to: answer.connection)
        ]
    }

    func refusal(_ reason: CommandRefusal, _ culprit: String, _ answer: CommandAnswer) -> [SessionAction] {
        self.answer(answer, .refused(reason, culprit: culprit))
    }
}
