import CsnapCore
import Glibc

extension CsnapConfiguration {
    /// All keys, in the order of the manual.
    package static let keys = [
        "cluster", "node", "listen", "advertise", "service-port", "peers", "profile", "timers", "key-file",
        "insecure", "serve", "max-voters", "state-directory", "runtime-directory", "log-level",
        "metrics-listen", "volumes",
    ]

    /// Reads FILE, FILE.d/*.yaml, CSNAP_* variables and flags of the form KEY=VALUE; the last wins.
    ///
    /// Throws `ConfigurationError` with every problem found. Nothing but these files is touched.
    package static func load(
        file: String, environment: [String: String], flags: [String] = []
    ) throws(ConfigurationError) -> CsnapConfiguration {
        try loadEffective(file: file, environment: environment, flags: flags).configuration
    }

    /// The same, and the value of each key with its source, as lines for `--check`.
    package static func loadEffective(
        file: String, environment: [String: String], flags: [String] = []
    ) throws(ConfigurationError) -> (configuration: CsnapConfiguration, lines: [String]) {
        let path = absolutePath(file)
        var files = ConfigurationFiles()
        let layers = files.layers(file: path, environment: environment, flags: flags, keys: keys)
        if !files.problems.isEmpty { throw ConfigurationError(problems: files.problems) }
        var tree = ConfigurationTree()
        for layer in layers { tree.overlay(layer) }
        var reader = ConfigurationReader(tree)
        reader.refuseUnknownKeys()
        let configuration = reader.configuration(directory: ConfigurationReader.parentDirectory(path))
        guard let configuration, reader.problems.isEmpty else {
            throw ConfigurationError(problems: reader.problems)
        }
        let width = reader.effective.map(\.key.count).max() ?? 0
        let lines = reader.effective.map { key, value, source in
            "\(key):\(String(repeating: " ", count: width + 1 - key.count))\(value)  # \(source)"
        }
        return (configuration, lines)
    }

    private static func absolutePath(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }
}

extension ConfigurationReader {
    /// Refuses keys nobody reads, and says which one may have been meant.
    mutating func refuseUnknownKeys() {
        for entry in tree.entries where !CsnapConfiguration.keys.contains(entry.key) {
            refuse(entry.source, entry.key, "there is no such key", remedy: Self.suggestion(entry.key))
        }
    }

    static func suggestion(_ key: String, among keys: [String] = CsnapConfiguration.keys) -> String {
        let near = keys.map { ($0, distance(key, $0)) }.min { $0.1 < $1.1 }
        if let near, near.1 <= 2 { return "did you mean '\(near.0)'?" }
        return "known are " + keys.joined(separator: ", ")
    }

    /// Levenshtein's distance of two short words.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right.lowercased())
        var row = Array(0...right.count)
        for (line, letter) in left.lowercased().prefix(64).enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for column in 0..<right.count {
                let change = diagonal + (right[column] == letter ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(change, row[column] + 1, row[column + 1] + 1)
            }
        }
        return row[right.count]
    }

    /// Nil exactly if there are problems that leave no value.
    mutating func configuration(directory: String) -> CsnapConfiguration? {
        let cluster = value(
            "cluster", right: "a name of up to 64 letters, digits, '.', '_' and '-'", missing: nil,
            show: { $0 }, parse: { Self.isName($0) ? $0 : nil })
        let node = integer("node", in: 1...Int(UInt32.max), default: nil)
        let listen = address("listen", default: nil)
        // Without `listen` these two have no default; the missing `listen` is the one problem then.
        let advertise = tree["advertise"] == nil && listen == nil ? nil : address("advertise", default: listen)
        let port = integer("service-port", in: 1...65535, default: listen.map { Int($0.port &+ 1) } ?? 1)
        let peers = addresses("peers")
        let profile: TimingProfile = choice("profile", default: .lan)
        let timing = timers(profile)
        let insecure = bool("insecure", default: false)
        let keyFile = path("key-file", default: nil, relativeTo: directory)
        if keyFile == nil && !insecure && problems.allSatisfy({ $0.key != "key-file" }) {
            let remedy = "make one with 'csnapctl key generate', or say 'insecure: true' in a test"
            refuse("key-file", "it is missing", remedy: remedy)
        }
        let serve = bool("serve", default: true)
        let voters = integer("max-voters", in: 1...7, default: 5) ?? 5
        if voters % 2 == 0 { refuse("max-voters", "\(voters) is even", remedy: "right would be 1, 3, 5 or 7") }
        let state = path("state-directory", default: "/var/lib/csnap", relativeTo: directory) ?? "/var/lib/csnap"
        let runtime = path("runtime-directory", default: "/run/csnap", relativeTo: directory) ?? "/run/csnap"
        let level: CsnapConfiguration.LogLevel = choice("log-level", default: .info)
        let metrics = metricsListen()
        let volumes = volumes(directory: directory, runtime: runtime)
        refuseImpossibleAddresses(listen: listen, advertise: advertise)
        guard let cluster, let node, let listen, let advertise, let port else { return nil }
        return CsnapConfiguration(
            cluster: cluster, node: NodeID(UInt32(node)), listen: listen, advertise: advertise,
            servicePort: UInt16(port), peers: peers.filter { $0 != advertise && $0 != listen },
            profile: profile, timing: timing, keyFile: keyFile, insecure: insecure, serve: serve,
            maximumVoters: voters, stateDirectory: state, runtimeDirectory: runtime, logLevel: level,
            metricsListen: metrics, volumes: volumes)
    }

    private mutating func metricsListen() -> Address? {
        guard tree["metrics-listen"] != nil else {
            note("metrics-listen", "none", .builtIn)
            return nil
        }
        guard let address = address("metrics-listen", default: nil) else { return nil }
        let isLoopback = address.isIPv4 ? address.bits.low >> 24 == 127 : address.bits == Bits128(high: 0, low: 1)
        if !isLoopback {
            let remedy = "right would be a loopback address, such as 127.0.0.1:9411"
            refuse("metrics-listen", "\(address.text) is not this machine alone", remedy: remedy)
        }
        return address
    }

    private mutating func refuseImpossibleAddresses(listen: Address?, advertise: Address?) {
        guard let listen, let advertise else { return }
        if advertise.bits == .zero {
            let key = tree["advertise"] == nil ? "listen" : "advertise"
            refuse(
                key, "others cannot send to \(advertise.text)",
                remedy: "say in 'advertise' the address they should use")
        }
        if listen.isIPv4 != advertise.isIPv4 {
            refuse("advertise", "it is of another family than listen", remedy: "use IPv4 or IPv6 for both")
        }
        if listen.port == 65535 && tree["service-port"] == nil {
            refuse("listen", "no port is left above 65535 for the server", remedy: "say 'service-port'")
        }
    }

    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            } && text.first != "." && text.first != "-"
    }
}
