import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A machine that comes back with an old copy of its state file: from a backup, or from a snapshot of the machine.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct OldStateTests {
    /// Such a voter has forgotten promises. It must find out, take a new boot, and never vote again under this id
    /// unless the group takes it in anew (§1).
    @Test func aVoterOnAnOldStateFileGivesItsVoteUp() throws {
        try withThreeVoters { group, stage in
            let file = group.directory.state(3) + "/state"
            let old = try Files.read(file)
            #expect(try StoredStateCodec.decode(old).mayVote)

            // Two boots later the copy comes back: it repeats a boot that others know.
            for _ in 1...2 {
                stage.kill(3)
                try stage.join([3])
            }
            let before = try stage.currentView()
            let booted = try #require(group.status(3)?.boot)
            stage.kill(3)
            try DurableFile.replace(file, with: old)
            let repeated = try StoredStateCodec.decode(old).process.boot.next
            #expect(repeated < Boot(booted), "the copy must be older than what the others know")

            group.want(3)
            try stage.wait("node 3 is back with a boot of its own") {
                guard let status = group.status(3) else { return false }
                return status.boot > booted && status.clientsResumed
            }
            #expect(group.node(3).lastExit == 75)
            let after = try StoredStateCodec.decode(try Files.read(file))
            #expect(!after.mayVote, "it may have promised what it no longer knows")
            #expect(group.status(3)?.waits.contains { $0.kind == "noVote" } == true, "a person is told")
            let view = try stage.currentView()
            #expect(view.server == before.server && view.tenure.epoch == before.tenure.epoch, "nothing moves")
        }
    }
}
