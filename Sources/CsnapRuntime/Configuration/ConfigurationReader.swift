import CsnapCore

/// Types the values of a tree, one method per kind; what is wrong becomes a problem and the given default.
struct ConfigurationReader {
    let tree: ConfigurationTree
    private(set) var problems: [ConfigurationProblem] = []
    /// What was read, for `--check`, in the order of reading.
    private(set) var effective: [(key: String, value: String, source: ConfigurationSource)] = []

    init(_ tree: ConfigurationTree) { self.tree = tree }

    mutating func refuse(_ source: ConfigurationSource, _ key: String, _ what: String, remedy: String) {
        problems.append(.init(source, key: key, what, remedy: remedy))
    }

    /// Refuses the key that is named by its entry.
    mutating func refuse(_ key: String, _ what: String, remedy: String) {
        refuse(tree[key]?.value.source ?? .builtIn, key, what, remedy: remedy)
    }

    mutating func note(_ key: String, _ value: String, _ source: ConfigurationSource) {
        effective.append((key, value, source))
    }

    /// Text for the key; nil (and no problem) if it is absent.
    mutating func scalar(_ key: String, right: String) -> (text: String, source: ConfigurationSource)? {
        guard let entry = tree[key] else { return nil }
        guard case .scalar(let text, _) = entry.value.content else {
            refuse(entry.value.source, key, "\(entry.value.kind) does not fit", remedy: "right would be \(right)")
            return nil
        }
        return (text, entry.value.source)
    }

    /// Reads the key with `parse`; `missing` is taken when absent, or is a problem when nil.
    mutating func value<Value>(
        _ key: String, right: String, missing: Value?, show: (Value) -> String, parse: (String) -> Value?
    ) -> Value? {
        guard tree[key] != nil else {
            if let missing {
                note(key, show(missing), .builtIn)
            } else {
                refuse(.builtIn, key, "it is missing", remedy: "right would be '\(key): …' with \(right)")
            }
            return missing
        }
        guard let (text, source) = scalar(key, right: right) else { return missing }
        guard let value = parse(text) else {
            refuse(source, key, "'\(text)' does not fit", remedy: "right would be \(right)")
            return missing
        }
        note(key, show(value), source)
        return value
    }

    mutating func bool(_ key: String, default missing: Bool) -> Bool {
        value(key, right: "true or false", missing: missing, show: { "\($0)" }, parse: { Bool($0) }) ?? missing
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int>, default missing: Int?) -> Int? {
        value(
            key, right: "a number from \(range.lowerBound) to \(range.upperBound)", missing: missing,
            show: { "\($0)" }, parse: { text in Int(text).flatMap { range.contains($0) ? $0 : nil } })
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, default missing: Choice
    ) -> Choice {
        let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        return value(
            key, right: "one of \(names)", missing: missing, show: { $0.rawValue }, parse: { Choice(rawValue: $0) })
            ?? missing
    }

    mutating func address(_ key: String, default missing: Address?) -> Address? {
        value(
            key, right: "an address and a port, such as 192.0.2.11:7411 or [2001:db8::1]:7411",
            missing: missing, show: { $0.text }, parse: { Address(text: $0) })
    }

    mutating func addresses(_ key: String) -> [Address] {
        guard let entry = tree[key] else {
            note(key, "[]", .builtIn)
            return []
        }
        let items: [RawValue]
        switch entry.value.content {
        case .list(let list): items = list
        case .null: items = []
        case .scalar, .map:
            let right = "right would be a list, such as [192.0.2.12:7411, 192.0.2.13:7411]"
            refuse(entry.value.source, key, "\(entry.value.kind) does not fit", remedy: right)
            return []
        }
        var addresses: [Address] = []
        for item in items {
            guard case .scalar(let text, _) = item.content, let address = Address(text: text) else {
                let right = "right would be an address and a port, such as 192.0.2.12:7411"
                refuse(item.source, key, "\(item.kind) does not fit", remedy: right)
                continue
            }
            if addresses.contains(address) {
                refuse(item.source, key, "\(address.text) stands twice", remedy: "remove one of them")
            } else {
                addresses.append(address)
            }
        }
        note(key, "[" + addresses.map(\.text).joined(separator: ", ") + "]", entry.value.source)
        return addresses
    }

    /// An absolute path; a relative one is relative to the file that holds it, or to `directory` (the environment).
    mutating func path(_ key: String, default missing: String?, relativeTo directory: String) -> String? {
        guard tree[key] != nil else {
            if let missing { note(key, missing, .builtIn) }
            return missing
        }
        guard let (text, source) = scalar(key, right: "a path") else { return missing }
        let path = Self.absolute(text, source: source, directory: directory)
        note(key, path, source)
        return path
    }

    static func absolute(_ path: String, source: ConfigurationSource, directory: String) -> String {
        var base = directory
        if case .file(let file, _) = source { base = Self.directory(of: file) }
        var text = path.hasPrefix("/") ? path : base + "/" + path
        while text.count > 1 && text.hasSuffix("/") { text.removeLast() }
        return text
    }

    /// The directory of the main file also for its drop-ins, so that a value means the same in both.
    private static func directory(of file: String) -> String {
        let parent = parentDirectory(file)
        return parent.hasSuffix(".yaml.d") ? parentDirectory(parent) : parent
    }

    static func parentDirectory(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
