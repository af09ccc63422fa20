import CsnapCore
import CsnapRuntime

/// What the shells make of bytes from outside; each traps where it finds a defect.
package enum RuntimeTargets {
    /// By the name of their corpus.
    package static var all: [String: ([UInt8]) -> Void] {
        ["packet": packet, "varlink": varlink, "configuration": ConfigurationTarget.run]
    }

    // MARK: - Between agents

    private static let keys = KeyRing(ClusterKey(id: 1, bytes: [UInt8](repeating: 7, count: 32)) ?? .generate())

    private static func identity(_ node: UInt32) -> TransportIdentity {
        TransportIdentity(
            clusterName: "fuzz", keys: keys, process: NodeBoot(node: NodeID(node), boot: Boot(1)),
            startBits: Bits128(high: UInt64(node), low: 5), advertised: .ipv4(127, 0, 0, 1, port: 7411),
            timing: Timing.lan.digest)
    }

    /// The first byte: a datagram as it comes, or one whose content, after the seal, is these bytes.
    static func packet(_ bytes: [UInt8]) {
        guard let first = bytes.first else { return }
        var opener = Opener(identity(2), cluster: Bits128(high: 1, low: 1))
        var datagram: [UInt8]? = Array(bytes.dropFirst())
        if first & 1 == 1 {
            var sealer = Sealer(identity(1), cluster: Bits128(high: 1, low: 1))
            datagram = sealer.seal(Array(bytes.dropFirst().prefix(Limits.payload)), echo: Bits128(high: 2, low: 5))
        }
        guard let datagram, opener.open(datagram, from: .ipv4(127, 0, 0, 1, port: 1)) != nil else { return }
        precondition(opener.open(datagram, from: .ipv4(127, 0, 0, 1, port: 1)) == nil, "opened twice")
    }

    // MARK: - Control socket

    static func varlink(_ bytes: [UInt8]) {
        var framer = VarlinkFramer(limit: ControlLimits.call)
        guard let messages = try? framer.feed(bytes + [0]) else { return }
        for message in messages {
            guard let call = try? JSON.decode(VarlinkCall.self, from: message) else { continue }
            _ = try? ControlRequest(call)
            guard let again = try? JSON.encode(call) else { preconditionFailure("\(call)") }
            precondition((try? JSON.decode(VarlinkCall.self, from: again)) != nil, "\(call)")
        }
    }
}
