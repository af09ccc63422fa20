import CsnapCore

/// Plays one scenario in a world without chance: fixed delays, true clocks.
package final class ScenarioRunner {
    private let scenario: Scenario
    private var world: World?
    private var timing = Timing.lan
    private var count = 3
    private var clientNodes: [Int]?
    private var transcript: [String] = []
    private var failures: [String] = []
    private var completions: [Int] = []

    package init(_ scenario: Scenario) { self.scenario = scenario }

    package func run() -> ScenarioResult {
        for (line, text) in scenario.commands {
            let words = text.split(separator: " ").map(String.init)
            if let problem = perform(words) { failures.append("\(scenario.name):\(line): \(problem)") }
            if let violation = world?.violation {
                failures.append("\(scenario.name):\(line): \(violation.name): \(violation.text)")
                break
            }
        }
        return ScenarioResult(transcript: transcript, failures: failures)
    }

    /// Carries out one command; says what is wrong with it, or with the world.
    private func perform(_ words: [String]) -> String? {
        let rest = Array(words.dropFirst())
        switch words[0] {
        case "nodes":
            guard world == nil, let number = rest.first.flatMap({ Int($0) }), (1...9).contains(number) else {
                return "nodes takes 1 to 9, before anything else"
            }
            count = number
        case "profile": timing = rest.first == "fast" ? .fast : .lan
        case "clients": clientNodes = rest.compactMap { Int($0) }.map { $0 - 1 }
        case "run": return run(rest)
        case "cut", "isolate", "heal": return links(words)
        case "expect":
            say("expect " + rest.joined(separator: " "))
            return Expectation(rest).problem(in: theWorld, completions: completions)
        default: return act(words[0], rest)
        }
        return nil
    }

    private func run(_ words: [String]) -> String? {
        guard let length = words.first.flatMap({ duration($0) }) else { return "run takes a time, for example 500ms" }
        say("run \(words[0])")
        completions = theWorld.clients.map(\.completions)
        theWorld.run(until: theWorld.now + length)
        return nil
    }

    private func act(_ verb: String, _ rest: [String]) -> String? {
        say(([verb] + rest).joined(separator: " "))
        let world = theWorld
        if verb == "grown" {
            world.prepareGrown(voters: rest.compactMap { UInt32($0) }.map { NodeID($0) })
            return nil
        }
        if verb == "kill" || verb == "pause" { return harm(verb, rest) }
        if verb == "do" { return operate(rest) }
        if verb == "disk" { return disk(rest) }
        let nodes = rest.compactMap { Int($0) }.map { $0 - 1 }
        guard nodes.count == rest.count, nodes.allSatisfy(world.nodes.indices.contains), !nodes.isEmpty else {
            return "\(verb) takes numbers of nodes"
        }
        for node in nodes {
            switch verb {
            case "found":
                start(node)
                world.schedule(.found(node: node), after: 10_000_000)
            case "join", "restart":
                world.nodes[node].isStopped = false
                start(node)
            case "crash": world.crashAgent(node)
            case "off": world.crashHost(node)
            case "on": world.startHost(node)
            case "lose": world.loseState(node)
            case "witness": world.nodes[node].serves = false
            default: return "no command is named \(verb)"
            }
        }
        return nil
    }

    private func start(_ node: Int) {
        theWorld.startAgent(node)
        for client in theWorld.clients where client.node == node { theWorld.startClient(client.index) }
    }

    private func harm(_ verb: String, _ rest: [String]) -> String? {
        let world = theWorld
        guard rest.count >= 2, let number = Int(rest[1]), world.nodes.indices.contains(number - 1) else {
            return "\(verb) takes server, client, agent or node, and a number"
        }
        let node = number - 1
        let client = world.clients.first { $0.node == node }?.index
        if verb == "kill" {
            if rest[0] == "server" { world.crashServer(node) } else if let client { world.killClient(client) }
            return nil
        }
        guard let length = rest.dropFirst(2).first.flatMap({ duration($0) }) else {
            return "pause takes a time at its end"
        }
        if rest[0] == "agent" || rest[0] == "node" { world.pause(.agent(node), for: length) }
        if rest[0] == "server" || rest[0] == "node" { world.pause(.server(node), for: length) }
        if rest[0] == "client" || rest[0] == "node", let client { world.pause(.client(client), for: length) }
        return nil
    }

    private func operate(_ rest: [String]) -> String? {
        guard rest.count >= 2, let node = Int(rest[0]) else { return "do takes a node and a command" }
        let numbers = rest.dropFirst(2).compactMap { UInt32($0) }.map { NodeID($0) }
        let command: Command
        switch (rest[1], numbers.first) {
        case ("stop", _): command = .stop
        case ("leave", _): command = .leave
        case ("disable", _): command = .disable
        case ("enable", _): command = .enable
        case ("transfer", let other?): command = .transfer(other)
        case ("strike", let other?): command = .strike(other, fenced: false)
        case ("fence", let other?): command = .strike(other, fenced: true)
        case ("voters", _): command = .voters(numbers)
        case ("add", _): command = .addVoters(numbers)
        case ("replace", let old?):
            guard let new = numbers.last, numbers.count == 2 else {
                return "replace takes the old voter and the new one"
            }
            command = .replaceVoter(old, by: new)
        default: return "no operator's command is named \(rest[1])"
        }
        theWorld.command(node - 1, command)
        return nil
    }

    private func disk(_ rest: [String]) -> String? {
        guard rest.count >= 2, let number = Int(rest[0]), theWorld.nodes.indices.contains(number - 1) else {
            return "disk takes a node and fails, works or stalls"
        }
        let node = theWorld.nodes[number - 1]
        switch rest[1] {
        case "fails": node.stateFailures = 1000
        case "works": node.stateFailures = 0
        case "stalls": node.stateStallUntil = theWorld.now + (rest.dropFirst(2).first.flatMap { duration($0) } ?? 0)
        default: return "disk takes fails, works or stalls"
        }
        return nil
    }

    private func links(_ words: [String]) -> String? {
        say(words.joined(separator: " "))
        let world = theWorld
        if words[0] == "heal" {
            world.network.healAll()
            return nil
        }
        var length = never
        if let place = words.firstIndex(of: "for"), place + 1 < words.count {
            length = duration(words[place + 1]) ?? never
        }
        var pairs: [(from: Int, to: Int)] = []
        for word in words.dropFirst().prefix(while: { $0 != "for" }) {
            let ends = word.split(separator: ">").compactMap { Int($0) }.map { $0 - 1 }
            if words[0] == "isolate", let node = ends.first {
                for other in world.nodes.indices where other != node { pairs += [(node, other), (other, node)] }
            } else if ends.count == 2 {
                pairs.append((ends[0], ends[1]))
            } else {
                return "cut takes links, for example 1>2"
            }
        }
        world.cut(Cut(links: pairs, jams: false), for: length)
        return nil
    }

    private var theWorld: World {
        if let world { return world }
        let options = WorldOptions(timing: timing, nodes: count, clientNodes: clientNodes ?? Array(0..<count))
        let made = World(options: options, seed: 1)
        made.network.policy.delayMean = 0
        made.onReport = { [unowned self] node, report in
            if let line = worthTelling(report) { say("node \(node + 1): \(line)") }
        }
        made.onReply = { [unowned self] node, outcome in say("node \(node + 1): command \(compact("\(outcome)"))") }
        for node in made.nodes { made.schedule(.work(node.index), after: 1_000_000) }
        world = made
        return made
    }

    /// Milliseconds: finer times would change with every change of the code.
    private func say(_ line: String) {
        let time = world?.now ?? 0
        transcript.append("\(milliseconds(time))  \(line)")
    }

    private func milliseconds(_ time: TrueTime) -> String {
        let full = format(time)
        return String(full.dropFirst().dropLast(3))
    }
}

/// The line for a report, if it belongs into a story; packets' weather does not.
private func worthTelling(_ report: Report) -> String? {
    switch report {
    case .promised, .nodeReady, .nodeReconnected, .serverStarted, .clientAttached, .waitingFor: nil
    default: reportText(report)
    }
}

/// A time such as 500ms or 3s, in nanoseconds.
func duration(_ text: String) -> Int64? {
    if text.hasSuffix("ms") { return Int64(text.dropLast(2)).map { $0 * 1_000_000 } }
    if text.hasSuffix("s") { return Int64(text.dropLast(1)).map { $0 * 1_000_000_000 } }
    return nil
}
