/// That a node is not admitted, because the table has as many ids as a datagram holds (§6).
struct AdmissionRefusal: Equatable, Sendable {
    var since: Instant
    /// It is over when it was not repeated for a promise: the node asks each renew period.
    var repeatedAt: Instant

    /// Of those refused the holder remembers so many, for `why`.
    static let remembered = 64
}

extension Agent {
    private func isCurrent(_ refusal: AdmissionRefusal) -> Bool { now - refusal.repeatedAt < timing.promise }

    // MARK: At the holder

    /// The answer is an acknowledgement of nothing, in a tenure that the node is not in: whoever knows of no refusals
    /// drops it.
    mutating func refuseAdmission(of process: NodeBoot, asked request: ClientLease) {
        guard let current = holder else { return }
        tellOnce(of: process.node, .admissionRefused(process))
        let known = current.refused[process.node].flatMap { isCurrent($0) ? $0.since : nil }
        if current.refused.count >= AdmissionRefusal.remembered, current.refused[process.node] == nil {
            for (node, refusal) in current.refused where !isCurrent(refusal) { holder?.refused[node] = nil }
        }
        if current.refused[process.node] != nil || holder?.refused.count ?? 0 < AdmissionRefusal.remembered {
            holder?.refused[process.node] = AdmissionRefusal(since: known ?? now, repeatedAt: now)
        }
        send(
            .clientLeaseAck(ClientLeaseAck(nonce: request.nonce, tenure: current.tenure, remaining: .zero)),
            to: process.node)
    }

    /// Whose clients stay suspended, and since when.
    var refusedNodes: (nodes: [NodeID], since: Instant)? {
        let current = holder?.refused.filter { isCurrent($0.1) } ?? []
        guard let since = current.map({ $0.1.since }).min() else { return nil }
        return (current.map { $0.0 }, since)
    }

    // MARK: At the node

    mutating func noteRefusal(_ ack: ClientLeaseAck, from holder: NodeBoot) {
        guard !node.resumed, node.requests.contains(where: { $0.nonce == ack.nonce }) else { return }
        let known = node.refusal.flatMap { isCurrent($0) ? $0.since : nil }
        node.refusal = AdmissionRefusal(since: known ?? now, repeatedAt: now)
    }

    var refusedSince: Instant? { node.refusal.flatMap { isCurrent($0) ? $0.since : nil } }
}
