import CsnapCore

/// The keys that hold others: `volumes` and `timers`.
extension ConfigurationReader {
    /// Bytes of `sun_path`, with its closing zero.
    private static let socketPathLimit = 108
    private static let volumePaths = ["origin", "store"]
    private static let volumeKeys = volumePaths + ["when-full"]
    private static let timerNames: [(name: String, field: any WritableKeyPath<Timing, Interval> & Sendable)] = [
        ("promise", \.promise), ("renew", \.renew), ("retry", \.retry), ("soft", \.soft), ("hard", \.hard),
        ("kill", \.kill), ("rank-step", \.rankStep), ("jitter", \.jitter), ("patience", \.patience),
        ("vote-timeout", \.voteTimeout), ("reconnect", \.reconnect), ("rejoin", \.rejoin),
        ("anti-entropy", \.antiEntropy), ("stable", \.stable), ("replace-after", \.replaceAfter),
        ("probe", \.probe), ("suspicion-minimum", \.suspicionMinimum), ("suspicion-maximum", \.suspicionMaximum),
    ]

    mutating func volumes(directory: String, runtime: String) -> [CsnapConfiguration.Volume] {
        guard let entry = tree["volumes"] else { return [] }
        let form = "right would be 'NAME: { origin: PATH, store: PATH }' below it"
        let items: [RawEntry]
        switch entry.value.content {
        case .map(let map): items = map
        case .null: items = []
        case .scalar, .list:
            refuse(entry.value.source, "volumes", "\(entry.value.kind) does not fit", remedy: form)
            return []
        }
        var volumes: [CsnapConfiguration.Volume] = []
        for item in items {
            let key = "volumes.\(item.key)"
            guard Self.isName(item.key) else {
                refuse(item.source, key, "it is no name", remedy: "use up to 64 letters, digits, '.', '_' and '-'")
                continue
            }
            if RuntimeDirectory(runtime).volumeSocket(item.key).utf8.count >= Self.socketPathLimit {
                let remedy = "sockets have at most \(Self.socketPathLimit - 1) bytes: shorten it or runtime-directory"
                refuse(item.source, key, "the path of its socket would be too long", remedy: remedy)
            }
            guard case .map(let fields) = item.value.content else {
                refuse(item.value.source, key, "\(item.value.kind) does not fit", remedy: form)
                continue
            }
            if let volume = volume(item.key, fields, source: item.source, directory: directory) {
                volumes.append(volume)
            }
        }
        refuseSharedPaths(volumes, items)
        return volumes.sorted { $0.name < $1.name }
    }

    private mutating func volume(
        _ name: String, _ fields: [RawEntry], source: ConfigurationSource, directory: String
    ) -> CsnapConfiguration.Volume? {
        var paths: [String: String] = [:]
        var whenFull = CsnapConfiguration.WhenFull.hold
        for field in fields {
            let key = "volumes.\(name).\(field.key)"
            guard Self.volumeKeys.contains(field.key) else {
                refuse(
                    field.source, key, "there is no such key",
                    remedy: Self.suggestion(field.key, among: Self.volumeKeys))
                continue
            }
            guard case .scalar(let text, _) = field.value.content else {
                refuse(field.value.source, key, "\(field.value.kind) does not fit", remedy: "right would be a path")
                continue
            }
            if field.key == "when-full" {
                if let choice = CsnapConfiguration.WhenFull(rawValue: text) {
                    whenFull = choice
                    note(key, text, field.value.source)
                } else {
                    refuse(field.value.source, key, "'\(text)' does not fit", remedy: "right would be hold or drop")
                }
                continue
            }
            let path = Self.absolute(text, source: field.value.source, directory: directory)
            paths[field.key] = path
            note(key, path, field.value.source)
        }
        for key in Self.volumePaths where paths[key] == nil && !fields.contains(where: { $0.key == key }) {
            let remedy = "right would be '\(key): PATH' of a block device or a file"
            refuse(source, "volumes.\(name).\(key)", "it is missing", remedy: remedy)
        }
        guard let origin = paths["origin"], let store = paths["store"] else { return nil }
        if !fields.contains(where: { $0.key == "when-full" }) {
            note("volumes.\(name).when-full", whenFull.rawValue, .builtIn)
        }
        return CsnapConfiguration.Volume(name: name, origin: origin, store: store, whenFull: whenFull)
    }

    /// No two volumes, and no origin and store, on the same path: the second would overwrite the first.
    private mutating func refuseSharedPaths(_ volumes: [CsnapConfiguration.Volume], _ items: [RawEntry]) {
        var seen: [(path: String, user: String)] = []
        for volume in volumes {
            for (path, use) in [(volume.origin, "origin"), (volume.store, "store")] {
                let user = "volumes.\(volume.name).\(use)"
                if let other = seen.first(where: { $0.path == path }) {
                    let source = items.first { $0.key == volume.name }?.source ?? .builtIn
                    refuse(source, user, "\(path) is \(other.user) already", remedy: "give each its own device")
                }
                seen.append((path, user))
            }
        }
    }

    /// The profile's timers with those of `timers`, in milliseconds; refused if impossible (docs/protocol.md §7).
    mutating func timers(_ profile: TimingProfile) -> Timing {
        var timing = profile.timing
        defer {
            for timer in Self.timerNames where !effective.contains(where: { $0.key == "timers.\(timer.name)" }) {
                let milliseconds = timing[keyPath: timer.field].nanoseconds / 1_000_000
                note("timers.\(timer.name)", "\(milliseconds)", .profile(profile.rawValue))
            }
        }
        guard let entry = tree["timers"] else { return timing }
        guard case .map(let items) = entry.value.content else {
            let remedy = "right would be 'NAME: MILLISECONDS' below it"
            refuse(entry.value.source, "timers", "\(entry.value.kind) does not fit", remedy: remedy)
            return timing
        }
        for item in items {
            let key = "timers.\(item.key)"
            guard let timer = Self.timerNames.first(where: { $0.name == item.key }) else {
                let remedy = Self.suggestion(item.key, among: Self.timerNames.map(\.name))
                refuse(item.source, key, "there is no such timer", remedy: remedy)
                continue
            }
            guard case .scalar(let text, _) = item.value.content, let milliseconds = Int64(text),
                (1...86_400_000).contains(milliseconds)
            else {
                refuse(
                    item.value.source, key, "\(item.value.kind) does not fit",
                    remedy: "right would be a number of milliseconds from 1 to 86400000")
                continue
            }
            timing[keyPath: timer.field] = .milliseconds(milliseconds)
            note(key, "\(milliseconds)", item.value.source)
        }
        if let violation = timing.violation {
            refuse(entry.value.source, "timers", "impossible: \(violation)", remedy: "or leave them to the profile")
        }
        return timing
    }
}
