import CsnapCore

/// One line for a report, as scenarios print it.
func reportText(_ report: Report) -> String {
    switch report {
    case .founded: "founds the group"
    case .joinedGroup: "joined the group"
    case .memberJoined(let process, _): "member \(name(process)) joined"
    case .memberSuspected(let process, let by): "member \(name(process)) suspected by node \(by.value)"
    case .memberAlive(let process): "member \(name(process)) alive"
    case .memberUnreachable(let process): "member \(name(process)) unreachable"
    case .memberLeft(let process): "member \(name(process)) left"
    case .foreignGroup(_, let from): "foreign group heard from node \(from.value)"
    case .idConflict(let node, _): "id conflict of node \(node.value)"
    case .votersChanging(let set): "voters changing to \(names(set.voters)) (version \(set.version))"
    case .votersChanged(let set): "voters \(names(set.voters)) (version \(set.version))"
    case .voteLost: "has no vote any more"
    case .voteRestored: "votes again"
    case .claiming(let epoch, let reason): "claims epoch \(epoch.value) (\(reason))"
    case .claimFailed(let epoch): "claim of epoch \(epoch.value) failed"
    case .elected(let epoch, let by): "elected for epoch \(epoch.value) by \(names(by))"
    case .promised(let promise):
        "promised epoch \(promise.epoch.value) to \(name(promise.holder))\(promise.released ? " (released)" : "")"
    case .leaseSoft(let epoch): "lease of epoch \(epoch.value) is past soft"
    case .leaseRegained(let epoch): "lease of epoch \(epoch.value) regained"
    case .leaseLost(let epoch): "lease of epoch \(epoch.value) lost"
    case .released(let epoch): "released epoch \(epoch.value)"
    case .recovering(let tenure, let server): "recovering \(text(tenure)), server \(name(server))"
    case .serverActive(let tenure, let server): "server active \(text(tenure)) on \(name(server))"
    case .serverDown(let epoch): "server down, epoch \(epoch.value)"
    case .serverFailed(let failure, _): "server failed: \(failure)"
    case .storeSpace(let volume, let percent, let isHolding):
        "store of \(volume) \(percent) % full\(isHolding ? ", writes wait" : "")"
    case .snapshotDropped(let volume, let name): "snapshot \(name) of \(volume) dropped"
    case .waitingFor(let tenure, let processes):
        "recovery \(text(tenure)) waits for \(processes.map(name).joined(separator: ", "))"
    case .nodeReady(let tenure, let process, let writes):
        "\(name(process)) ready in \(text(tenure)), \(writes) writes in flight"
    case .serverStarted(let tenure, _): "server started \(text(tenure))"
    case .nodeReconnected(let tenure, let process): "\(name(process)) reconnected in \(text(tenure))"
    case .admitted(let tenure, let process): "\(name(process)) admitted in \(text(tenure))"
    case .admissionRefused(let process): "\(name(process)) not admitted, the table is full"
    case .evicted(let tenure, let process, let cause): "\(name(process)) evicted in \(text(tenure)) (\(cause))"
    case .clientsSuspended(let tenure): "clients suspended in \(text(tenure))"
    case .clientsResumed(let tenure): "clients resumed in \(text(tenure))"
    case .clientAttached(_, let volume): "client of \(volume) attached"
    case .clientGone: "client gone"
    case .diskHangs(let volume, let requests): "the disk of \(volume) hangs, \(requests) requests"
    case .diskAnswers(let volume): "the disk of \(volume) answers"
    case .stateWriteFailed: "state write failed"
    }
}

private func name(_ process: NodeBoot) -> String { "node \(process.node.value) boot \(process.boot.value)" }
private func names(_ nodes: [NodeID]) -> String { nodes.map { "\($0.value)" }.joined(separator: " ") }
