import ArgumentParser
import CsnapSimulation
import Foundation

struct ScenariosCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenarios", abstract: "Play the scenarios and compare their transcripts.")

    @Flag(help: "Write the transcripts into the files; review the difference.") var rewrite = false
    @Option(help: "Where the files are.") var directory = "Tests/Scenarios"
    @Option(help: "Only the scenario of that name.") var only: String?

    func run() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".txt") }
            .sorted()
        var failed = 0
        var played = 0
        for name in names where only.map({ name == "\($0).txt" }) ?? true {
            let path = directory + "/" + name
            let scenario = Scenario(name: name, text: try String(contentsOfFile: path, encoding: .utf8))
            let result = ScenarioRunner(scenario).run()
            played += 1
            for failure in result.failures { print(failure) }
            if rewrite {
                try scenario.text(with: result.transcript).write(toFile: path, atomically: true, encoding: .utf8)
            } else if result.transcript != scenario.transcript {
                let lines = zip(result.transcript, scenario.transcript)
                let difference = lines.first { $0 != $1 }
                print("\(name): expected \(difference?.1 ?? "another length"), found \(difference?.0 ?? "it")")
                failed += 1
                continue
            }
            if !result.failures.isEmpty { failed += 1 }
        }
        print("{\"scenarios\": \(played), \"failed\": \(failed)}")
        if failed > 0 { throw ExitCode(1) }
    }
}
