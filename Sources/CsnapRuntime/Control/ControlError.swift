package import CsnapCore

/// Why a call of the control interface failed; each case is one Varlink error, and its text names the remedy.
///
/// None of them changed any state.
package enum ControlError: Error, Equatable, Sendable {
    /// The bytes are no Varlink message; the connection is closed after saying so.
    case malformed(String)
    case unknownInterface(String)
    case unknownMethod(String)
    case invalidParameter(String)
    /// The method answers more than once; call it with `more`.
    case expectedMore
    case permissionDenied
    /// No server or no quorum that could carry the command out.
    case noServer(String)
    case refused(code: String, message: String)
    /// Too many connections or calls at once; try again.
    case busy
    /// The agent cannot be reached; only a client says this.
    case unreachable(String)
}

extension ControlError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let what): "not a Varlink message: \(what)"
        case .unknownInterface(let name): "no interface \(name); GetInfo lists them"
        case .unknownMethod(let name): "no method \(name); GetInterfaceDescription lists them"
        case .invalidParameter(let name): "parameter \(name) is missing or wrong"
        case .expectedMore: "this method answers more than once: call it with \"more\": true"
        case .permissionDenied: "only root and group csnap may change things: use sudo, or join group csnap"
        case .noServer(let message), .refused(_, let message), .unreachable(let message): message
        case .busy: "too many calls at once: try again"
        }
    }

    /// The Varlink error's name.
    package var name: String {
        switch self {
        case .malformed: "io.csnap.Agent.Malformed"
        case .unknownInterface: "org.varlink.service.InterfaceNotFound"
        case .unknownMethod: "org.varlink.service.MethodNotFound"
        case .invalidParameter: "org.varlink.service.InvalidParameter"
        case .expectedMore: "org.varlink.service.ExpectedMore"
        case .permissionDenied: "org.varlink.service.PermissionDenied"
        case .noServer: "io.csnap.Agent.NoServer"
        case .refused: "io.csnap.Agent.Refused"
        case .busy: "io.csnap.Agent.Busy"
        case .unreachable: "io.csnap.Agent.Unreachable"
        }
    }

    package var parameters: JSONValue {
        switch self {
        case .malformed(let what): .object(["message": .string(what)])
        case .unknownInterface(let name): .object(["interface": .string(name)])
        case .unknownMethod(let name): .object(["method": .string(name)])
        case .invalidParameter(let name): .object(["parameter": .string(name)])
        case .expectedMore, .permissionDenied, .busy: .object([:])
        case .noServer(let message): .object(["message": .string(message)])
        case .refused(let code, let message):
            .object(["code": .string(code), "message": .string(message)])
        case .unreachable(let message): .object(["message": .string(message)])
        }
    }

    /// The error a reply names, for a client.
    package init(name: String, parameters: JSONValue) {
        let message = parameters["message"]?.string ?? name
        switch name {
        case "io.csnap.Agent.Malformed": self = .malformed(message)
        case "org.varlink.service.InterfaceNotFound":
            self = .unknownInterface(parameters["interface"]?.string ?? "?")
        case "org.varlink.service.MethodNotFound": self = .unknownMethod(parameters["method"]?.string ?? "?")
        case "org.varlink.service.InvalidParameter":
            self = .invalidParameter(parameters["parameter"]?.string ?? "?")
        case "org.varlink.service.ExpectedMore": self = .expectedMore
        case "org.varlink.service.PermissionDenied": self = .permissionDenied
        case "io.csnap.Agent.NoServer": self = .noServer(message)
        case "io.csnap.Agent.Busy": self = .busy
        default: self = .refused(code: parameters["code"]?.string ?? name, message: message)
        }
    }

    /// What `csnapctl` exits with (docs/operations.md): 1 failed, 3 no quorum or no server, 4 refused.
    package var exitCode: Int32 {
        switch self {
        case .noServer: 3
        case .refused, .permissionDenied: 4
        case .invalidParameter: 2
        default: 1
        }
    }
}

extension ControlError {
    /// Words the core's refusal for a person.
    package init(_ refusal: RefusalCode) {
        switch refusal {
        case .noServer:
            self = .noServer("no node serves now: `csnapctl why` says what it waits for")
        case .notMember:
            self = .refused(code: "notMember", message: "that node is no member: `csnapctl members` lists them")
        case .notEligible:
            self = .refused(
                code: "notEligible",
                message: "that node may not serve (disabled, `serve: false`, or without the stores): enable it there")
        case .alreadyServing:
            self = .refused(code: "alreadyServing", message: "that node serves already; nothing was done")
        case .notFounded:
            self = .refused(
                code: "notFounded", message: "this node belongs to no group: `csnapctl found` on one node, once")
        case .alreadyInGroup:
            self = .refused(code: "alreadyInGroup", message: "this node joined a group; a second one is not made")
        case .notHolder:
            self = .noServer("the server moved meanwhile: try again")
        case .busy:
            self = .refused(code: "busy", message: "another change is in progress: try again when it is done")
        case .badVoters:
            self = .refused(
                code: "badVoters",
                message: "each voter must be named once")
        case .isSelf:
            self = .refused(
                code: "isSelf", message: "that node serves now: `csnapctl transfer NODE` first, or stop its agent")
        case .answersStill:
            self = .refused(
                code: "answersStill", message: "that node still answers: stop it first, then strike it")
        case .notStored:
            self = .refused(
                code: "notStored",
                message:
                    "the state file cannot be written yet; it is tried again each second: look at the state directory")
        case .groupHeard:
            self = .refused(
                code: "groupHeard", message: "a group with this name answers already: this node will join it")
        case .notVoter:
            self = .refused(code: "notVoter", message: "that node does not vote: `csnapctl voters` lists those that do")
        case .voterSilent:
            self = .refused(
                code: "voterSilent",
                message: "that member does not answer as a voter must: start it, or see what `csnapctl why` says there")
        case .tooManyVoters:
            self = .refused(code: "tooManyVoters", message: "more voters than `max-voters` allows")
        case .evenVoters:
            self = .refused(
                code: "evenVoters",
                message: "the number of voters must stay odd: add two, or put one in another's place")
        case .noReplacement:
            self = .refused(
                code: "noReplacement", message: "no stable member that may serve is there to take that voter's place")
        }
    }
}
