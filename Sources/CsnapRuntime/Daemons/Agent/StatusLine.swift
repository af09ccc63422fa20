package import CsnapCore

/// The one line of `systemctl status`; always true (docs/operations.md, "systemd").
package enum StatusLine {
    /// "server on node 2, epoch 7, active; 4 of 5 members".
    package static func text(_ agent: Agent, at now: Instant) -> String {
        let status = agent.status(at: now)
        return status.isLeaving ? "stopping; " + text(status) : text(status)
    }

    private static func text(_ status: AgentStatus) -> String {
        let alive = status.members.filter { $0.state == .alive }.count
        let members = "\(alive) of \(status.members.count) members"
        if let claim = status.claim, status.claimIsRunning {
            let phase = "\(claim.phase)"
            return "server on node \(claim.server.node.value), epoch \(claim.tenure.epoch.value), \(phase); \(members)"
        }
        if let wait = status.waits.first { return "no server: \(wait.kind); \(members)" }
        return status.cluster == .zero ? "in no group yet" : "no server; \(members)"
    }
}
