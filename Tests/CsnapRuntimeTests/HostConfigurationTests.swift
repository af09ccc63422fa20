import CsnapCore
import CsnapRuntime
import Glibc
import Testing

/// A configuration file in a directory of its own, removed at the end.
struct ConfigurationFixture {
    let directory: TemporaryDirectory
    var file: String { directory.path + "/csnap.yaml" }

    init(_ text: String, dropIns: [(String, String)] = []) throws {
        directory = try TemporaryDirectory()
        try directory.write("csnap.yaml", text)
        if !dropIns.isEmpty { try Files.ensureDirectory(directory.path + "/csnap.yaml.d") }
        for (name, text) in dropIns { try directory.write("csnap.yaml.d/" + name, text) }
    }

    func load(_ environment: [String: String] = [:]) throws -> CsnapConfiguration {
        try CsnapConfiguration.load(file: file, environment: environment)
    }

    /// The lines of the refusal, with the directory taken away; empty if it was not refused.
    func refusal(_ environment: [String: String] = [:]) -> [String] {
        do {
            _ = try CsnapConfiguration.load(file: file, environment: environment)
            return []
        } catch {
            return error.problems.map { $0.description.replacing(directory.path + "/", with: "") }
        }
    }
}

private let minimal = """
    cluster: san1
    node: 2
    listen: 127.0.0.2:7411
    insecure: true

    """

@Suite("Configuration")
struct HostConfigurationTests {
    @Test func readsEveryKey() throws {
        let fixture = try ConfigurationFixture(
            """
            cluster: san1
            node: 3
            listen: 127.0.0.3:7411
            advertise: 127.0.1.3:7411
            service-port: 9000
            peers: [127.0.0.1:7411, "[::1]:7411"]
            profile: fast
            key-file: cluster.key
            serve: false
            max-voters: 3
            state-directory: state/
            runtime-directory: /run/other
            log-level: debug
            volumes:
              b: { origin: disks/b, store: /dev/store-b }
              a: { origin: a, store: a.store }
            """)
        let configuration = try fixture.load()
        #expect(configuration.cluster == "san1")
        #expect(configuration.node == NodeID(3))
        #expect(configuration.listen == .ipv4(127, 0, 0, 3, port: 7411))
        #expect(configuration.serviceAdvertise == .ipv4(127, 0, 1, 3, port: 9000))
        #expect(configuration.peers.map(\.text) == ["127.0.0.1:7411", "[::1]:7411"])
        #expect(configuration.timing == .fast)
        #expect(configuration.keyFile == fixture.directory.path + "/cluster.key")
        #expect(!configuration.serve && !configuration.insecure)
        #expect(configuration.maximumVoters == 3)
        #expect(configuration.stateFile == fixture.directory.path + "/state/state")
        #expect(configuration.runtime.controlSocket == "/run/other/agent.sock")
        #expect(configuration.logLevel == .debug)
        #expect(configuration.volumes.map(\.name) == ["a", "b"])
        #expect(configuration.volume(named: "b")?.origin == fixture.directory.path + "/disks/b")
    }

    @Test func defaultsAreThoseOfTheManual() throws {
        let configuration = try ConfigurationFixture(minimal).load()
        #expect(configuration.advertise == configuration.listen)
        #expect(configuration.servicePort == 7412)
        #expect(configuration.timing == .lan)
        #expect(configuration.maximumVoters == 5)
        #expect(configuration.stateDirectory == "/var/lib/csnap")
        #expect(configuration.runtimeDirectory == "/run/csnap")
        #expect(configuration.serve && configuration.peers.isEmpty && configuration.volumes.isEmpty)
    }

    @Test func laterLayersWin() throws {
        let fixture = try ConfigurationFixture(
            minimal + "volumes:\n  a: { origin: a, store: b }\n",
            dropIns: [
                ("20-b.yaml", "profile: wan\nvolumes:\n  c: { origin: c, store: d }\n"),
                ("10-a.yaml", "profile: fast\nmax-voters: 3\n"), ("ignored.txt", "nonsense: 1\n"),
            ])
        let configuration = try fixture.load(["CSNAP_MAX_VOTERS": "7", "CSNAP_PEERS": "127.0.0.9:1, 127.0.0.8:1"])
        #expect(configuration.profile == .wan)
        #expect(configuration.maximumVoters == 7)
        #expect(configuration.peers.map(\.text) == ["127.0.0.9:1", "127.0.0.8:1"])
        #expect(configuration.volumes.map(\.name) == ["a", "c"])
        #expect(configuration.volumes[1].origin == fixture.directory.path + "/c")
    }

