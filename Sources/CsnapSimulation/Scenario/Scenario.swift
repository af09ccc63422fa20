/// A story: commands for a world, and what its agents report while they are carried out.
///
/// One command a line. `#` begins a comment; below `---` stands the transcript, rewritten by
/// `csnap-sim scenarios --rewrite` and reviewed as a difference.
///
///     nodes 3                 three machines, all off; `clients 1 3` gives volumes to some (default: all)
///     profile fast            timers; lan is the default
///     grown 1 2 3             state files of a group that has existed, with these voters
///     found 1                 start node 1 and found the group on it
///     join 2 3                start agents and clients of nodes
///     run 500ms               let time pass
///     crash|off|on|restart 2  kill an agent (it stays down) | machine off | machine on | start the agent again
///     lose 2                  the state file of a stopped agent is gone
///     kill server 1           and: kill client 2
///     pause agent 1 3s        and: pause server, pause client, pause node
///     cut 1>2 2>1 [for 2s]    one-way links; `isolate 1 [for 2s]`; `heal`
///     disk 2 fails            state writes fail; `disk 2 works`; `disk 2 stalls 3s`
///     do 2 transfer 3         and: stop, leave, disable, enable, strike N, fence N, voters A B C,
///                             add A B, replace OLD NEW
///     witness 3               a node that may never serve, before it starts
///     expect server 2         and: expect no server; expect epoch 3; expect io 1 2; expect no io 3;
///                             expect voters 1 2 3
package struct Scenario: Sendable {
    package var name: String
    package var commands: [(line: Int, text: String)]
    package var transcript: [String]
    /// The file up to and with the line `---`.
    package var head: String

    package init(name: String, text: String) {
        self.name = name
        var head: [Substring] = []
        var rest: [String] = []
        var commands: [(line: Int, text: String)] = []
        var isBelow = false
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if isBelow {
                if !line.isEmpty { rest.append(String(line)) }
            } else if line == "---" {
                isBelow = true
            } else {
                head.append(line)
                let words = line.prefix { $0 != "#" }
                if words.contains(where: { $0 != " " }) { commands.append((index + 1, String(words))) }
            }
        }
        while head.last?.isEmpty == true { head.removeLast() }
        self.commands = commands
        transcript = rest
        self.head = head.joined(separator: "\n") + "\n---\n"
    }

    /// The file with this transcript.
    package func text(with transcript: [String]) -> String {
        head + transcript.joined(separator: "\n") + "\n"
    }
}

/// What came of a scenario.
package struct ScenarioResult: Sendable {
    package var transcript: [String]
    /// A command that could not be understood, an expectation that failed, an oracle that objected.
    package var failures: [String]
}
