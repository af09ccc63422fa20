import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Testing

/// A living client daemon between a fake agent and a fake server, and NBD peers.
@Suite(.serialized) struct ClientDaemonTests {
    let one = ClientRig.tenure(1)
    let two = ClientRig.tenure(2)
    let block = [UInt8](repeating: 0xA5, count: 4096)
    /// How long a request must stay unanswered to count as held.
    let held: Int32 = 300

    @Test(arguments: DiskEngine.allCases) func aWriteWaitsForResumeLeaseAndGrant(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        rig.server.set { $0.grants = false }
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 65536)
        #expect(rig.attach(one))
        #expect(!peer.hasReply(within: held))
        rig.agent.say(.resume(one))
        #expect(!peer.hasReply(within: held))
        rig.agent.say(.lease(one, until: BootClock.now() + .seconds(3600)))
        #expect(eventually { !rig.server.queries.isEmpty })
        #expect(rig.server.queries[0].ranges == [ChunkRange(first: 1, count: 1)])
        #expect(!peer.hasReply(within: held))
        #expect(rig.stored(65536, 4096) == [UInt8](repeating: 0, count: 4096))
        rig.server.grantAll()
        #expect(peer.reply() == 0)
        #expect(rig.stored(65536, 4096) == block)
        peer.write(block, at: 65536 + 4096)
        #expect(peer.reply() == 0)
        #expect(rig.server.queries.count == 1)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func theEndOfTheLeaseHoldsRequestsWithoutError(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.resume(one, lease: .milliseconds(500))
        let reader = NBDPeer(rig.socket)
        let writer = NBDPeer(rig.socket)
        let over = BootClock.now() + .milliseconds(500)
        #expect(eventually { BootClock.now() > over })
        writer.write(block, at: 0)
        reader.request(0, offset: 0, length: 512)
        #expect(!writer.hasReply(within: held))
        #expect(!reader.hasReply(within: held))
        #expect(rig.stored(0, 4096) == [UInt8](repeating: 0, count: 4096))
        rig.agent.say(.lease(one, until: BootClock.now() + .seconds(3600)))
        #expect(writer.reply() == 0)
        #expect(reader.reply() == 0)
        writer.end()
        reader.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func aHigherTenureDropsTheSessionAndKeepsRequests(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        rig.agent.say(.suspend(two))
        #expect(rig.agent.heard(.suspended(two, writesInFlight: 0)))
        #expect(eventually { rig.server.openSessions == 0 })
        peer.write(block, at: 1 << 20)
        #expect(!peer.hasReply(within: held))
        rig.agent.say(.resume(one))
        rig.agent.say(.lease(one, until: BootClock.now() + .seconds(3600)))
        rig.agent.say(.server(one, rig.server.address))
        #expect(!peer.hasReply(within: held))
        #expect(rig.server.openSessions == 0)
        #expect(rig.attach(two))
        rig.resume(two)
        #expect(peer.reply() == 0)
        #expect(rig.server.hellos.map(\.tenure) == [one, two])
        #expect(rig.stored(1 << 20, 4096) == block)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func aLostServerIsReportedAndFoundAgain(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        rig.server.set { $0.grants = false }
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(eventually { rig.server.queries.count == 1 })
        rig.server.cut()
        #expect(rig.agent.heard(.lostServer(one)))
        #expect(eventually { rig.server.queries.count == 2 })
        #expect(rig.server.queries[0].request == rig.server.queries[1].request)
        #expect(rig.server.hellos.count == 2)
        rig.server.grantAll()
        #expect(peer.reply() == 0)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func theAgentMayDieAndItsNextBootTakesOver(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        rig.restartAgent()
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        let boot = NodeBoot(node: NodeID(1), boot: Boot(2))
        #expect(eventually { rig.agent.isConnected })
        rig.agent.say(.identity(boot))
        rig.agent.say(.suspend(two))
        #expect(rig.agent.heard(.suspended(two, writesInFlight: 0)))
        peer.write(block, at: 4096)
        #expect(!peer.hasReply(within: held))
        rig.agent.say(.server(two, rig.server.address))
        #expect(rig.agent.heard(.connected(two)))
        rig.resume(two)
        #expect(peer.reply() == 0)
        #expect(rig.server.hellos.map(\.process) == [ClientRig.boot, boot])
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func aServersErrorIsTheWritesError(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        rig.server.set { $0.error = 5 }
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 5)
        rig.server.set { $0.error = 1 }
        peer.write(block, at: 65536)
        #expect(peer.reply() == UInt32(ENOSPC), "behind what the store knows of the origin")
        for cause in ["the server cannot read its origin there", "`csnapctl volume resize v`"] {
            #expect(eventually { rig.log.all.count { $0.contains("a write fails: ") && $0.contains(cause) } == 1 })
        }
        rig.server.set { $0.error = nil }
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func sessionsAreSealedWithTheClusterKey(engine: DiskEngine) throws {
        let rig = try ClientRig(key: [UInt8](repeating: 3, count: 32), engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func aSecondClientSaysWhoHoldsTheVolume(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        do {
            _ = try ClientDaemon(options: ClientRig.options(rig.runtime, origin: rig.origin)) { _ in }
            Issue.record("two clients of one volume")
        } catch {
            #expect("\(error)".contains("process \(getpid())"))
        }
        let peer = NBDPeer(rig.socket)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func heldConnectionsThatLeaveFreeTheirPlaces(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        let peers = (0..<64).map { _ in NBDPeer(rig.socket) }
        #expect(peers.count { $0.isOpen } == 64)
        for peer in peers { peer.write(block, at: 0) }
        let beyond = NBDPeer(rig.socket)
        #expect(!beyond.isOpen)
        beyond.end()
        for peer in peers { peer.end() }
        #expect(
            eventually {
                let peer = NBDPeer(rig.socket)
                defer { peer.end() }
                return peer.isOpen
            })
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func aStopSaysGoodbyeAndRemovesTheSocket(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.daemon.stop()
        #expect(rig.agent.heard(.bye))
        #expect(eventually { access(rig.socket, F_OK) != 0 })
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func trimAndZeroesNeedGrantsToo(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        peer.request(6, flags: 2, offset: 0, length: 2048)
        #expect(peer.reply() == 0)
        #expect(rig.stored(0, 4096) == [UInt8](repeating: 0, count: 2048) + block.suffix(2048))
        #expect(rig.server.queries.count == 1)
        peer.request(6, offset: 1 << 20, length: 1 << 20)
        #expect(peer.reply() == 0)
        peer.request(4, flags: 1, offset: 2 << 20, length: 65536)
        #expect(peer.reply() == 0)
        #expect(rig.server.queries.map(\.ranges).flatMap { $0 }.map(\.first) == [0, 16, 32])
        peer.request(3, offset: 0, length: 0)
        #expect(peer.reply() == 0)
        peer.end()
        #expect(rig.stop())
    }
}
