import CsnapRuntime
import CsnapSandbox
import Foundation
import Glibc
import Testing

/// Another way to a file, on FUSE, all of whose requests fail with EIO while told to. Needs root, as `HeldDisk` does.
private final class FailingDisk {
    let path: String
    private let directory: String
    private let trigger: String
    private let programs: [SystemTool]

    init(of file: String, in directory: String) throws {
        self.directory = directory
        path = directory + "/failing.image"
        trigger = directory + "/failing.now"
        let socket = directory + "/failing.sock"
        let listens = directory + "/failing.pid"
        let server = try SystemTool(
            "nbdkit",
            [
                "-f", "-P", listens, "-U", socket, "--filter=error", "file", file, "error=EIO", "error-rate=100%",
                "error-file=\(trigger)",
            ])
        try waitUntil("nbdkit listens", seconds: 30) { access(listens, F_OK) == 0 }
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        programs = [server, try SystemTool("nbdfuse", [path, "nbd+unix:///?socket=\(socket)"])]
        try waitUntil("nbdfuse shows the file", seconds: 30) {
            var status = stat()
            return stat(path, &status) == 0 && status.st_size > 0
        }
    }

    func fail() { _ = FileManager.default.createFile(atPath: trigger, contents: nil) }
    func heal() { unlink(trigger) }

    /// Nobody may use it any more.
    func close() {
        heal()
        _ = try? SystemTool.output("umount", [path], in: directory)
        for program in programs.reversed() { program.end() }
    }
}

/// A group with two volumes, one of whose stores fails on every node: the other goes on, and `why` names the first.
@Suite(.serialized, .enabled(if: HeldDisk.isPossible), .timeLimit(.minutes(5)))
struct LeftOutVolumeTests {
    private static let logs = "logs"

    private final class Story {
        let group: SandboxGroup
        let stage: Stage
        let disk: FailingDisk?

        /// `withDisk`: the second volume's store lies on a disk that can fail.
        init(withDisk: Bool) throws {
            let options = SandboxOptions(nodes: 3, profile: "fast", binaries: Tool.binaries)
            group = try SandboxGroup(options, volumes: [SandboxGroup.volume, LeftOutVolumeTests.logs])
            stage = Stage(group: group) { _ in }
            let store = group.directory.store(of: LeftOutVolumeTests.logs)
            let disk = withDisk ? try FailingDisk(of: store, in: group.directory.path) : nil
            self.disk = disk
            if let disk {
                for node in 1...3 { try group.directory.lead(node, to: "store", from: store, by: disk.path) }
            }
            try stage.found(1)
            try stage.join([2, 3])
            try stage.waitForVoters()
            try stage.startLoads()
        }

        func end() {
            stage.stopLoads()
            stage.stopFollowers()
            group.stopProcesses()
            disk?.close()
            group.end()
        }

        func device() throws -> NBDClient {
            try NBDClient(
                path: group.directory.volumeSocket(2, LeftOutVolumeTests.logs), export: "origin",
                cancelled: { Interruption.isRequested })
        }

        /// The first volume is served again, on all nodes, and `why` of each names the other one.
        func expectLeftOut() throws {
            try stage.wait("all nodes are served without the volume") {
                (1...3).allSatisfy { node in
                    guard let view = self.stage.view(of: node), view.isActive, view.resumed else { return false }
                    let waits = try? AgentCaller(path: self.group.directory.controlSocket(node)).why()
                    return waits?.contains { $0.kind == "volumeLeftOut" && $0.text.contains("of logs wait") } == true
                }
            }
            try stage.waitForWrites()
            let list = try Program.csnapctl(["volume", "list", "--socket", group.directory.controlSocket(2)])
            #expect(list.code == 0 && list.output.contains("\(SandboxGroup.volume)\t"), "\(list.output)")
            #expect(list.output.contains("logs\tthe server serves without volume 'logs'"), "\(list.output)")
            let status = try #require(group.status(2))
            #expect(status.clients.first { $0.volume == LeftOutVolumeTests.logs }?.connected == false)
            do {
                _ = try AgentCaller(path: group.directory.controlSocket(3)).createSnapshot(
                    LeftOutVolumeTests.logs, "refused")
                Issue.record("a snapshot of a volume that is not served")
            } catch ControlError.refused(let code, _) {
                #expect(code == "leftOut")
            }
        }

        /// The disk is repaired: another node's server takes all volumes.
        func expectBackAfterTransfer() throws {
            // A node whose server failed is not eligible for some seconds.
            try stage.wait("another node takes the service over") {
                let server = try self.stage.serverNow()
                do {
                    try self.group.command(server, "Transfer", ["node": .integer(Int64(1 + server % 3))])
                    return true
                } catch is ControlError {
                    return false
                }
            }
            try stage.wait("nothing waits for the volume") {
                (1...3).allSatisfy { node in
                    let waits = try? AgentCaller(path: self.group.directory.controlSocket(node)).why()
                    let view = self.stage.view(of: node)
                    return waits?.contains { !$0.warning } == false && view?.isActive == true && view?.resumed == true
                }
            }
            try stage.waitForWrites()
        }
    }

    @Test func aStoreThatFailsStopsItsOwnVolumeOnly() throws {
        let story = try Story(withDisk: true)
        defer { story.end() }
        let stage = story.stage
        let socket = story.group.directory.volumeSocket(2, Self.logs)
        let load = CyclicLoad(node: 2, sockets: [socket], periodMilliseconds: 3)
        defer { load.stop() }
        try stage.wait("the load writes to logs") { load.isFilled }
        _ = try AgentCaller(path: story.group.directory.controlSocket(1)).createSnapshot(Self.logs, "before")
        // The next copy finds it.
        try stage.fault("the store of logs fails everywhere") { story.disk?.fail() }
        try stage.waitForNewTenure()
        try story.expectLeftOut()
        let done = load.acknowledged
        try stage.waitForWrites()
        #expect(load.acknowledged == done && load.error == nil, "its writes wait")

        story.disk?.heal()
        try story.expectBackAfterTransfer()
        try stage.wait("the load on logs goes on") { load.acknowledged > done }
        load.stop()
        #expect(load.error == nil)
        let device = try story.device()
        let image = try device.read(offset: load.model.base, count: CyclicModel.regionSize)
        #expect(load.model.fault(in: image, least: load.acknowledged, most: load.issued) == nil)
        device.disconnect()
        #expect(stage.failures == [])
        for node in 1...3 { #expect(stage.loads[node]?.snapshot.errors == []) }
    }

    @Test func aStoreThatIsGoneStopsItsOwnVolumeOnly() throws {
        let story = try Story(withDisk: false)
        defer { story.end() }
        let stage = story.stage
        let store = story.group.directory.store(of: Self.logs)
        try stage.fault("the store of logs is gone, and no server has it open") {
            try FileManager.default.moveItem(atPath: store, toPath: store + ".away")
            for node in 1...3 { story.group.node(node).signalServer(SIGKILL) }
        }
        try stage.waitForNewTenure()
        try story.expectLeftOut()
        try FileManager.default.moveItem(atPath: store + ".away", toPath: store)
        try story.expectBackAfterTransfer()
        #expect(stage.failures == [])
        for node in 1...3 { #expect(stage.loads[node]?.snapshot.errors == []) }
    }
}
