import CsnapCore
import CsnapRuntime
import FoundationEssentials

/// What the command line takes from an agent's configuration.
enum ConfigurationPaths {
    static func controlSocket(_ file: String) throws -> String { try load(file).runtime.controlSocket }

    static func volume(_ name: String, in file: String) throws -> (origin: String, store: String) {
        let configuration = try load(file)
        guard let volume = configuration.volume(named: name) else {
            let known = configuration.volumes.map(\.name).joined(separator: ", ")
            throw CommandFailure.usage("\(file): no volume \(name); it names \(known.isEmpty ? "none" : known)")
        }
        return (volume.origin, volume.store)
    }

    /// The node's id and where its state lies, for what is done without an agent.
    static func node(_ file: String) throws -> (id: UInt32, stateDirectory: String) {
        let configuration = try load(file)
        return (configuration.node.value, configuration.stateDirectory)
    }

    private static func load(_ file: String) throws -> CsnapConfiguration {
        do {
            return try CsnapConfiguration.load(file: file, environment: ProcessInfo.processInfo.environment)
        } catch {
            throw CommandFailure.usage("\(error)")
        }
    }
}
