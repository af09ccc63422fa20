/// A Release or Transfer that is repeated until a higher epoch is seen, or one promise has passed (§5.4, §5.8).
struct ReleaseAnnouncement: Equatable, Sendable {
    var epoch: Epoch
    var holder: NodeBoot
    var successor: NodeID?
    var until: Instant
    var nextSend: Instant
}

extension Agent {
    /// Ends our own promise of `epoch`: on disk first, then told to the voters.
    mutating func markReleased(_ epoch: Epoch) {
        guard let promise = stored.promise, promise.epoch == epoch, promise.holder.node == own.node else { return }
        invariant(.cleanStop, !isHolder, "a release follows the end of the server's process group")
        stored.promise?.released = true
        voter.releasedAt = now
        voter.promiseEnds = now
        persist(then: [.announceRelease(epoch)])
    }

    mutating func announceRelease(of epoch: Epoch) {
        guard let promise = stored.promise, promise.epoch == epoch, promise.released else { return }
        releasing = ReleaseAnnouncement(
            epoch: epoch, holder: promise.holder, successor: departure?.successor ?? server.successor,
            until: now + timing.promise, nextSend: now)
        server.successor = nil
        tickRelease()
    }

    mutating func tickRelease() {
        guard var announcement = releasing else { return }
        if stored.highestEpoch > announcement.epoch || now >= announcement.until {
            releasing = nil
            return
        }
        guard now >= announcement.nextSend else { return }
        announcement.nextSend = now + timing.retry
        releasing = announcement
        let message: Message
        if let successor = announcement.successor {
            message = .transfer(
                Transfer(epoch: announcement.epoch, holder: announcement.holder, successor: successor))
            if !voters.contains(successor) { send(message, to: successor) }
            voter.successor = Voter.Hold(node: successor, until: now + timing.rankStep * 10)
        } else {
            message = .release(Release(epoch: announcement.epoch, holder: announcement.holder))
        }
        for voter in voters where voter != own.node { send(message, to: voter) }
    }

    /// §5.8: the boot before this one held the promise, and its server is proven dead: nothing can serve under it.
    mutating func releaseOwnPromiseOfDeadBoot() {
        guard settings.previousServerProvenDead || Mutants.active(.cloneReleasesPromise),
            let promise = stored.promise, promise.holder.node == own.node, !promise.released
        else { return }
        markReleased(promise.epoch)
    }
}
