/// A value as it was written, with its place; not yet typed.
struct RawValue {
    indirect enum Content {
        /// `quoted` scalars are text even where they look like a number.
        case scalar(String, quoted: Bool)
        case list([RawValue])
        case map([RawEntry])
        case null
    }

    var content: Content
    var source: ConfigurationSource

    /// What it is, for "… where … is expected".
    var kind: String {
        switch content {
        case .scalar(let text, _): "'\(text)'"
        case .list: "a list"
        case .map: "a mapping"
        case .null: "nothing"
        }
    }
}

struct RawEntry {
    var key: String
    /// Where the key itself stands.
    var source: ConfigurationSource
    var value: RawValue
}

/// The layers put together: the file, its drop-ins in the order of their names, the environment; the last wins.
///
/// `volumes` and `timers` are merged name by name; all other keys are replaced as a whole.
struct ConfigurationTree {
    private(set) var entries: [RawEntry] = []

    static let mergedKeys = ["volumes", "timers"]

    subscript(key: String) -> RawEntry? { entries.first { $0.key == key } }

    mutating func overlay(_ layer: [RawEntry]) {
        for entry in layer {
            guard let index = entries.firstIndex(where: { $0.key == entry.key }) else {
                entries.append(entry)
                continue
            }
            if Self.mergedKeys.contains(entry.key), case .map(let old) = entries[index].value.content,
                case .map(let new) = entry.value.content
            {
                entries[index].value.content = .map(Self.merged(old, new))
            } else {
                entries[index] = entry
            }
        }
    }

    private static func merged(_ old: [RawEntry], _ new: [RawEntry]) -> [RawEntry] {
        var result = old
        for entry in new {
            if let index = result.firstIndex(where: { $0.key == entry.key }) {
                result[index] = entry
            } else {
                result.append(entry)
            }
        }
        return result
    }
}
