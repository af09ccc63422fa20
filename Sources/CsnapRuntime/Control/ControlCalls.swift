import CsnapCore
package import CsnapSession

/// What one call asks for; parsing it is separate from doing it, so that it can be tested without a socket.
package enum ControlRequest: Equatable, Sendable {
    case info
    case description(String)
    case status
    case why
    case members
    case sessions
    case metrics
    case events(since: UInt64?, follow: Bool)
    case command(ControlCommand)
    case snapshot(SnapshotCommand)

    /// Whether the caller must be root, of group csnap, or the agent's own user.
    package var changes: Bool {
        switch self {
        case .info, .description, .status, .why, .members, .sessions, .metrics, .events: false
        case .command, .snapshot(.resize), .snapshot(.create), .snapshot(.createSeveral), .snapshot(.beginRevert),
            .snapshot(.beginReceive), .snapshot(.finishReceive),
            .snapshot(.moveRevert), .snapshot(.endRevert), .snapshot(.branch), .snapshot(.delete), .snapshot(.rename):
            true
        case .snapshot(.show), .snapshot(.list), .snapshot(.examine), .snapshot(.changes): false
        // It reads the whole store.
        case .snapshot(.check): true
        }
    }

    package init(_ call: VarlinkCall) throws(ControlError) {
        let parameters = call.parameters ?? .object([:])
        switch call.method {
        case "org.varlink.service.GetInfo": self = .info
        case "org.varlink.service.GetInterfaceDescription":
            guard let name = parameters["interface"]?.string else { throw .invalidParameter("interface") }
            self = .description(name)
        case "io.csnap.Agent.GetStatus": self = .status
        case "io.csnap.Agent.Why": self = .why
        case "io.csnap.Agent.GetMembers": self = .members
        case "io.csnap.Agent.GetSessions": self = .sessions
        case "io.csnap.Agent.GetMetrics": self = .metrics
        case "io.csnap.Agent.Events": self = try ControlRequest.events(parameters, more: call.more == true)
        case "io.csnap.Agent.CreateSnapshot":
            self = .snapshot(
                .create(
                    volume: try text(parameters, "volume"), name: try text(parameters, "name"),
                    uuid: try uuid(parameters), priority: try priority(parameters)))
        case "io.csnap.Agent.CreateSnapshots":
            guard case .array(let values) = parameters["volumes"],
                (1...SessionWire.volumesOfOneCommand).contains(values.count)
            else { throw .invalidParameter("volumes") }
            var volumes: [String] = []
            for value in values { volumes.append(try text(.object(["volume": value]), "volume")) }
            self = .snapshot(
                .createSeveral(
                    volumes: volumes, name: try text(parameters, "name"), uuid: try uuid(parameters),
                    priority: try priority(parameters)))
        case "io.csnap.Agent.BeginRevert", "io.csnap.Agent.MoveRevert", "io.csnap.Agent.EndRevert",
            "io.csnap.Agent.BeginReceive", "io.csnap.Agent.FinishReceive":
            self = .snapshot(try ControlRequest.overwriting(call.method, parameters))
        case "io.csnap.Agent.BranchSnapshot":
            self = .snapshot(
                .branch(
                    volume: try text(parameters, "volume"), from: try text(parameters, "name"),
                    name: try text(parameters, "branch"), uuid: try uuid(parameters)))
        case "io.csnap.Agent.DeleteSnapshot":
            self = .snapshot(.delete(volume: try text(parameters, "volume"), name: try text(parameters, "name")))
        case "io.csnap.Agent.RenameSnapshot":
            self = .snapshot(
                .rename(
                    volume: try text(parameters, "volume"), from: try text(parameters, "name"),
                    to: try text(parameters, "newName")))
        case "io.csnap.Agent.ListSnapshots":
            self = .snapshot(
                .list(volume: try text(parameters, "volume"), after: try number(parameters, "after") ?? 0))
        case "io.csnap.Agent.DiffSnapshots":
            guard let from = try number(parameters, "from") else { throw .invalidParameter("from") }
            self = .snapshot(
                .changes(
                    volume: try text(parameters, "volume"),
                    ChangesQuery(
                        from: from, to: try number(parameters, "to"), first: try number(parameters, "firstChunk") ?? 0))
            )
        case "io.csnap.Agent.ResizeVolume": self = .snapshot(.resize(volume: try text(parameters, "volume")))
        case "io.csnap.Agent.CheckVolume":
            self = .snapshot(.check(volume: try text(parameters, "volume"), uuid: try knownUUID(parameters)))
        case "io.csnap.Agent.GetVolume": self = .snapshot(.examine(volume: try text(parameters, "volume")))
        default: self = .command(try ControlRequest.command(call.method, parameters))
        }
    }

    /// What overwrites an origin as a whole.
    private static func overwriting(
        _ method: String, _ parameters: JSONValue
    ) throws(ControlError) -> SnapshotCommand {
        let volume = try text(parameters, "volume")
        switch method {
        case "io.csnap.Agent.BeginRevert":
            return .beginRevert(volume: volume, name: try text(parameters, "name"), uuid: try uuid(parameters))
        case "io.csnap.Agent.MoveRevert":
            guard let cursor = try number(parameters, "cursor") else { throw .invalidParameter("cursor") }
            return .moveRevert(volume: volume, uuid: try knownUUID(parameters), cursor: cursor)
        case "io.csnap.Agent.BeginReceive":
            return .beginReceive(volume: volume, uuid: try knownUUID(parameters))
        case "io.csnap.Agent.FinishReceive":
            return .finishReceive(volume: volume, name: try text(parameters, "name"), uuid: try knownUUID(parameters))
        default: return .endRevert(volume: volume, uuid: try knownUUID(parameters))
        }
    }

    private static func events(_ parameters: JSONValue, more: Bool) throws(ControlError) -> ControlRequest {
        var since: UInt64?
        if let value = parameters["since"], value != .null {
            guard let cursor = value.integer, cursor >= 0 else { throw .invalidParameter("since") }
            since = UInt64(cursor)
        }
        let follow = parameters["follow"]?.bool ?? false
        guard more || !follow else { throw .expectedMore }
        return .events(since: since, follow: follow)
    }

    private static func command(
        _ method: String, _ parameters: JSONValue
    ) throws(ControlError) -> ControlCommand {
        let prefix = "io.csnap.Agent."
        guard method.hasPrefix(prefix) else {
            let interface = method.lastIndex(of: ".").map { String(method[..<$0]) } ?? method
            guard interface == "org.varlink.service" else { throw .unknownInterface(interface) }
            throw .unknownMethod(method)
        }
        switch method.dropFirst(prefix.count) {
        case "Found": return .found
        case "Leave": return .leave
        case "Disable": return .disable
        case "Enable": return .enable
        case "Transfer": return .transfer(try node(parameters["node"], "node"))
        case "Strike":
            return .strike(try node(parameters["node"], "node"), fenced: parameters["fenced"]?.bool ?? false)
        case "SetVoters": return .voters(try nodes(parameters["voters"], "voters"))
        case "AddVoters": return .addVoters(try nodes(parameters["voters"], "voters"))
        case "ReplaceVoter":
            return .replaceVoter(try node(parameters["old"], "old"), by: try node(parameters["new"], "new"))
        default: throw .unknownMethod(method)
        }
    }

    private static func nodes(_ value: JSONValue?, _ name: String) throws(ControlError) -> [NodeID] {
        guard case .array(let values) = value, values.count <= 7 else { throw .invalidParameter(name) }
        var nodes: [NodeID] = []
        for value in values { nodes.append(try node(value, name)) }
        return nodes
    }

    private static func node(_ value: JSONValue?, _ name: String) throws(ControlError) -> NodeID {
        guard let number = value?.integer, number > 0, number <= Int64(UInt32.max) else {
            throw .invalidParameter(name)
        }
        return NodeID(UInt32(number))
    }
}

