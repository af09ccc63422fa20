import CsnapSandbox
import Testing

/// Snapshots on three machines, through a power cut of the server's.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.comment))
struct ContainerSnapshotTests {
    /// The last chunks of the origin, where no load comes in this time.
    private static func block(_ node: Int, _ sequence: UInt64) -> BlockPattern {
        let place = ContainerGroup.originSize - UInt64(node) * NodeLoad.chunk
        return BlockPattern(node: UInt32(node), sequence: sequence, offset: place)
    }

    private func write(_ sequence: UInt64, on group: GroupUnderLoad, _ nodes: [Int]) throws {
        for number in nodes {
            let device = try open("origin", on: number, of: group)
            let block = Self.block(number, sequence)
            try device.write(block.bytes, offset: block.offset)
            device.disconnect()
        }
    }

    /// The blocks of all nodes are those of that time.
    private func expect(_ sequence: UInt64, in export: String, on number: Int, of group: GroupUnderLoad) throws {
        let device = try open(export, on: number, of: group)
        for node in 1...3 {
            let block = Self.block(node, sequence)
            let bytes = try device.read(offset: block.offset, count: BlockPattern.size)
            #expect(block.fault(in: bytes[...]) == nil, "\(export) on node \(number)")
        }
        device.disconnect()
    }

    private func open(_ export: String, on number: Int, of group: GroupUnderLoad) throws -> NBDClient {
        let path = try group.node(number).volumeSocket
        var device: NBDClient?
        try group.wait("node \(number) offers \(export)", seconds: 60) {
            let end = boottime() + 60_000_000_000
            device = try? NBDClient(path: path, export: export, cancelled: { boottime() > end })
            return device != nil
        }
        guard let device else { throw ContainerFailure("node \(number) does not offer \(export)") }
        return device
    }

    @Test(.timeLimit(.minutes(5)))
    func aSnapshotSurvivesThePowerCutOfTheServersNode() throws {
        let group = try GroupUnderLoad(nodes: 3)
        defer { group.end() }
        let old = try group.node(1).activeStatus()
        try write(1, on: group, [1, 2, 3])
        try group.node(2).run("csnapctl", "snapshot", "create", "monday")
        try write(2, on: group, [1, 2, 3])
        for number in 1...3 { try expect(1, in: "snap/monday", on: number, of: group) }

        try group.cutPower(1)
        _ = try group.waitForServer(on: [2, 3], after: old.epoch)
        for number in [2, 3] {
            try expect(1, in: "snap/monday", on: number, of: group)
            try expect(2, in: "origin", on: number, of: group)
        }
        #expect(try group.node(3).exitCode("csnapctl", "snapshot", "create", "early") == 4, "a writer is lost")
        try group.node(3).run("csnapctl", "strike", "1", "--fenced")
        try group.node(3).run("csnapctl", "snapshot", "create", "tuesday")
        try write(3, on: group, [2, 3])
        for number in [2, 3] {
            try expect(1, in: "snap/monday", on: number, of: group)
            try expect(2, in: "snap/tuesday", on: number, of: group)
        }
        let list = try group.node(2).run("csnapctl", "snapshot", "list")
        #expect(list.contains("monday") && list.contains("tuesday") && !list.contains("early"))
        try group.expectEverythingReadable()
    }
}
