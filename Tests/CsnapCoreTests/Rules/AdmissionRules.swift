import CsnapCore
import Testing

/// Nodes for which the admission table has no room are named, there and at the holder (docs/protocol.md §6).
@Suite struct AdmissionRules {
    private func ask(_ node: inout DrivenAgent, _ other: UInt32) {
        node.hear(.clientLease(ClientLease(nonce: 77, tenure: .none, clients: 1, suspended: true)), from: other)
    }

    private func refusals(_ node: DrivenAgent, to other: UInt32) -> [ClientLeaseAck] {
        node.messages(to: other).compactMap { message in
            if case .clientLeaseAck(let ack) = message, ack.remaining == .zero { ack } else { nil }
        }
    }

    private func wait(_ kind: Wait.Kind, _ node: DrivenAgent) -> Wait? {
        node.status.waits.first { $0.kind == kind }
    }

    @Test("The holder tells a node that it cannot admit, and names it as long as it asks") func holder() throws {
        var node = ServiceRules().founder()
        var other: UInt32 = 1
        repeat {
            other += 1
            node.meet(other)
            ask(&node, other)
        } while refusals(node, to: other).isEmpty && other < 250
        let tenure = try #require(node.starts.last?.tenure)
        #expect(refusals(node, to: other) == [ClientLeaseAck(nonce: 77, tenure: tenure, remaining: .zero)])
        let refusedAt = node.now
        #expect(wait(.admissionsFull, node) == Wait(kind: .admissionsFull, since: refusedAt, nodes: [NodeID(other)]))
        node.pass(.milliseconds(50))
        ask(&node, other)
        #expect(wait(.admissionsFull, node)?.since == refusedAt)
        node.pass(node.timing.promise)
        #expect(wait(.admissionsFull, node) == nil, "it asks no more")
    }

    @Test("A node that is not admitted says so until it is, or hears it no more") func refusedNode() throws {
        var node = DrivenAgent(node: 2, voters: [1, 3, 4])
        node.meet(1)
        let tenure = Tenure(epoch: Epoch(4), round: Round(1))
        let holder = NodeBoot(node: NodeID(1), boot: Boot(1))
        node.renew(4, of: 1)
        node.hear(
            .news([
                .claim(
                    Claim(
                        tenure: tenure, phase: .active, server: holder, serviceAddress: DrivenAgent.address(1),
                        configurationVersion: 2))
            ]), from: 1)
        node.step(.client(ClientID(1), .hello(client: .zero, volume: "data", processID: 7)))
        node.step(.client(ClientID(1), .suspended(.none, writesInFlight: 0)))
        node.pass(.milliseconds(60))
        func refuse(_ node: inout DrivenAgent) throws {
            let asked = try #require(node.leaseRequests(to: 1).last)
            node.hear(
                .clientLeaseAck(ClientLeaseAck(nonce: asked.nonce, tenure: tenure, remaining: .zero)), from: 1)
        }
        #expect(wait(.notAdmitted, node) == nil)
        node.hear(.clientLeaseAck(ClientLeaseAck(nonce: 1, tenure: tenure, remaining: .zero)), from: 1)
        #expect(wait(.notAdmitted, node) == nil, "it asked no such thing")
        try refuse(&node)
        let since = node.now
        #expect(wait(.notAdmitted, node) == Wait(kind: .notAdmitted, since: since, nodes: [NodeID(2)]))
        node.pass(.milliseconds(60))
        try refuse(&node)
        #expect(wait(.notAdmitted, node)?.since == since)
        node.pass(node.timing.promise)
        #expect(wait(.notAdmitted, node) == nil)
        try refuse(&node)
        node.resume(in: tenure, by: 1)
        #expect(wait(.notAdmitted, node) == nil, "admitted")
    }
}
