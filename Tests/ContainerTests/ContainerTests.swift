import CsnapSandbox
import Glibc
import Testing

/// csnap as a distribution would run it: three machines with systemd, our units, a sealed network of their own.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.comment))
struct ContainerTests {
    @Test(.timeLimit(.minutes(5)))
    func aPowerCutOfTheServersNodeCostsNoWrite() throws {
        let group = try GroupUnderLoad(nodes: 3)
        defer { group.end() }
        let old = try group.node(1).activeStatus()
        #expect(old.server == 1)
        try group.expectTrueStatusLine(on: [1, 2, 3], server: 1, epoch: old.epoch)

        let cutAt = boottime()
        try group.cutPower(1)
        let new = try group.waitForServer(on: [2, 3], after: old.epoch)
        try group.waitForWrites(on: [2, 3], after: cutAt)
        #expect(new.server == 2, "the lowest survivor serves")
        try group.expectTrueStatusLine(on: [2, 3], server: 2, epoch: new.epoch)
        try group.expectStory(of: new)

        // It comes back by itself: the units are enabled.
        try group.bootAgain(1)
        try group.wait("node 1 is back and its client may go on", seconds: 90) {
            guard let status = try group.node(1).status else { return false }
            return status.isActive && status.clientsResumed && status.alive == [1, 2, 3]
        }
        group.startLoad(1)
        try group.waitForWrites(on: [1, 2, 3], after: boottime())
        #expect(try group.node(1).status?.server == 2, "a node that comes back moves nothing")
        try group.expectEverythingReadable()
    }

    @Test(.timeLimit(.minutes(5)))
    func theWatchdogEndsAnAgentThatHangs() throws {
        let group = try GroupUnderLoad(nodes: 3)
        defer { group.end() }
        let old = try group.node(1).activeStatus()
        let agent = try group.node(1).property("MainPID")
        let stoppedAt = boottime()
        try group.node(1).run("sh", "-c", "kill -STOP \(agent)")
        let new = try group.waitForServer(on: [2, 3], after: old.epoch)
        #expect(new.server == 2)
        try group.waitForWrites(on: [2, 3], after: stoppedAt)

        try group.wait("systemd restarts the agent", seconds: 60) {
            try group.node(1).property("NRestarts") != "0" && group.node(1).property("ActiveState") == "active"
        }
        #expect(try group.node(1).property("MainPID") != agent)
        let journal = try group.node(1).journal()
        #expect(journal.contains("Watchdog timeout"))
        try group.waitForWrites(on: [1, 2, 3], after: boottime())
        try group.expectEverythingReadable()
    }

    @Test(.timeLimit(.minutes(5)))
    func stoppingTheAgentHandsOver() throws {
        let group = try GroupUnderLoad(nodes: 3)
        defer { group.end() }
        let old = try group.node(1).activeStatus()
        let stoppedAt = boottime()
        try group.node(1).run("systemctl", "stop", "csnap-agent")
        #expect(try group.node(1).property("Result") == "success")
        #expect(try group.node(1).property("ActiveState") == "inactive")
        let new = try group.waitForServer(on: [2, 3], after: old.epoch)
        #expect(new.server == 2)
        try group.waitForWrites(on: [2, 3], after: stoppedAt)
        #expect(try group.node(1).property("ActiveState", of: "csnap-client@data") == "active")

        // Requests of the stopped node waited; they were not refused.
        try group.node(1).run("systemctl", "start", "csnap-agent")
        try group.waitForWrites(on: [1, 2, 3], after: boottime())
        try group.expectEverythingReadable()
    }
}
