import Crypto
package import CsnapCore
import FoundationEssentials

/// What a person decided for this node: the effective configuration of agent, server and client (docs/operations.md).
package struct CsnapConfiguration: Equatable, Sendable {
    /// The group's name; part of every packet's tag.
    package var cluster: String
    package var node: NodeID
    /// UDP address the agent binds.
    package var listen: Address
    /// Where others send their packets; `listen` unless a relay or a translation lies between.
    package var advertise: Address
    /// TCP port of the server, bound on the address of `listen`.
    package var servicePort: UInt16
    /// Where to look for the group; one that answers is enough.
    package var peers: [Address]
    package var profile: TimingProfile
    /// The profile's timers with those the file overrides.
    package var timing: Timing
    /// The group's key, absolute; nil only if `insecure`.
    package var keyFile: String?
    /// Packets are neither encrypted nor authenticated.
    package var insecure: Bool
    /// False: this node never runs the server.
    package var serve: Bool
    /// 1, 3, 5 or 7.
    package var maximumVoters: Int
    package var stateDirectory: String
    package var runtimeDirectory: String
    package var logLevel: LogLevel
    /// Where Prometheus may ask; nil: nowhere. Loopback only.
    package var metricsListen: Address?
    /// In the order of their names.
    package var volumes: [Volume]

    /// One shared disk and the store of its snapshots.
    package struct Volume: Equatable, Codable, Sendable {
        package var name: String
        package var origin: String
        package var store: String
        package var whenFull: WhenFull

        package init(name: String, origin: String, store: String, whenFull: WhenFull = .hold) {
            self.name = name
            self.origin = origin
            self.store = store
            self.whenFull = whenFull
        }

        /// Tells agent and client whether they mean the same disks, though they may have found the file, and paths
        /// relative to it, by two spellings. Only programs of one version compare it.
        package static func digest(origin: String, store: String) -> UInt64 {
            let places = [origin, store].map { $0.split(separator: "/").filter { $0 != "." }.joined(separator: "/") }
            return SHA256.hash(data: Data(places.joined(separator: "\0").utf8)).prefix(8).reduce(0) {
                $0 << 8 | UInt64($1)
            }
        }
    }

    /// What becomes of a write whose chunk finds no room in the store.
    package enum WhenFull: String, CaseIterable, Codable, Sendable {
        /// It waits until there is room.
        case hold
        /// The snapshot of lowest priority that nobody reads is deleted for it.
        case drop
    }

    /// How much is logged; the names of swift-log's levels.
    package enum LogLevel: String, CaseIterable, Sendable {
        case trace, debug, info, notice, warning, error, critical
    }

    /// The agent's StoredState file.
    package var stateFile: String { stateDirectory + "/state" }
    package var runtime: RuntimeDirectory { RuntimeDirectory(runtimeDirectory) }

    /// Where the server binds its TCP port.
    package var serviceListen: Address {
        Address(bits: listen.bits, port: servicePort, isIPv4: listen.isIPv4)
    }

    /// Where clients of other nodes reach the server.
    package var serviceAdvertise: Address {
        Address(bits: advertise.bits, port: servicePort, isIPv4: advertise.isIPv4)
    }

    package func volume(named name: String) -> Volume? { volumes.first { $0.name == name } }
}

/// A named set of timers (docs/protocol.md §7).
package enum TimingProfile: String, CaseIterable, Sendable {
    case lan, fast, wan

    package var timing: Timing {
        switch self {
        case .lan: .lan
        case .fast: .fast
        case .wan: .wan
        }
    }
}
