import CsnapSandbox
import Foundation
import Testing

/// One machine: what the units promise, before there is a group.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.comment))
struct ContainerUnitTests {
    private static let units = ["csnap-agent.service", "csnap-client@.service", "csnap-snapshot@.service"]

    @Test(.timeLimit(.minutes(2)))
    func theUnitsAreSoundAndHardened() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        try node.run(
            "systemd-analyze", "verify", "--man=no", "csnap-agent.service", "csnap-client@data.service",
            "csnap-snapshot@data.service", "csnap-snapshot@data.timer")
        for (unit, threshold) in zip(ContainerUnitTests.units, [20, 30, 20]) {
            try node.run(
                "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=\(threshold)",
                "/lib/systemd/system/\(unit)")
        }
        for unit in ["csnap-agent.service", "csnap-client@data.service", "csnap-snapshot@data.timer"] {
            #expect(try node.property("UnitFileState", of: unit) == "disabled", "a person decides that a node joins")
        }
    }

    /// Each directive that a container can enforce, seen at the running agent from outside.
    @Test(.timeLimit(.minutes(2)))
    func theAgentsCageIsShut() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        try node.run("systemctl", "start", "csnap-agent")
        let agent = try node.property("MainPID")
        let status = try node.run("cat", "/proc/\(agent)/status")
        func field(_ name: String) -> String {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") } ?? ""
            return line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
        }
        let user = try node.run("id", "-u", "csnap").trimmingCharacters(in: .newlines)
        #expect(field("Uid").split(whereSeparator: \.isWhitespace).allSatisfy { $0 == user }, "User=")
        #expect(field("NoNewPrivs") == "1")
        #expect(field("Seccomp") == "2", "SystemCallFilter=, RestrictAddressFamilies=, RestrictNamespaces=")
        // CAP_IPC_LOCK and CAP_SYS_NICE, as far as the container has them.
        let allowed: UInt64 = 1 << 14 | 1 << 23
        for set in ["CapBnd", "CapEff", "CapAmb"] {
            #expect((UInt64(field(set), radix: 16) ?? .max) & ~allowed == 0, "\(set)")
        }
        #expect((Int(field("VmLck").prefix { $0.isNumber }) ?? 0) > 0, "memory is locked")

        // The loop's thread, or one line that says why not: some hosts give containers no real time.
        let policies = try node.run("sh", "-c", "cut -d' ' -f41 /proc/\(agent)/task/*/stat").split(separator: "\n")
        let journal = try node.journal()
        #expect(policies.contains("2") != journal.contains("no real-time scheduling: "), "\(policies)")

        let inside = ["nsenter", "-t", agent, "-m", "--"]
        func canDo(_ words: String...) throws -> Bool { try node.exitCode(inside + words) == 0 }
        #expect(try !canDo("touch", "/usr/tried"), "ProtectSystem=strict")
        #expect(try !canDo("touch", "/etc/tried"), "ProtectSystem=strict")
        #expect(try canDo("touch", "/run/csnap/tried"), "ReadWritePaths=")
        #expect(try canDo("touch", "/var/lib/csnap/tried"), "StateDirectory=")
        #expect(try !canDo("touch", "/proc/sys/kernel/tried"), "ProtectKernelTunables=")
        #expect(try !canDo("touch", "/sys/fs/cgroup/tried"), "ProtectControlGroups=")
        try node.run("touch", "/tmp/seen-outside", "/home/seen-outside")
        #expect(try !canDo("test", "-e", "/tmp/seen-outside"), "PrivateTmp=")
        #expect(try !canDo("test", "-e", "/home/seen-outside"), "ProtectHome=")
        let mounts = try node.run("cat", "/proc/\(agent)/mountinfo")
        #expect(mounts.contains("hidepid=invisible") || mounts.contains("hidepid=2"), "ProtectProc=")
        #expect(try node.property("StatusText").isEmpty == false, "NotifyAccess=")
        #expect(try node.run("stat", "-c", "%U %a", "/var/lib/csnap") == "csnap 750\n", "StateDirectoryMode=")
    }

    @Test(.timeLimit(.minutes(2)))
    func anUnknownVolumeIsNotTriedAgainForEver() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        _ = try node.exitCode("systemctl", "start", "csnap-client@nosuch")
        try waitUntil("it has failed", seconds: 30) {
            try node.property("ActiveState", of: "csnap-client@nosuch") == "failed"
        }
        #expect(try node.property("ExecMainStatus", of: "csnap-client@nosuch") == "2")
        #expect(try node.property("NRestarts", of: "csnap-client@nosuch") == "0")
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
        let member = ["runuser", "--user", "nobody", "--group", "nogroup", "--supp-group", "csnap", "--"]
        #expect(try node.exitCode(member + ["csnapctl", "found"]) == 0)
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
        let journal = try node.journal()
        #expect(journal.contains("chmod 600 /etc/csnap/cluster.key"))

        try node.run("chmod", "0600", "/etc/csnap/cluster.key")
        try node.run("systemctl", "start", "csnap-agent")
        #expect(try node.property("ActiveState") == "active")
    }
}
