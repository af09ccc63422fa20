import CsnapRuntime

/// What a scenario found; with `--json` its last line (docs/operations.md).
package struct ScenarioResult: Equatable, Sendable {
    package var scenario: String
    package var profile: String
    package var nodes: Int
    /// From the fault to the first completion, on the last surviving client, in the new (epoch, round); nil where
    /// neither changed.
    package var seconds: Double?
    /// The longest any request of a surviving client waited.
    package var pauseMaxSeconds: Double = 0
    package var serversAtOnceMax = 0
    package var ioErrors = 0
    package var bytesVerifiedAfterFault: UInt64 = 0
    package var serverBefore: Int?
    package var serverAfter: Int?
    package var epochBefore: UInt64?
    package var epochAfter: UInt64?
    package var snapshots = SnapshotTally()
    package var timeline: [TimelineEntry] = []
    /// What was expected and did not come true; empty when it passed.
    package var failures: [String] = []

    package init(scenario: String, profile: String, nodes: Int) {
        self.scenario = scenario
        self.profile = profile
        self.nodes = nodes
    }

    package var passed: Bool { failures.isEmpty }

    /// One line, every key present.
    package func json() throws -> String {
        func number(_ value: Int?) -> JSONValue { value.map { .integer(Int64($0)) } ?? .null }
        let fields: [String: JSONValue] = [
            "scenario": .string(scenario), "profile": .string(profile), "nodes": number(nodes),
            "seconds": seconds.map { .number($0) } ?? .null, "pauseMaxSeconds": .number(pauseMaxSeconds),
            "serversAtOnceMax": number(serversAtOnceMax), "ioErrors": number(ioErrors),
            "bytesVerifiedAfterFault": .integer(Int64(clamping: bytesVerifiedAfterFault)),
            "serverBefore": number(serverBefore), "serverAfter": number(serverAfter),
            "epochBefore": number(epochBefore.map { Int(clamping: $0) }),
            "epochAfter": number(epochAfter.map { Int(clamping: $0) }),
            "snapshotsMade": number(snapshots.made), "snapshotsDeleted": number(snapshots.deleted),
            "serversKilled": number(snapshots.serversKilled), "snapshotsVerified": number(snapshots.verified),
            "snapshotsWrong": number(snapshots.wrong),
            "createPauseMedianSeconds": snapshots.medianPause.map { .number($0) } ?? .null,
            "timeline": try JSON.value(timeline), "failures": .array(failures.map { .string($0) }),
        ]
        return try JSON.text(JSONValue.object(fields))
    }

    /// "fail-over 0.553 s · one server at a time · 0 I/O errors · 51,204 blocks verified".
    package var summary: String {
        let service =
            seconds.map { "fail-over \(decimals($0)) s" } ?? "no fail-over, longest wait \(decimals(pauseMaxSeconds)) s"
        let servers = serversAtOnceMax <= 1 ? "one server at a time" : "\(serversAtOnceMax) SERVERS AT ONCE"
        let errors = "\(ioErrors) I/O errors"
        let blocks = "\(bytesVerifiedAfterFault / UInt64(BlockPattern.size)) blocks verified"
        guard let pause = snapshots.medianPause else {
            return [service, servers, errors, blocks].joined(separator: " · ")
        }
        let made = "\(snapshots.made) snapshots, \(snapshots.verified) images right, \(snapshots.wrong) wrong"
        return [service, servers, errors, blocks, made, "pause \(decimals(pause)) s"].joined(separator: " · ")
    }
}