/// Nil: it is not given.
private func number(_ parameters: JSONValue, _ name: String) throws(ControlError) -> UInt64? {
    guard let value = parameters[name], value != .null else { return nil }
    guard let number = value.integer, number >= 0 else { throw .invalidParameter(name) }
    return UInt64(number)
}

/// The caller may give the uuid, to ask again what became of it.
private func uuid(_ parameters: JSONValue) throws(ControlError) -> Bits128 {
    parameters["uuid"] == nil ? RandomBits.draw() : try knownUUID(parameters)
}

/// Of something that there is already.
private func knownUUID(_ parameters: JSONValue) throws(ControlError) -> Bits128 {
    guard let uuid = parameters["uuid"]?.string.flatMap({ Bits128(hex: $0) }) else { throw .invalidParameter("uuid") }
    return uuid
}

/// A name: not longer than the frames to the server carry; what it may contain is the server's to say.
private func text(_ parameters: JSONValue, _ name: String) throws(ControlError) -> String {
    guard let text = parameters[name]?.string, !text.isEmpty, text.utf8.count <= SnapshotName.limit else {
        throw .invalidParameter(name)
    }
    return text
}

private func priority(_ parameters: JSONValue) throws(ControlError) -> Int32 {
    guard let priority = Int32(exactly: parameters["priority"]?.integer ?? 0) else {
        throw .invalidParameter("priority")
    }
    return priority
}
