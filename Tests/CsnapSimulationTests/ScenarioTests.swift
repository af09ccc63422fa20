import CsnapSimulation
import Foundation
import Testing

@Suite("Scenarios")
struct ScenarioTests {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Scenarios")

    static var names: [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return all.filter { $0.hasSuffix(".txt") }.sorted()
    }

    @Test("there are enough of them") func count() {
        #expect(Self.names.count >= 40)
    }

    @Test("each tells its story word for word", arguments: names)
    func story(name: String) throws {
        let text = try String(contentsOf: Self.directory.appendingPathComponent(name), encoding: .utf8)
        let scenario = Scenario(name: name, text: text)
        let result = ScenarioRunner(scenario).run()
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.transcript == scenario.transcript, "run csnap-sim scenarios --rewrite and read the difference")
    }

    @Test("a wrong expectation is reported") func wrongExpectation() {
        let scenario = Scenario(name: "wrong", text: "grown 1 2 3\njoin 1 2 3\nrun 3s\nexpect server 2\n---\n")
        let result = ScenarioRunner(scenario).run()
        #expect(result.failures.count == 1)
        #expect(result.failures.first?.contains("expected a server on [2]") == true)
    }

    @Test("an unknown command is reported") func unknownCommand() {
        let result = ScenarioRunner(Scenario(name: "odd", text: "juggle 1\n---\n")).run()
        #expect(result.failures.count == 1)
    }
}
