package import CsnapCore

extension StatusReport {
    /// The core's status, for people; the shell adds the pids and the volumes.
    package init(_ status: AgentStatus, cluster: String, at now: Instant) {
        self.init(cluster: cluster, node: status.process.node.value, boot: status.process.boot.value)
        clusterUUID = status.cluster == .zero ? nil : status.cluster.uuidText
        role = status.role.text
        mayVote = status.mayVote
        enabled = status.enabled
        leaseRemaining = status.leaseRemaining?.seconds
        if let claim = status.claim {
            epoch = claim.tenure.epoch.value
            round = claim.tenure.round.value
            if status.claimIsRunning {
                phase = claim.phase.text
                server = claim.server.node.value
                serverBoot = claim.server.boot.value
                serviceAddress = claim.serviceAddress.text
            }
        }
        adoptedEpoch = status.adopted.epoch.value
        adoptedRound = status.adopted.round.value
        clientsResumed = status.clientsResumed
        configurationVersion = status.committed?.version ?? 0
        voters = status.committed?.voters.map(\.value) ?? []
        pendingVoters = status.pending?.voters.map(\.value)
        quorum = status.committed?.quorum ?? 0
        members = status.members.map { MemberStatus($0, at: now) }
        admissions = status.admissions.map {
            AdmissionReport(
                node: $0.process.node.value, boot: $0.process.boot.value, epoch: $0.epoch.value,
                status: $0.status.text)
        }
        clients = status.clients.map {
            ClientStatus(
                volume: $0.volume, pid: Int32(truncatingIfNeeded: $0.processID), suspended: $0.suspended,
                connected: $0.connected, writesInFlight: Int($0.writesInFlight),
                hangingRequests: Int($0.hangingRequests),
                hangingSeconds: $0.hangingRequests > 0 ? max((now - $0.hangingSince).seconds, 0) : nil)
        }
        waits = status.waits.map { WaitReport($0, of: status, at: now) }
        promise = status.promise.map {
            PromiseReport(
                epoch: $0.epoch.value, node: $0.holder.node.value, boot: $0.holder.boot.value, released: $0.released,
                remaining: max(status.promiseRemaining.seconds, 0))
        }
    }
}

extension MemberStatus {
    init(_ member: AgentStatus.Member, at now: Instant) {
        self.init(
            node: member.record.process.node.value, boot: member.record.process.boot.value,
            address: member.record.address.text, state: member.state.text, voter: member.isVoter,
            eligible: member.record.eligible, localHealth: Int(member.record.localHealth),
            stateSeconds: member.stateSince.map { (now - $0).seconds }, suspectedBy: member.accusers.map(\.value))
    }
}

extension Interval {
    package var seconds: Double { Double(nanoseconds) / 1e9 }
}

extension AgentStatus.Role {
    var text: String {
        switch self {
        case .learner: "learner"
        case .voter: "voter"
        case .candidate: "candidate"
        case .holder: "holder"
        }
    }
}

extension ClaimPhase {
    var text: String {
        switch self {
        case .recovering: "recovering"
        case .active: "active"
        case .releasing: "releasing"
        case .released: "released"
        }
    }
}

extension MemberState {
    var text: String {
        switch self {
        case .alive: "alive"
        case .suspect: "suspect"
        case .unreachable: "unreachable"
        case .left: "left"
        }
    }
}

extension AdmissionStatus {
    var text: String {
        switch self {
        case .admitted: "admitted"
        case .evicted(let cause): cause.text
        }
    }
}

extension Bits128 {
    /// 8-4-4-4-12 hexadecimal digits.
    package var uuidText: String {
        let digits = [high, low].map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        var parts: [Substring] = []
        var rest = Substring(digits)
        for length in [8, 4, 4, 4, 12] {
            parts.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        return parts.joined(separator: "-")
    }
}
