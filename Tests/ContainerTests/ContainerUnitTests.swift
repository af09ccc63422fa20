import CsnapSandbox
import Testing

/// One machine: what the units promise, before there is a group.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.comment))
struct ContainerUnitTests {
    private static let units = ["csnap-agent.service", "csnap-client@.service"]

    @Test(.timeLimit(.minutes(2)))
    func theUnitsAreSoundAndHardened() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        try node.run("systemd-analyze", "verify", "--man=no", "csnap-agent.service", "csnap-client@data.service")
        for (unit, threshold) in zip(ContainerUnitTests.units, [20, 30]) {
            try node.run(
                "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=\(threshold)",
                "/lib/systemd/system/\(unit)")
        }
        for unit in ["csnap-agent.service", "csnap-client@data.service"] {
            #expect(try node.property("UnitFileState", of: unit) == "disabled", "a person decides that a node joins")
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func aPersonCanReloadAndOnlyTheGroupMayCommand() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        try node.run("systemctl", "start", "csnap-agent")
        let agent = try node.property("MainPID")
        try node.run("systemctl", "reload", "csnap-agent")
        #expect(try node.property("MainPID") == agent)

        try node.run("runuser", "--user", "nobody", "--", "csnapctl", "status")
        #expect(try node.exitCode("runuser", "--user", "nobody", "--", "csnapctl", "found") == 4)
        #expect(try node.property("StatusText").hasPrefix("server on") == false)
        try node.run("runuser", "--user", "csnap", "--", "csnapctl", "found")
        try waitUntil("the only node serves", seconds: 60) { node.status?.isActive == true }
    }

    @Test(.timeLimit(.minutes(2)))
    func aKeyThatOthersMayReadIsRefusedOnce() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        try node.run("chmod", "0644", "/etc/csnap/cluster.key")
        #expect(try node.exitCode("systemctl", "start", "csnap-agent") != 0)
        #expect(try node.property("ActiveState") == "failed")
        #expect(try node.property("ExecMainStatus") == "2")
        #expect(try node.property("NRestarts") == "0", "what a person must correct is not tried again and again")
        let journal = try node.run("journalctl", "--unit", "csnap-agent", "--output", "cat", "--no-pager")
        #expect(journal.contains("chmod 600 /etc/csnap/cluster.key"))

        try node.run("chmod", "0600", "/etc/csnap/cluster.key")
        try node.run("systemctl", "start", "csnap-agent")
        #expect(try node.property("ActiveState") == "active")
    }
}
