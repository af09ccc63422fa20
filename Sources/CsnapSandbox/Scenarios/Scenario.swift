/// A story with one fault in it, played on real processes under verified load.
package protocol Scenario: Sendable {
    /// As the command line names it.
    var name: String { get }
    /// One line for `--help`.
    var summary: String { get }
    /// How many nodes it has if nobody says otherwise, and the fewest it can be played with.
    var nodes: Int { get }
    var fewestNodes: Int { get }
    /// Nodes that never serve (`serve: false`).
    func witnesses(of nodes: Int) -> [Int]
    /// Bytes of the snapshot store.
    var storeSize: UInt64 { get }
    /// The group's volumes; the first is the one that every group has.
    var volumes: [String] { get }

    /// Up to the moment before the fault.
    func prepare(_ stage: Stage) throws
    /// The fault, what must follow, and what is expected of it.
    func play(_ stage: Stage) throws
}

extension Scenario {
    package var nodes: Int { 3 }
    package var fewestNodes: Int { 3 }
    package func witnesses(of nodes: Int) -> [Int] { [] }
    package var storeSize: UInt64 { SandboxGroup.storeSize }
    package var volumes: [String] { [SandboxGroup.volume] }

    package func prepare(_ stage: Stage) throws {
        try stage.found(1)
        try stage.join(Array(2...stage.options.nodes))
        try stage.waitForVoters()
        try stage.startLoads()
    }
}

/// All scenarios, in the order a newcomer should meet them.
package enum Scenarios {
    package static let all: [any Scenario] = [
        KillNode(), LowerIDJoins(), StopAgent(), KillServer(), KillAgent(), StopServer(), StopNode(),
        ClientNodeDies(), PartitionScenario(), LossScenario(), PowerCut(), TransferScenario(), LeaveScenario(),
        OutlineScenario(), CascadeScenario(), SnapshotUnderLoad(), SnapshotThroughKillNode(),
        ClientLateForBarrier(), KillNodeDuringCreate(), KillServerDuringCopyOut(), ReaderThroughFailover(),
        LostWriter(), StoreFull(), SnapshotsOfTwoVolumes(), BranchThroughFailover(),
    ]

    package static func named(_ name: String) -> (any Scenario)? {
        #if CSNAP_MUTANTS
            // Only programs of such a build can play it.
            if name == FailpointScenario().name { return FailpointScenario() }
        #endif
        return all.first { $0.name == name }
    }
}
