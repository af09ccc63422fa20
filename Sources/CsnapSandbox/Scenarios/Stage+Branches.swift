import CsnapRuntime
import Glibc

/// A branch that all nodes write in a known order, each its own region, and all of them in turn one more.
package struct WrittenBranch: Sendable {
    package let name: String
    package let loads: [CyclicLoad]
    fileprivate var isWritten = true

    /// What is wrong with each region, as that device shows it now.
    fileprivate func faults(on device: NBDClient) throws -> [String?] {
        try loads.map { load in
            let least = load.acknowledged
            let image = try load.model.image(on: device)
            return load.model.fault(inLiving: image, least: least, most: load.issued)
        }
    }
}

extension Stage {
    /// From one write of a load to the next, milliseconds: each costs a chunk in the store, which the sweep gives back.
    private static let branchPeriod = 10

    /// Makes a branch of a snapshot and writes every block of the loads' regions in it; the chain goes not through the
    /// node that is `dying`.
    package func startBranch(
        _ name: String, of snapshot: String, by node: Int, chainWithout dying: Int? = nil
    ) throws {
        _ = try AgentCaller(path: group.directory.controlSocket(node)).branchSnapshot(
            SandboxGroup.volume, snapshot, as: name)
        mark("branch \(name) of snapshot \(snapshot), by node \(node)")
        let nodes = survivors
        for node in nodes { try open(name, on: node).disconnect() }
        func load(_ region: Int, through nodes: [Int]) -> CyclicLoad {
            CyclicLoad(
                node: region, sockets: nodes.map { group.directory.volumeSocket($0) }, export: "snap/\(name)",
                periodMilliseconds: Self.branchPeriod)
        }
        let chain = load(CyclicModel.chain, through: nodes.filter { $0 != dying })
        let branch = WrittenBranch(name: name, loads: [chain] + nodes.map { load($0, through: [$0]) })
        self.branch = branch
        try wait("every block of the branch \(name) is written") { branch.loads.allSatisfy(\.isFilled) }
        mark("\(nodes.count) clients overwrite the same blocks of the branch \(name)")
    }

    /// Returns when each load of the branch has completed a write that was begun after now.
    package func waitForBranchWrites() throws {
        guard let branch else { return }
        let begun = branch.loads.map(\.issued)
        try wait("the branch \(branch.name) is written") {
            zip(branch.loads, begun).allSatisfy { load, begun in
                load.acknowledged > begun || self.lost.contains(load.model.node)
            }
        }
    }

    /// Nobody writes it any more; what it must show stays known.
    package func stopBranch() {
        guard let branch, branch.isWritten else { return }
        self.branch?.isWritten = false
        for load in branch.loads { end(load) }
    }

    /// Reads all of the branch through one node's client: what was answered before is there, whoever wrote it.
    package func verifyBranch(on reader: Int) throws {
        guard let branch else { return }
        let device = try open(branch.name, on: reader)
        for fault in try branch.faults(on: device) { count(fault, in: "branch \(branch.name)", on: reader) }
        device.disconnect()
    }

    /// The same without an end; nil: there is no branch.
    package func startReadingBranch(on node: Int) -> SnapshotReading? {
        guard let branch else { return nil }
        return SnapshotReading(
            node: node, socket: group.directory.volumeSocket(node), of: branch.name, regions: branch.loads.count
        ) { device in
            try branch.faults(on: device).compactMap { $0 }
        }
    }
}
