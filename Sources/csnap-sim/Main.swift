import ArgumentParser
import CsnapCore
import CsnapSimulation

@main
struct SimulationTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "csnap-sim", abstract: "The agent's production core in a simulated world.",
        subcommands: [
            RunCommand.self, TraceCommand.self, MutantsCommand.self, ScenariosCommand.self,
            StoreCommand.self, StoreFileCommand.self, DataCommand.self,
        ])
}

enum ProfileName: String, ExpressibleByArgument, CaseIterable {
    case lan, fast

    var timing: Timing {
        switch self {
        case .lan: .lan
        case .fast: .fast
        }
    }
}

struct WorldArguments: ParsableArguments {
    @Option(help: "Timers: lan or fast.") var profile: ProfileName = .fast
    @Option(help: "Number of nodes; drawn from the seed if absent.") var nodes: Int?
    @Option(help: "Simulated seconds with faults.") var seconds: Int64 = 30

    @Option(help: "Fault classes to leave out, with commas between them.") var without: String?

    func validate() throws {
        let names = without?.split(separator: ",") ?? []
        for name in names where !FaultClass.allCases.contains(where: { name == "\($0)" }) {
            throw ValidationError("--without knows no class of faults named \(name)")
        }
    }

    var settings: RunSettings {
        var settings = RunSettings(timing: profile.timing, nodes: nodes, seconds: seconds)
        settings.without = faults
        return settings
    }

    private var faults: [FaultClass] {
        let names = without?.split(separator: ",") ?? []
        return FaultClass.allCases.filter { fault in names.contains { $0 == "\(fault)" } }
    }
}
