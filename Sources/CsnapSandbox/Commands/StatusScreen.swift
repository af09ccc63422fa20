package import CsnapRuntime

/// The status as a person reads it.
package enum StatusScreen {
    package static func text(_ status: StatusReport) -> String {
        var parts = [headline(status), members(status)]
        if !status.volumes.isEmpty { parts.append(volumes(status)) }
        if !status.waits.isEmpty { parts.append(why(status.waits)) }
        return parts.joined(separator: "\n\n")
    }

    /// "san1   epoch 7 active   server node 1   lease 1.9 s   fencing L1   4 members, 3 voters, quorum 2".
    static func headline(_ status: StatusReport) -> String {
        var parts = [Terminal.styled(status.cluster, .bold)]
        if status.clusterUUID == nil { parts.append("in no group yet") }
        let phase = status.phase == "none" ? "no server known" : "epoch \(status.epoch) \(status.phase)"
        parts.append(Terminal.styled(phase, status.phase == "active" ? .green : .yellow))
        if let server = status.server { parts.append("server node \(server)") }
        if let lease = status.leaseRemaining { parts.append("lease \(tenths(lease)) s") }
        parts.append("fencing \(status.fencing)")
        let change = status.pendingVoters.map { ", changing to \($0.count)" } ?? ""
        parts.append(
            "\(count(status.members.count, "member")), \(count(status.voters.count, "voter"))\(change), "
                + "quorum \(status.quorum)")
        return parts.joined(separator: "   ")
    }

    private static func count(_ number: Int, _ what: String) -> String {
        "\(number) \(what)\(number == 1 ? "" : "s")"
    }

    package static func members(_ status: StatusReport) -> String {
        var rows = [["", "NODE", "ADDRESS", "STATE", "VOTE", "CLIENTS", ""]]
        for member in status.members.sorted(by: { $0.node < $1.node }) {
            var state = member.state
            if member.state == "unreachable" || member.state == "suspect", let seconds = member.stateSeconds {
                state += " \(tenths(seconds)) s"
            }
            if member.node == status.server, status.phase == "active" { state += " · serving" }
            // Only voters have the table; a learner does not know, and says nothing.
            let admission = status.admissions.first { $0.node == member.node }?.status
            let unknown = status.admissions.isEmpty ? "" : "–"
            rows.append([
                member.node == status.node ? "*" : "", "\(member.node)", member.address, state,
                member.voter ? "voter" : "–", admission ?? unknown,
                member.suspectedBy.isEmpty
                    ? "" : "suspected by " + member.suspectedBy.map(String.init).joined(separator: ", "),
            ])
        }
        return table(rows)
    }

    static func volumes(_ status: StatusReport) -> String {
        table([["  VOLUME", "ORIGIN", "STORE"]] + status.volumes.map { ["  " + $0.name, $0.origin, $0.store] })
    }

    package static func sessions(_ status: StatusReport) -> String {
        let clients = status.clients.map { client in
            [
                "  " + client.volume, "\(client.pid)", client.connected ? "connected" : "not connected",
                client.suspended ? "suspended" : "running", "\(client.writesInFlight)",
            ]
        }
        let admissions = status.admissions.map { ["  \($0.node)", "\($0.boot)", "\($0.epoch)", $0.status] }
        return table([["  VOLUME", "PID", "SERVER", "GATE", "WRITES"]] + clients) + "\n\n"
            + table([["  NODE", "BOOT", "EPOCH", "ADMISSION"]] + admissions)
    }

    /// One paragraph a wait, each with its remedy.
    package static func why(_ waits: [WaitReport]) -> String {
        guard !waits.isEmpty else { return "Nothing waits." }
        return waits.map { wait in
            let name = wait.warning ? "warning: \(wait.kind)" : wait.kind
            return "\(wait.text) (\(duration(wait.seconds)); \(name))\n  remedy: \(wait.remedy)"
        }.joined(separator: "\n")
    }

    /// Columns as wide as their widest cell, two spaces between them.
    package static func table(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell + String(repeating: " ", count: widths[column] - cell.count + 2)
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }

    static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<60: "\(tenths(seconds)) s"
        case ..<3600: "\(Int(seconds / 60)) min"
        default: "\(Int(seconds / 3600)) h"
        }
    }

    private static func tenths(_ seconds: Double) -> String { String(decimals(seconds).dropLast(2)) }
}
