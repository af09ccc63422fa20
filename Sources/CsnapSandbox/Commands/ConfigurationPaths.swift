import CsnapRuntime

/// What the command line takes from an agent's configuration.
enum ConfigurationPaths {
    static func controlSocket(_ file: String) throws -> String {
        throw CommandFailure.usage("--config is not supported yet: use --socket")
    }

    static func volume(_ name: String, in file: String) throws -> (origin: String, store: String) {
        throw CommandFailure.usage("--config is not supported yet: use --origin and --store")
    }
}
