import ArgumentParser
import CsnapSimulation

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Print what happens under one seed.")

    @Option(help: "The seed.") var seed: UInt64
    @Option(help: "Print only the last N lines.") var last: Int?
    @OptionGroup var world: WorldArguments

    func run() throws {
        let result = SeedRun(seed: seed, settings: world.settings, recording: true).run()
        let lines = last.map { Array(result.lines.suffix($0)) } ?? result.lines
        for line in lines { print(line) }
        if let violation = result.violation {
            print("\(violation.name) at\(format(violation.time)): \(violation.text)")
            throw ExitCode(1)
        }
    }
}
