import ArgumentParser
import CsnapRuntime

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the group on one screen: members, server, and what is waited for.")

    @OptionGroup var agent: AgentOptions
    @Flag(help: "Print one JSON object; its keys are stable.") var json = false
    @Flag(help: "Again every second, until Ctrl-C.") var watch = false

    func run() throws {
        if watch { Interruption.watch() }
        repeat {
            let status = try agent.call(waitingFor: "the agent to answer") { caller in
                var status = try caller.status()
                status.waits = try caller.why()
                return status
            }
            if json {
                Terminal.say(try JSON.text(status))
            } else {
                if watch { Terminal.clear() }
                Terminal.say(StatusScreen.text(status))
            }
            if watch { for _ in 0..<10 where !isOver() { pause(milliseconds: 100) } }
        } while watch && !isOver()
    }
}

/// A person ended it, or nobody reads any more.
private func isOver() -> Bool { Interruption.isRequested || !Terminal.isHeard }

struct WhyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why",
        abstract: "Say what is waited for, whose fault it is and what to do.",
        discussion: "Exits with 0 if nothing waits, with 3 if something does.")

    @OptionGroup var agent: AgentOptions
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
        let waits = try agent.call(waitingFor: "the agent to answer") { try $0.why() }
        if json {
            Terminal.say(try JSON.text(["waits": waits]))
        } else {
            Terminal.say(StatusScreen.why(waits))
        }
        if waits.contains(where: { !$0.warning }) { throw ExitCode(3) }
    }
}

struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Print what this node's agent counts, in Prometheus' text form.")

    @OptionGroup var agent: AgentOptions

    func run() throws {
        let answer = try agent.call(waitingFor: "the agent to answer") {
            try $0.client.call("io.csnap.Agent.GetMetrics")
        }
        Terminal.say((answer["text"]?.string ?? "").trimmingSuffix { $0.isNewline })
    }
}

extension String {
    fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> String {
        var text = self
        while let last = text.last, isTrimmed(last) { text.removeLast() }
        return text
    }
}

struct MembersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "members", abstract: "List the members.")

    @OptionGroup var agent: AgentOptions
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
        let status = try agent.call(waitingFor: "the agent to answer") { try $0.status() }
        Terminal.say(json ? try JSON.text(["members": status.members]) : StatusScreen.members(status))
    }
}

struct SessionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "List this node's clients and the group's admissions.")

    @OptionGroup var agent: AgentOptions
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
        let status = try agent.call(waitingFor: "the agent to answer") { try $0.status() }
        guard !json else {
            let value = JSONValue.object([
                "clients": try JSON.value(status.clients), "admissions": try JSON.value(status.admissions),
            ])
            Terminal.say(try JSON.text(value))
            return
        }
        Terminal.say(StatusScreen.sessions(status))
    }
}

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Print what happened, in order, as this node's agent saw it.")

    @OptionGroup var agent: AgentOptions
    @Flag(help: "Go on with new events until Ctrl-C.") var follow = false
    @Option(help: ArgumentHelp("Only events after this cursor.", valueName: "cursor")) var since: UInt64?
    @Flag(help: "One JSON object a line.") var json = false

    func run() throws {
        Interruption.watch()
        func show(_ event: EventItem) throws {
            let line = "\(TimelineEntry.column(Double(event.at) / 1e9))  \(event.text)  [\(event.cursor)]"
            Terminal.say(json ? try JSON.text(event) : line)
        }
        guard follow else {
            let events = try agent.call(waitingFor: "the agent to answer") { try $0.events(since: since) }
            for event in events { try show(event) }
            return
        }
        do {
            try AgentCaller(path: try agent.path(), cancelled: isOver).follow(since: since) { event in
                try show(event)
                return !isOver()
            }
        } catch {
            if isOver() { return }
            guard let error = error as? ControlError else { throw error }
            throw CommandFailure(text: "csnapctl: \(error)", code: error.exitCode)
        }
    }
}
