/// How far the holder of an epoch has come.
package enum ClaimPhase: UInt8, Comparable, Sendable {
    case recovering = 0
    case active = 1
    case releasing = 2
    case released = 3

    package static func < (left: ClaimPhase, right: ClaimPhase) -> Bool { left.rawValue < right.rawValue }
}

/// The gossiped news about the holder, ordered by (epoch, round, phase). News only: it grants and resumes nothing (§5).
package struct Claim: Equatable, Comparable, Sendable {
    package var tenure: Tenure
    package var phase: ClaimPhase
    package var server: NodeBoot
    package var serviceAddress: Address
    package var configurationVersion: UInt64
    /// What the server serves, at most `Limits.claimedVolumes`; nil: not known, or too many to name.
    package var volumes: [VolumeDigest]?

    package init(
        tenure: Tenure, phase: ClaimPhase, server: NodeBoot, serviceAddress: Address, configurationVersion: UInt64,
        volumes: [VolumeDigest]? = nil
    ) {
        self.tenure = tenure
        self.phase = phase
        self.server = server
        self.serviceAddress = serviceAddress
        self.configurationVersion = configurationVersion
        self.volumes = volumes
    }

    package static func < (left: Claim, right: Claim) -> Bool {
        left.tenure == right.tenure ? left.phase < right.phase : left.tenure < right.tenure
    }
}
