/// What the event stream has told of the server; so each thing is told once and in order (invariant 20).
struct ServerNews: Equatable, Sendable {
    var recovering = Tenure.none
    var recoveringSince = Instant.distantPast
    /// The server that was told to be active and has not been told to be down.
    var active: Tenure?
    /// The last tenure told to be active.
    var lastTold: Tenure?
    var activeEpochs = ActiveEpochs()
}

extension Agent {
    /// That epoch was active. Which volumes it served outlives this process.
    mutating func noteActive(_ epoch: Epoch, volumes: [VolumeDigest]?) {
        told.activeEpochs.note(epoch, volumes: volumes)
        guard volumes != nil else { return }
        let known = told.activeEpochs.volumes
        guard known != stored.volumeEpochs else { return }
        stored.volumeEpochs = known
        persist()
    }

    mutating func tell(of claim: Claim) {
        switch claim.phase {
        case .recovering: tellRecovering(claim.tenure, server: claim.server)
        case .active: tellActive(claim.tenure, server: claim.server)
        case .releasing, .released: tellDown(upTo: claim.tenure.epoch)
        }
    }

    mutating func tellRecovering(_ tenure: Tenure, server: NodeBoot) {
        guard tenure > told.recovering, tenure > (told.active ?? .none) else { return }
        tellDown(upTo: tenure.epoch)
        told.recovering = tenure
        told.recoveringSince = now
        report(.recovering(tenure, server: server))
    }

    mutating func tellActive(_ tenure: Tenure, server: NodeBoot) {
        guard tenure >= told.recovering, tenure > (told.lastTold ?? .none) else { return }
        tellDown(upTo: tenure.epoch)
        told.recovering = tenure
        told.active = tenure
        told.lastTold = tenure
        report(.serverActive(tenure, server: server))
    }

    private mutating func tellDown(upTo epoch: Epoch) {
        guard let active = told.active, active.epoch <= epoch else { return }
        told.active = nil
        report(.serverDown(active.epoch))
    }
}
