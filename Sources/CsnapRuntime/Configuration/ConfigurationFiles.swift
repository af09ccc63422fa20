import Yams

/// Reads YAML files and the environment into layers; what they say is typed later.
struct ConfigurationFiles {
    private(set) var problems: [ConfigurationProblem] = []

    /// A configuration of 64 nodes and as many volumes has some 10 KiB.
    static let fileLimit = 1 << 20

    /// The layers of FILE, FILE.d/*.yaml, the environment and the flags, lowest first.
    mutating func layers(
        file: String, environment: [String: String], flags: [String], keys: [String]
    ) -> [[RawEntry]] {
        var layers = [read(file)]
        do {
            for name in try Files.names(in: file + ".d") where name.hasSuffix(".yaml") && !name.hasPrefix(".") {
                layers.append(read(file + ".d/" + name))
            }
        } catch {
            problems.append(.init(.file(file + ".d", line: 1), key: "", error.description, remedy: "or remove it"))
        }
        layers.append(environmentLayer(environment, keys: keys))
        layers.append(flagLayer(flags, keys: keys))
        return layers
    }

    private mutating func read(_ path: String) -> [RawEntry] {
        do {
            let bytes = try Files.read(path, limit: Self.fileLimit)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                refuse(path, line: 1, "it is not UTF-8 text", remedy: "save it as UTF-8")
                return []
            }
            return parse(text, path: path)
        } catch {
            refuse(path, line: 1, error.description, remedy: "csnap needs this file")
            return []
        }
    }

    private mutating func parse(_ text: String, path: String) -> [RawEntry] {
        let root: Node?
        do {
            root = try compose(yaml: text)
        } catch let error as YamlError {
            let (line, what) = Self.place(of: error)
            refuse(path, line: line, "not valid YAML: \(what)", remedy: "correct the line or the one before it")
            return []
        } catch {
            refuse(path, line: 1, "not valid YAML: \(error)", remedy: "correct it")
            return []
        }
        guard let root else { return [] }
        switch raw(root, path: path).content {
        case .map(let entries): return entries
        case .null: return []
        case .scalar, .list:
            refuse(path, line: 1, "there must be 'key: value' lines", remedy: "for example 'cluster: san1'")
            return []
        }
    }

    private mutating func refuse(_ path: String, line: Int, _ what: String, remedy: String) {
        problems.append(.init(.file(path, line: line), key: "", what, remedy: remedy))
    }

    private func raw(_ node: Node, path: String) -> RawValue {
        let source = ConfigurationSource.file(path, line: node.mark?.line ?? 1)
        switch node {
        case .scalar(let scalar):
            let quoted = scalar.style == .singleQuoted || scalar.style == .doubleQuoted
            let isNull = !quoted && ["", "~", "null"].contains(scalar.string)
            return RawValue(
                content: isNull ? .null : .scalar(scalar.string, quoted: quoted), source: source)
        case .sequence(let sequence):
            return RawValue(content: .list(sequence.map { raw($0, path: path) }), source: source)
        case .mapping(let mapping):
            let entries = mapping.map { key, value in
                RawEntry(
                    key: key.scalar?.string ?? "?", source: .file(path, line: key.mark?.line ?? 1),
                    value: raw(value, path: path))
            }
            return RawValue(content: .map(entries), source: source)
        case .alias:
            return RawValue(content: .null, source: source)
        }
    }

    private static func place(of error: YamlError) -> (line: Int, what: String) {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return (mark.line, problem)
        case .duplicatedKeysInMapping(let duplicates, let context):
            return (context.mark.line, "the key \(duplicates.joined(separator: ", ")) stands twice in this mapping")
        case .reader(let problem, _, _, _), .writer(let problem), .emitter(let problem), .representer(let problem):
            return (1, problem)
        case .no, .memory, .dataCouldNotBeDecoded:
            return (1, "it cannot be read")
        @unknown default:
            return (1, "it cannot be read")
        }
    }

    // MARK: Environment and flags

    /// `CSNAP_MAX_VOTERS=3` stands for `max-voters: 3`. Lists are separated by commas; mappings stay in files.
    static func variable(for key: String) -> String {
        "CSNAP_" + key.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }

    /// Variables of the tests and of the build, which are no configuration.
    private static func isReserved(_ variable: String) -> Bool {
        variable.hasPrefix("CSNAP_TEST_") || ["CSNAP_BIN", "CSNAP_MUTANT", "CSNAP_MUTANTS"].contains(variable)
    }

    private mutating func environmentLayer(_ environment: [String: String], keys: [String]) -> [RawEntry] {
        var layer: [RawEntry] = []
        for variable in environment.keys.sorted() where variable.hasPrefix("CSNAP_") && !Self.isReserved(variable) {
            let source = ConfigurationSource.environment(variable)
            let key = keys.first { Self.variable(for: $0) == variable }
            if let entry = entry(key, named: variable, text: environment[variable] ?? "", source, among: keys) {
                layer.append(entry)
            }
        }
        return layer
    }

    private mutating func flagLayer(_ flags: [String], keys: [String]) -> [RawEntry] {
        var layer: [RawEntry] = []
        for flag in flags {
            let parts = flag.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else {
                problems.append(.init(.flag(flag), key: "", "there is no '='", remedy: "for example log-level=debug"))
                continue
            }
            if layer.contains(where: { $0.key == parts[0] }) {
                problems.append(.init(.flag(flag), key: parts[0], "it is set twice", remedy: "remove one of them"))
            }
            let key = keys.contains(parts[0]) ? parts[0] : nil
            if let entry = entry(key, named: parts[0], text: parts[1], .flag(flag), among: keys) { layer.append(entry) }
        }
        return layer
    }

    private mutating func entry(
        _ key: String?, named name: String, text: String, _ source: ConfigurationSource, among keys: [String]
    ) -> RawEntry? {
        guard let key else {
            let meant = name.replacing("CSNAP_", with: "").lowercased().replacing("_", with: "-")
            let remedy = ConfigurationReader.suggestion(meant, among: keys)
            problems.append(.init(source, key: "", "there is no key for it", remedy: remedy))
            return nil
        }
        guard !ConfigurationTree.mergedKeys.contains(key) else {
            let remedy = "say it in a file below csnap.yaml.d"
            problems.append(.init(source, key: key, "it holds others, which one text cannot", remedy: remedy))
            return nil
        }
        let value: RawValue.Content
        if key == "peers" {
            let items = text.split(whereSeparator: { $0 == "," || $0 == " " })
            value = .list(items.map { RawValue(content: .scalar(String($0), quoted: false), source: source) })
        } else {
            value = text.isEmpty ? .null : .scalar(text, quoted: false)
        }
        return RawEntry(key: key, source: source, value: RawValue(content: value, source: source))
    }
}
