/// Where a value came from.
package enum ConfigurationSource: Equatable, Sendable, CustomStringConvertible {
    case file(String, line: Int)
    case environment(String)
    /// `--set KEY=VALUE`.
    case flag(String)
    case profile(String)
    case builtIn

    package var description: String {
        switch self {
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let variable): "environment \(variable)"
        case .flag(let text): "--set \(text)"
        case .profile(let name): "profile \(name)"
        case .builtIn: "default"
        }
    }
}

/// One thing that is wrong with a configuration: where, which key, what, and what would be right.
package struct ConfigurationProblem: Equatable, Sendable, CustomStringConvertible {
    package var source: ConfigurationSource
    /// Dotted for keys inside others: `volumes.disk1.origin`. Empty for a file that cannot be read.
    package var key: String
    package var what: String
    package var remedy: String

    package init(_ source: ConfigurationSource, key: String, _ what: String, remedy: String) {
        self.source = source
        self.key = key
        self.what = what
        self.remedy = remedy
    }

    package var description: String {
        key.isEmpty ? "\(source): \(what); \(remedy)" : "\(source): \(key): \(what); \(remedy)"
    }
}

/// A configuration was refused; all its problems at once, in the order of the files.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    package var problems: [ConfigurationProblem]

    package init(problems: [ConfigurationProblem]) { self.problems = problems }

    package var description: String { problems.map(\.description).joined(separator: "\n") }
}
