import CsnapCore
import Testing

/// Which epochs a store must have seen (docs/data-plane.md, "Snapshot store").
@Suite struct ActiveEpochsTests {
    private let a = VolumeDigest(name: "a")
    private let b = VolumeDigest(name: "b")

    private func last(_ epochs: ActiveEpochs, of volume: VolumeDigest) -> Epoch {
        max(epochs.ofAll, epochs.volumes.first { $0.volume == volume }?.epoch ?? .none)
    }

    @Test func eachVolumeHasItsOwn() {
        var epochs = ActiveEpochs()
        epochs.note(Epoch(3), volumes: [a, b])
        epochs.note(Epoch(5), volumes: [a])
        epochs.note(Epoch(4), volumes: [a])
        #expect(last(epochs, of: a) == Epoch(5))
        #expect(last(epochs, of: b) == Epoch(3))
        #expect(last(epochs, of: VolumeDigest(name: "c")) == .none)
    }

    @Test func anEpochOfUnknownVolumesCountsForAllUntilTheyAreNamed() {
        var epochs = ActiveEpochs()
        epochs.note(Epoch(3), volumes: nil)
        epochs.note(Epoch(5), volumes: nil)
        #expect(last(epochs, of: b) == Epoch(5))
        epochs.note(Epoch(5), volumes: [a])
        #expect(last(epochs, of: a) == Epoch(5))
        #expect(last(epochs, of: b) == Epoch(3), "what was known before still counts")
        // A late Renew takes nothing back.
        epochs.note(Epoch(5), volumes: nil)
        epochs.note(Epoch(4), volumes: nil)
        #expect(last(epochs, of: b) == Epoch(3))
    }

    @Test func moreVolumesThanAreRememberedCountForAll() {
        var epochs = ActiveEpochs()
        for number in UInt32(1)...UInt32(Limits.rememberedVolumes) {
            epochs.note(Epoch(1), volumes: [VolumeDigest(number)])
        }
        #expect(epochs.ofAll == .none)
        epochs.note(Epoch(2), volumes: [VolumeDigest(1000)])
        #expect(epochs.ofAll == Epoch(2))
        #expect(epochs.volumes.count == Limits.rememberedVolumes)
    }

    /// By gossip the successor knows what the server before it served, and asks no more of the others.
    @Test(arguments: [["a"], nil]) func theSuccessorsServerIsToldByVolume(served: [String]?) throws {
        var group = AgentGroup(nodes: [1, 2, 3])
        for node in UInt32(1)...3 {
            group.servedVolumes[node] = served
            group.start(node)
        }
        group.command(.found(cluster: Bits128(high: 42, low: 42)), at: 1)
        for node in UInt32(1)...3 { group.attachClient(node) }
        #expect(
            group.run(.seconds(30)) { group in
                (1...3).allSatisfy { node in
                    group.status(node)?.clientsResumed == true && group.status(node)?.committed?.voters.count == 3
                }
            })
        let before = try #require(group.starts[1]?.last?.tenure.epoch)
        group.crash(1)
        #expect(group.run(.seconds(30)) { $0.activeServers == [2] })
        let start = try #require(group.starts[2]?.last)
        #expect(start.lastActive(of: "a") == before)
        #expect(start.lastActive(of: "b") == (served == nil ? before : .none))
    }

    /// A store that was put back while no agent ran must not pass for the present one.
    @Test func whatAVolumeHasSeenOutlivesAllAgents() throws {
        var group = AgentGroup(nodes: [1, 2, 3])
        for node in UInt32(1)...3 {
            group.servedVolumes[node] = ["a"]
            group.start(node)
        }
        group.command(.found(cluster: Bits128(high: 42, low: 42)), at: 1)
        for node in UInt32(1)...3 { group.attachClient(node) }
        func isReady(_ group: AgentGroup) -> Bool {
            (1...3).allSatisfy {
                group.status($0)?.clientsResumed == true && group.status($0)?.committed?.voters.count == 3
            }
        }
        let wasReady = group.run(.seconds(30), until: isReady)
        #expect(wasReady)
        let before = try #require(group.starts[1]?.last?.tenure.epoch)
        for node in UInt32(1)...3 { group.crash(node) }
        for node in UInt32(1)...3 { group.start(node) }
        let isBack = group.run(.seconds(30)) { !$0.activeServers.isEmpty }
        #expect(isBack)
        let server = try #require(group.activeServers.first)
        let start = try #require(group.starts[server]?.last)
        #expect(start.tenure.epoch > before && start.lastActive(of: "a") == before)
    }
}
