import CsnapSandbox
import Testing

/// A machine, or its state directory, is copied and started beside the original: from a template, from a backup.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.comment))
struct ContainerCloneTests {
    private static let idConflict = "ffc3fd5f4454d206fecf978735912902"

    @Test(.timeLimit(.minutes(5)), arguments: [false, true])
    func aCloneMovesNothingAndIsNamed(wholeMachine: Bool) throws {
        let group = try GroupUnderLoad(nodes: 3)
        defer { group.end() }
        let old = try group.node(1).activeStatus()
        let clone = try group.startClone(4, of: 3, wholeMachine: wholeMachine)

        // Both of the two are told, and so is whoever looks into the journal of any other.
        for node in [clone, try group.node(3)] {
            try group.wait("node \(node.number) names the conflict", seconds: 60) {
                node.status?.waits.contains { $0.kind == "idConflict" } == true
            }
            let why = node.why
            #expect(why.contains("Another machine at 192.0.2.") && why.contains("uses the id of this node"))
            #expect(node.why.contains("node:"), "what to type stands there")
        }
        let line = "node id 3 is used twice, also at 192.0.2.14:7411"
        try group.wait("node 1 names the conflict in its journal", seconds: 60) {
            try group.node(1).journal(of: ContainerCloneTests.idConflict).contains(line)
        }
        #expect(try clone.property("StatusText").contains("idConflict"))

        // Three promises later nothing has moved, and nobody has waited for good.
        try group.waitForWrites(on: [1, 2, 3], after: boottime() + 6_000_000_000)
        for number in 1...3 {
            let status = try group.node(number).activeStatus()
            #expect(status.server == old.server && status.epoch == old.epoch)
            #expect(status.alive == [1, 2, 3] && status.voters == [1, 2, 3])
        }
        #expect(clone.status?.clientsResumed == false, "a clone's client writes nothing")
        let told = try group.node(1).journal(of: ContainerCloneTests.idConflict)
        #expect(told.count < 5, "a stranger that asks often is news once in a while: \(told)")

        // Without the clone the original grants again: the vote of node 3 is needed for this.
        try group.shutDown(4)
        try group.wait("node 3 has its id for itself", seconds: 60) {
            try group.node(3).status?.waits.contains { $0.kind == "idConflict" } == false
        }
        let cutAt = boottime()
        try group.cutPower(1)
        #expect(try group.waitForServer(on: [2, 3], after: old.epoch).server == 2)
        try group.waitForWrites(on: [2, 3], after: cutAt)
        try group.expectEverythingReadable()
    }
}
