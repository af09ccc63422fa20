import ArgumentParser
import CsnapSimulation
import Foundation

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Print what happens under one seed.")

    @Option(help: "The seed.") var seed: UInt64
    @Option(help: "Print only the last N lines.") var last: Int?
    @Option(help: "Draw the last seconds into this file instead.") var html: String?
    @Option(help: "How many seconds are drawn.") var drawn: Int64 = 3
    @OptionGroup var world: WorldArguments

    func run() throws {
        let run = SeedRun(seed: seed, settings: world.settings, recording: true)
        let result = run.run()
        if let html {
            let title = "Seed \(seed)" + (result.violation.map { ": \($0.name), \($0.text)" } ?? "")
            let page = run.world.drawing.page(
                title: title, nodes: result.nodes, end: result.simulated, seconds: drawn)
            try page.write(toFile: html, atomically: true, encoding: .utf8)
        } else {
            for line in last.map({ Array(result.lines.suffix($0)) }) ?? result.lines { print(line) }
        }
        if let violation = result.violation {
            print("\(violation.name) at\(format(violation.time)): \(violation.text)")
            throw ExitCode(1)
        }
    }
}
