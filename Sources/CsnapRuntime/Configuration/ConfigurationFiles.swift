import Yams

/// Reads YAML files and the environment into layers; what they say is typed later.
struct ConfigurationFiles {
    private(set) var problems: [ConfigurationProblem] = []

    /// A configuration of 64 nodes and as many volumes has some 10 KiB.
    static let fileLimit = 1 << 20

    /// The layers of FILE, FILE.d/*.yaml and the environment, lowest first.
    mutating func layers(file: String, environment: [String: String], keys: [String]) -> [[RawEntry]] {
        var layers = [read(file)]
        do {
            for name in try Files.names(in: file + ".d") where name.hasSuffix(".yaml") && !name.hasPrefix(".") {
                layers.append(read(file + ".d/" + name))
            }
        } catch {
            problems.append(.init(.file(file + ".d", line: 1), key: "", error.description, remedy: "or remove it"))
        }
        layers.append(Self.environmentLayer(environment, keys: keys))
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

    /// `CSNAP_MAX_VOTERS=3` stands for `max-voters: 3`. Lists are separated by commas; mappings stay in files.
    static func variable(for key: String) -> String {
        "CSNAP_" + key.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }

    private static func environmentLayer(_ environment: [String: String], keys: [String]) -> [RawEntry] {
        keys.compactMap { key in
            let variable = variable(for: key)
            guard let text = environment[variable], !ConfigurationTree.mergedKeys.contains(key) else { return nil }
            let source = ConfigurationSource.environment(variable)
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
}