    @Test func checkShowsSources() throws {
        let fixture = try ConfigurationFixture(minimal, dropIns: [("a.yaml", "\nprofile: fast\n")])
        let lines = try CsnapConfiguration.loadEffective(
            file: fixture.file, environment: ["CSNAP_LOG_LEVEL": "debug"]
        ).lines.map { line in
            let short = line.replacing(fixture.directory.path + "/", with: "")
            return short.split(separator: " ").joined(separator: " ")
        }
        #expect(lines.contains("node: 2 # csnap.yaml:2"))
        #expect(lines.contains("profile: fast # csnap.yaml.d/a.yaml:2"))
        #expect(lines.contains("log-level: debug # environment CSNAP_LOG_LEVEL"))
        #expect(lines.contains("service-port: 7412 # default"))
    }

    @Test(arguments: [
        ("nodes: 3\n", "csnap.yaml:5: nodes: there is no such key; did you mean 'node'?"),
        ("profile: slow\n", "csnap.yaml:5: profile: 'slow' does not fit; right would be one of lan, fast, wan"),
        ("serve: maybe\n", "csnap.yaml:5: serve: 'maybe' does not fit; right would be true or false"),
        ("serve: [true]\n", "csnap.yaml:5: serve: a list does not fit; right would be true or false"),
        ("max-voters: 4\n", "csnap.yaml:5: max-voters: 4 is even; right would be 1, 3, 5 or 7"),
        ("max-voters: 9\n", "csnap.yaml:5: max-voters: '9' does not fit; right would be a number from 1 to 7"),
        (
            "peers:\n  - 127.0.0.1:7411\n  - host\n",
            "csnap.yaml:7: peers: 'host' does not fit; right would be an address and a port, such as 192.0.2.12:7411"
        ),
        ("peers: [127.0.0.1:1, 127.0.0.1:1]\n", "csnap.yaml:5: peers: 127.0.0.1:1 stands twice; remove one of them"),
        (
            "volumes:\n  a: { origin: x }\n",
            "csnap.yaml:6: volumes.a.store: it is missing; right would be 'store: PATH' of a block device or a file"
        ),
        (
            "volumes:\n  a:\n    origin: x\n    store: y\n    stores: z\n",
            "csnap.yaml:9: volumes.a.stores: there is no such key; did you mean 'store'?"
        ),
        (
            "volumes:\n  a/b: { origin: x, store: y }\n",
            "csnap.yaml:6: volumes.a/b: it is no name; use up to 64 letters, digits, '.', '_' and '-'"
        ),
        (
            "timers:\n  promise: 1000\n",
            "csnap.yaml:6: timers: impossible: hard·(1+ρ)/(1−ρ) + kill must not exceed promise; "
                + "or leave them to the profile"
        ),
        (
            "timers: { promises: 1000 }\n",
            "csnap.yaml:5: timers.promises: there is no such timer; did you mean 'promise'?"
        ),
        (
            "advertise: 0.0.0.0:7411\n",
            "csnap.yaml:5: advertise: others cannot send to 0.0.0.0:7411; "
                + "say in 'advertise' the address they should use"
        ),
    ])
    func refusesWithLineAndRemedy(text: String, line: String) throws {
        #expect(try ConfigurationFixture(minimal + text).refusal().contains(line))
    }

    @Test(arguments: [
        ("cluster: [\n", "csnap.yaml:2: not valid YAML"),
        ("node: 1\nnode: 2\n", "not valid YAML: the key node stands twice"),
        ("just text\n", "csnap.yaml:1: there must be 'key: value' lines"),
    ])
    func refusesBrokenFiles(text: String, start: String) throws {
        let refusal = try ConfigurationFixture(text).refusal()
        #expect(refusal.count == 1)
        #expect(refusal.first?.contains(start) == true, "\(refusal)")
    }

    @Test func allProblemsAtOnce() throws {
        let refusal = try ConfigurationFixture("node: 0\nlisten: 7411\n").refusal()
        #expect(refusal.count == 4, "\(refusal)")
        let name = "a name of up to 64 letters, digits, '.', '_' and '-'"
        #expect(refusal.contains("default: cluster: it is missing; right would be 'cluster: …' with \(name)"))
        #expect(refusal.contains { $0.hasPrefix("csnap.yaml:1: node: '0' does not fit") })
        #expect(refusal.contains { $0.hasPrefix("csnap.yaml:2: listen: '7411' does not fit") })
        #expect(refusal.contains { $0.contains("key-file: it is missing; make one with 'csnapctl key generate'") })
    }

