/// What a person asked of `csnapctl sandbox`.
package struct SandboxOptions: Equatable, Sendable {
    package var nodes: Int
    /// lan, fast or wan.
    package var profile: String
    /// UDP packets lost on every link, from the fault on.
    package var lossPercent: Double
    /// How long the load goes on after the fault; nil: until all is back, and two seconds more.
    package var seconds: Double?
    /// Leave the directory with the logs.
    package var keep: Bool
    /// Where csnap-agent and csnap-client are.
    package var binaries: String

    package init(
        nodes: Int, profile: String, lossPercent: Double = 0, seconds: Double? = nil, keep: Bool = false,
        binaries: String
    ) {
        self.nodes = nodes
        self.profile = profile
        self.lossPercent = lossPercent
        self.seconds = seconds
        self.keep = keep
        self.binaries = binaries
    }

    /// How long anything may take before the sandbox gives up, seconds.
    package var patience: Double {
        switch profile {
        case "wan": 240
        case "lan": 90
        default: 60
        }
    }
}
