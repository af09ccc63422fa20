import CsnapCore

/// One line `expect …`.
struct Expectation {
    private let words: [String]

    init(_ words: [String]) { self.words = words }

    /// What is not as expected; nil if all is.
    func problem(in world: World, completions: [Int]) -> String? {
        let numbers = words.compactMap { Int($0) }
        switch (words.first, words.dropFirst().first) {
        case ("server", _):
            let active = serving(world)
            return active == numbers ? nil : "expected a server on \(numbers), found one on \(active)"
        case ("no", "server"):
            let active = serving(world)
            return active.isEmpty ? nil : "expected no server, found one on \(active)"
        case ("epoch", _):
            let epoch = Int(world.oracles.activated.epoch.value)
            return [epoch] == numbers ? nil : "expected epoch \(numbers), found \(epoch)"
        case ("io", _), ("no", "io"):
            let wanted = words.first == "io"
            for number in numbers {
                guard let client = world.clients.first(where: { $0.node == number - 1 }) else { continue }
                let before = completions.indices.contains(client.index) ? completions[client.index] : 0
                // What was granted before the suspension may still complete.
                let some = client.completions > before + (wanted ? 0 : 4)
                if some != wanted {
                    return "node \(number): \(client.completions - before) requests done in the last run"
                }
            }
            return nil
        case ("voters", _):
            for node in world.nodes where node.agent != nil {
                let voters = node.disk?.committed?.voters.map { Int($0.value) } ?? []
                if voters != numbers { return "node \(node.index + 1) has voters \(voters)" }
            }
            return nil
        case ("agent", _): return running(world, numbers, true)
        case ("no", "agent"): return running(world, numbers, false)
        default: return "nothing is named \(words.joined(separator: " "))"
        }
    }

    /// Nodes whose server is active and not stopped.
    private func serving(_ world: World) -> [Int] {
        world.nodes.filter { $0.server?.state == .active && $0.server?.isPaused == false }.map { $0.index + 1 }
    }

    private func running(_ world: World, _ numbers: [Int], _ wanted: Bool) -> String? {
        for number in numbers where world.nodes.indices.contains(number - 1) {
            if (world.nodes[number - 1].agent != nil) != wanted {
                return "node \(number): its agent \(wanted ? "does not run" : "runs")"
            }
        }
        return nil
    }
}
