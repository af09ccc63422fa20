import CsnapCore

/// Readable lines for `csnap-sim trace`. Nothing here runs unless a trace is recorded.
extension World {
    func traceEvent(_ node: Int, _ event: Event) {
        switch event {
        case .packet(let sender, let messages):
            for message in messages where isTold(message) {
                trace.line(now, "node \(node + 1) <- node \(sender.process.node.value): \(compact("\(message)"))")
            }
        case .wake: break
        case .persisted(let token): trace.line(now, "node \(node + 1): state write \(token) is durable")
        case .persistFailed, .server, .serverGone, .client, .clientGone, .command, .peers:
            trace.line(now, "node \(node + 1): event \(compact("\(event)"))")
        }
    }

    func traceAction(_ node: Int, _ action: Action) {
        switch action {
        case .send(let address, let messages):
            for message in messages where isTold(message) {
                trace.line(now, "node \(node + 1) -> node \(Self.index(of: address) + 1): \(compact("\(message)"))")
            }
        case .persist(let state, let token):
            let promise = state.promise.map {
                "\($0.epoch.value) to \(text($0.holder))\($0.released ? " released" : "")"
            }
            let table = state.admissions.entries.map {
                "\($0.process.node.value).\($0.process.boot.value)@\($0.epoch.value)\($0.status.isAdmitted ? "" : "x")"
            }
            trace.line(
                now,
                "node \(node + 1): writes state \(token): promise \(promise ?? "none"), highest "
                    + "\(state.highestEpoch.value), voters \(text(state.committed))"
                    + (state.pending.map { ", pending \(text($0.set)) of epoch \($0.epoch.value)" } ?? "")
                    + ", table \(table.joined(separator: " "))\(state.mayVote ? "" : ", no vote")")
        case .report(let report):
            trace.line(now, "node \(node + 1): ** \(reportText(report))")
            drawing.mark(node, now, reportText(report))
        case .toServer(.activate(let tenure)):
            drawing.begins(node, tenure.epoch, at: now)
            trace.line(now, "node \(node + 1): action \(compact("\(action)"))")
        case .toServer, .killServer, .toClient, .reply, .pin, .exit:
            trace.line(now, "node \(node + 1): action \(compact("\(action)"))")
        }
    }

    func traceServer(_ node: Int, _ input: ServerInput) {
        switch input {
        case .query: break
        case .agent, .loaded, .deadline, .claimed, .taken, .hello, .clientClosed:
            trace.line(now, "node \(node + 1) server: \(compact("\(input)"))")
        }
    }

    func traceClient(_ client: SimClient, _ message: AgentToClient) {
        if case .lease = message { return }
        trace.line(now, "node \(client.node + 1) client: \(compact("\(message)"))")
    }

    func draw(_ packet: Packet, to node: Int) {
        let names = packet.messages.filter(isTold).map { "\($0.kind)" }
        guard !names.isEmpty else { return }
        drawing.add(
            .init(
                from: packet.from, to: node, sent: packet.sentAt, arrived: now, names: names.joined(separator: " ")))
    }

    private func isTold(_ message: Message) -> Bool {
        switch message {
        case .ping, .ack, .pingRequest, .news, .syncDigest, .syncPage: false
        default: true
        }
    }

    private func text(_ set: VoterSet?) -> String {
        guard let set else { return "unknown" }
        return "v\(set.version)" + set.voters.map { " \($0.value)" }.joined()
    }

    private func text(_ process: NodeBoot) -> String { "\(process.node.value).\(process.boot.value)" }
}

/// Takes the names of wrappers out of a reflected description.
func compact(_ text: String) -> String {
    var result = ""
    var rest = Substring(text)
    while !rest.isEmpty {
        if rest.hasPrefix("CsnapCore.") {
            rest = rest.dropFirst("CsnapCore.".count)
        } else if rest.hasPrefix("CsnapSimulation.") {
            rest = rest.dropFirst("CsnapSimulation.".count)
        } else if let (value, after) = wrapped(rest, "(value: ") {
            result += "(\(value))"
            rest = after
        } else if let (value, after) = wrapped(rest, "(nanoseconds: "), let number = Int64(value) {
            result += "(\(number / 1000) µs)"
            rest = after
        } else if let character = rest.first {
            result.append(character)
            rest = rest.dropFirst()
        }
    }
    return result
}

private func wrapped(_ text: Substring, _ prefix: String) -> (Substring, Substring)? {
    guard text.hasPrefix(prefix) else { return nil }
    let body = text.dropFirst(prefix.count)
    guard let end = body.firstIndex(of: ")") else { return nil }
    return (body[..<end], body[body.index(after: end)...])
}
