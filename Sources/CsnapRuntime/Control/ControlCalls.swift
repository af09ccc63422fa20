import CsnapCore

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

    /// Whether the caller must be root, of group csnap, or the agent's own user.
    package var changes: Bool {
        if case .command = self { return true }
        return false
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
        default: self = .command(try ControlRequest.command(call.method, parameters))
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