    @Test func theEnvironmentIsNamed() throws {
        let refusal = try ConfigurationFixture(minimal).refusal(["CSNAP_NODE": "one"])
        #expect(refusal.first?.hasPrefix("environment CSNAP_NODE: node: 'one' does not fit") == true, "\(refusal)")
    }

    @Test(arguments: [
        ("CSNAP_LISTN", "127.0.0.1:1", "environment CSNAP_LISTN: there is no key for it; did you mean 'listen'?"),
        (
            "CSNAP_VOLUMES", "a",
            "environment CSNAP_VOLUMES: volumes: it holds others, which one text cannot; "
                + "say it in a file below csnap.yaml.d"
        ),
    ])
    func unknownVariablesAreRefused(name: String, value: String, line: String) throws {
        #expect(try ConfigurationFixture(minimal).refusal([name: value]) == [line])
    }

    @Test func variablesOfTheTestsAreNone() throws {
        let configuration = try ConfigurationFixture(minimal).load(["CSNAP_TEST_CACHE": "x", "CSNAP_BIN": "y"])
        #expect(configuration.node == NodeID(2))
    }

    @Test func flagsWinOverAll() throws {
        let fixture = try ConfigurationFixture(minimal + "log-level: error\n")
        let (configuration, lines) = try CsnapConfiguration.loadEffective(
            file: fixture.file, environment: ["CSNAP_LOG_LEVEL": "debug"],
            flags: ["log-level=trace", "peers=127.0.0.9:1,127.0.0.8:1"])
        #expect(configuration.logLevel == .trace && configuration.peers.count == 2)
        #expect(lines.contains { $0.hasPrefix("log-level:") && $0.hasSuffix("# --set log-level=trace") })
        for (flag, what) in [
            ("log-level", "there is no '='"), ("logs=1", "there is no key"), ("node=x", "does not fit"),
        ] {
            let error = #expect(throws: ConfigurationError.self) {
                try CsnapConfiguration.load(file: fixture.file, environment: [:], flags: [flag])
            }
            #expect(error?.description.contains(what) == true, "\(flag)")
        }
    }

    @Test func checkShowsTheTimersOfTheProfile() throws {
        let fixture = try ConfigurationFixture(minimal + "timers: { probe: 700 }\n")
        let lines = try CsnapConfiguration.loadEffective(file: fixture.file, environment: [:]).lines
            .map { $0.split(separator: " ").joined(separator: " ") }
        #expect(lines.contains("timers.promise: 2000 # profile lan"))
        #expect(lines.contains { $0.hasPrefix("timers.probe: 700 # ") && $0.hasSuffix("csnap.yaml:5") })
        #expect(lines.count { $0.hasPrefix("timers.probe:") } == 1)
    }

    /// All keys stand in --check, each with where it comes from.
    @Test func checkShowsEveryKey() throws {
        let text = minimal + "key-file: k\nvolumes:\n  a: { origin: x, store: y }\n"
        let fixture = try ConfigurationFixture(text)
        let lines = try CsnapConfiguration.loadEffective(file: fixture.file, environment: [:]).lines
        for key in CsnapConfiguration.keys {
            #expect(lines.contains { $0.hasPrefix(key + ":") || $0.hasPrefix(key + ".") }, "\(key)")
        }
        #expect(lines.allSatisfy { $0.contains("  # ") })
    }

    @Test func aReloadKnowsWhatDiffers() throws {
        let old = try ConfigurationFixture(minimal).load()
        let new = try ConfigurationFixture(
            minimal + "peers: [127.0.0.9:1]\nlog-level: debug\nprofile: fast\nserve: false\n"
        ).load()
        #expect(new.differences(from: old) == ["peers", "profile", "serve", "log-level"])
        #expect(old.differences(from: old) == [])
        #expect(CsnapConfiguration.reloadable.allSatisfy { CsnapConfiguration.keys.contains($0) })
    }

    @Test func anUnknownVolumeIsNotTriedAgainForEver() throws {
        let configuration = try ConfigurationFixture(minimal).load()
        let error = #expect(throws: ClientError.self) { try ClientOptions(configuration: configuration, volume: "x") }
        #expect(error?.exitCode == 2)
    }

    @Test func aMissingFileIsNamed() throws {
        let fixture = try ConfigurationFixture(minimal)
        unlink(fixture.file)
        #expect(fixture.refusal().first?.contains("No such file") == true)
    }
}
