import CsnapRuntime
import Glibc
import Testing

/// Who may change things, and how the agent knows who asks.
@Suite struct ControlAccessTests {
    @Test func strangersMayReadButNotChange() throws {
        // Root may always change things, so the rule itself is asked.
        let access = ControlAccess(ownUser: 100, group: 50)
        #expect(access.mayChange(PeerCredentials(uid: 0, gid: 0)))
        #expect(access.mayChange(PeerCredentials(uid: 100, gid: 9)))
        #expect(access.mayChange(PeerCredentials(uid: 200, gid: 50)))
        #expect(!access.mayChange(PeerCredentials(uid: 200, gid: 9)))
        #expect(!ControlAccess(ownUser: 100, group: nil).mayChange(PeerCredentials(uid: 200, gid: 9)))
        #expect(access.mayChange(PeerCredentials(uid: 200, gid: 9, groups: [8, 50])))
        #expect(!access.mayChange(PeerCredentials(uid: 200, gid: 9, groups: [8, 51])))
    }

    /// Members of the group are known without /proc, of which the unit hides the processes of others.
    @Test(.enabled(if: geteuid() == 0), arguments: [0, 2, 32, 500])
    func theGroupsOfACallerAreTheKernels(count: Int) throws {
        var before = [gid_t](repeating: 0, count: 65_536)
        let length = getgroups(Int32(before.count), &before)
        try #require(length >= 0)
        let groups = (0..<count).map { gid_t(4000 + $0) }
        var ends: [Int32] = [-1, -1]
        try #require(setgroups(groups.count, groups) == 0)
        let made = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
        #expect(setgroups(Int(length), before) == 0)
        try #require(made == 0)
        defer { for end in ends { close(end) } }
        #expect(try PeerCredentials(ends[0]) == PeerCredentials(uid: geteuid(), gid: getegid(), groups: groups))
    }

    @Test func whoCannotBeKnownMayNotChange() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        #expect(throws: SystemError.self) { try PeerCredentials(descriptor) }
    }
}
