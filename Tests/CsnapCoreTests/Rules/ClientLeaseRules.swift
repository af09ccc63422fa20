import CsnapCore
import Testing

/// The lease of a node's clients: when it is asked for, answered and believed (§6).
extension ServiceRules {
    @Test("A lease request that may wait is answered with the next Renew; not if its node is struck meanwhile")
    func leaseRequestWaits() {
        var node = founder()
        node.meet(2)
        let tenure = Tenure(epoch: Epoch(1), round: Round(1))
        node.hear(.clientLease(ClientLease(nonce: 1, tenure: .none, clients: 1, suspended: true)), from: 2)
        func request(_ nonce: UInt64) -> Message {
            .clientLease(ClientLease(nonce: nonce, tenure: tenure, clients: 1, suspended: false, mayWait: true))
        }
        func answers(_ node: DrivenAgent) -> [(renewed: Bool, ack: ClientLeaseAck)] {
            node.sent.compactMap { item in
                guard case .clientLeaseAck(let ack) = item.message else { return nil }
                return (node.sent.contains { $0.at == item.at && $0.message.kind == .renew }, ack)
            }
        }
        node.forgetSent()
        let arrived = node.now
        node.hear(request(2), from: 2)
        #expect(answers(node).isEmpty)
        node.pass(node.timing.renew)
        #expect(answers(node).map(\.ack.nonce) == [2])
        #expect(answers(node).allSatisfy { $0.renewed }, "in one datagram with the Renew")
        // Counted from its coming, for the node counts from its sending; a lone voter's lease begins now at all times.
        #expect(answers(node).allSatisfy { arrived + $0.ack.remaining <= node.now + node.timing.hard })
        #expect(answers(node).allSatisfy { $0.ack.remaining > node.timing.hard })

        node.forgetSent()
        node.hear(request(3), from: 2)
        node.step(.command(id: Bits128(high: 0, low: 11), .strike(NodeID(2), fenced: false)))
        node.pass(node.timing.renew * 3)
        #expect(answers(node).isEmpty)
    }

    @Test("A node asks with its answer to a Renew, and waits only while half of its lease is left")
    func leaseRequestRides() {
        var node = DrivenAgent(node: 2, voters: [1, 2, 3])
        node.meet(1)
        node.renew(4, of: 1)
        let tenure = Tenure(epoch: Epoch(4), round: Round(1))
        node.resume(in: tenure, by: 1)
        node.pass(.milliseconds(1))
        #expect(node.leaseRequests(to: 1).last?.mayWait == false, "without a lease nothing may wait")
        node.hear(
            .clientLeaseAck(
                ClientLeaseAck(
                    nonce: node.leaseRequests(to: 1).last?.nonce ?? 0, tenure: tenure, remaining: node.timing.hard)),
            from: 1)
        node.pass(node.timing.renew - .milliseconds(2))
        node.forgetSent()
        node.renew(4, of: 1)
        #expect(node.leaseRequests(to: 1).map(\.mayWait) == [true])
        let asked = node.sent.first { $0.message.kind == .clientLease }?.at
        #expect(node.sent.contains { $0.message.kind == .renewAck && $0.at == asked }, "in one datagram")
        // No answer with the next Renew, which does not come: it asks by itself, and urgently.
        node.pass(node.timing.renew * 2)
        #expect(node.leaseRequests(to: 1).count > 1)
        #expect(node.leaseRequests(to: 1).dropFirst().allSatisfy { !$0.mayWait })
        node.pass(node.timing.hard / 2 - node.timing.renew * 2)
        node.forgetSent()
        node.sleep(node.timing.renew)
        node.renew(4, of: 1)
        #expect(node.leaseRequests(to: 1).first?.mayWait == false)
    }

    @Test("A node that asked by itself just before a Renew, and was answered, goes over to the beat of renewals")
    func leaseRequestFindsTheBeat() throws {
        var node = DrivenAgent(node: 2, voters: [1, 2, 3])
        node.meet(1)
        node.renew(4, of: 1)
        let tenure = Tenure(epoch: Epoch(4), round: Round(1))
        node.resume(in: tenure, by: 1)
        node.pass(node.timing.renew)
        let alone = try #require(node.leaseRequests(to: 1).last)
        #expect(!alone.mayWait)
        node.forgetSent()
        node.renew(4, of: 1)
        #expect(node.leaseRequests(to: 1).isEmpty, "its answer is on the way")
        node.hear(
            .clientLeaseAck(ClientLeaseAck(nonce: alone.nonce, tenure: tenure, remaining: node.timing.hard)), from: 1)
        node.renew(4, of: 1)
        #expect(node.leaseRequests(to: 1).map(\.mayWait) == [true])
        node.pass(node.timing.renew)
        #expect(node.leaseRequests(to: 1).count == 1, "the next Renew comes before it would ask by itself")
    }

    @Test("Answers that come when their lease is over already resume nobody") func lateAnswersResumeNobody() {
        var node = DrivenAgent(node: 2, voters: [1, 2, 3])
        node.meet(1)
        node.renew(4, of: 1)
        node.step(.client(ClientID(1), .hello(client: .zero, volume: "data", processID: 7)))
        let tenure = Tenure(epoch: Epoch(4), round: Round(1))
        node.resume(in: tenure, by: 1)
        func answerAll(_ remaining: Interval) {
            let asked = node.leaseRequests(to: 1)
            node.forgetSent()
            for ask in asked {
                node.hear(
                    .clientLeaseAck(ClientLeaseAck(nonce: ask.nonce, tenure: tenure, remaining: remaining)), from: 1)
                node.pass(.milliseconds(1))
            }
        }
        node.pass(.milliseconds(1))
        answerAll(node.timing.hard)
        node.pass(node.timing.hard)
        node.forgetSent()
        node.pass(node.timing.retry * 5)
        answerAll(.milliseconds(1))
        #expect(node.reports.filter { $0 == .clientsSuspended(tenure) }.count == 1)
        #expect(node.reports.filter { $0 == .clientsResumed(tenure) }.count == 1)
        node.pass(node.timing.renew * 2)
        answerAll(node.timing.hard)
        #expect(node.reports.filter { $0 == .clientsResumed(tenure) }.count == 2)
    }
}
