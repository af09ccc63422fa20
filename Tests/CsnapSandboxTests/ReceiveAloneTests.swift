import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Synchronization
import Testing

/// While node 1 receives a stream, node 2's client is kept waiting by the record in the store, whatever becomes of the
/// server and of the receiver (docs/decisions/0085-receive-has-the-origin-alone.md).
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct ReceiveAloneTests {
    static let mebibyte = 1 << 20
    /// What is looked at; behind it there are zeros.
    static let looked = 6 * mebibyte

    /// `csnapctl snapshot receive` on node 1, and the stream that it is given by hand.
    final class Receiver {
        let uuid: Bits128
        private let process = Process()
        private let input = Pipe()
        private let said = Pipe()
        private var stream: StreamWriter

        init(_ name: String, _ number: UInt64, _ group: SandboxGroup) throws {
            uuid = Bits128(high: 1, low: number)
            process.executableURL = URL(fileURLWithPath: Tool.directory + "/csnapctl")
            process.arguments = ["snapshot", "receive", "--socket", group.directory.controlSocket(1)]
            process.standardInput = input
            process.standardOutput = said
            process.standardError = said
            try process.run()
            let header = StreamHeader(
                cluster: .zero, volume: "data", snapshot: uuid, name: name, created: 0, base: .zero,
                size: SandboxGroup.originSize, chunkSize: 65536, start: 0)
            stream = try StreamWriter(header) { [input] in try input.fileHandleForWriting.write(contentsOf: $0) }
        }

        deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

        func put(_ frame: StreamFrame) throws { try stream.put(frame) }

        /// Random bytes for one mebibyte, in the stream and in the model.
        func put(_ index: Int, _ model: inout Data) throws {
            var bytes = [UInt8](repeating: 0, count: mebibyte)
            arc4random_buf(&bytes, mebibyte)
            try put(.data(offset: UInt64(index * mebibyte), bytes))
            model.replaceSubrange(index * mebibyte..<(index + 1) * mebibyte, with: bytes)
        }

        /// It is killed, or reads its stream to the end.
        func end(by signal: Int32? = nil) throws -> Program.Run {
            if let signal { kill(process.processIdentifier, signal) }
            try input.fileHandleForWriting.close()
            let output = said.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return Program.Run(code: process.terminationStatus, output: String(decoding: output, as: UTF8.self))
        }
    }

    /// Writes blocks to node 2's origin, one after the other, on a thread of its own.
    final class Writer: Sendable {
        private let begun = Atomic<Bool>(false)
        private let done = Atomic<Int>(0)
        private let outcome = Mutex<String?>(nil)

        /// The first one is on its way.
        var isWriting: Bool { begun.load(ordering: .sequentiallyConsistent) }
        var written: Int { done.load(ordering: .sequentiallyConsistent) }
        /// Nil while it writes; else empty, or what ended it.
        var ended: String? { outcome.withLock { $0 } }

        init(_ blocks: [BlockPattern], _ path: String) {
            Thread.detachNewThread { [self] in
                var said = ""
                do {
                    let device = try NBDClient(path: path, export: "origin") { Interruption.isRequested }
                    begun.store(true, ordering: .sequentiallyConsistent)
                    for block in blocks {
                        try device.write(block.bytes, offset: block.offset)
                        done.add(1, ordering: .sequentiallyConsistent)
                    }
                    try device.flush()
                    device.disconnect()
                } catch {
                    said = "\(error)"
                }
                outcome.withLock { $0 = said }
            }
        }
    }

    /// Two nodes, of which the first has the store's only voter, and an origin that is not empty.
    final class Story {
        let group: SandboxGroup
        let stage: Stage
        var model = Data(count: looked)

        /// Returns when both nodes' clients are welcome.
        init() throws {
            group = try SandboxGroup(SandboxOptions(nodes: 2, profile: "fast", binaries: Tool.binaries))
            stage = Stage(group: group) { _ in }
            try stage.found(1)
            try stage.join([2])
            try stage.wait("both clients are welcome") { try self.caller.volume("data").sessions == 2 }
            let device = try open("origin", on: 2)
            model = Data((0..<looked).map { UInt8(truncatingIfNeeded: $0 / 4096 + 1) })
            try device.write([UInt8](model), offset: 0)
            try device.flush()
            device.disconnect()
        }

        func end() {
            stage.stopFollowers()
            group.end()
        }

        /// Returns when the node's client offers it.
        private func open(_ export: String, on node: Int) throws -> NBDClient {
            var device: NBDClient?
            try stage.wait("node \(node) offers \(export)") {
                device = try? NBDClient(path: self.group.directory.volumeSocket(node), export: export) {
                    Interruption.isRequested
                }
                return device != nil
            }
            return try #require(device)
        }

        /// Of the node that serves.
        var caller: AgentCaller {
            get throws { try AgentCaller(path: group.directory.controlSocket(try server())) }
        }

        func server() throws -> Int {
            var server = 0
            try stage.wait("a node serves") {
                let view = try self.stage.currentView()
                server = view.server ?? 0
                return view.isActive && view.resumed && server > 0
            }
            return server
        }

        /// What node 2's agent knows of its client.
        private func client() throws -> ClientStatus? {
            try AgentCaller(path: group.directory.controlSocket(2)).status().clients.first
        }

        func stopClient() throws {
            group.node(2).hold(true)
            group.node(2).signalClient(SIGTERM)
            try stage.wait("node 2 has no client") {
                try self.client() == nil && self.group.node(2).clientPid == nil
            }
            try stage.wait("the server knows of one client") { try self.caller.volume("data").sessions == 1 }
        }

        /// Starts node 2's client and lets it write; returns when it waits.
        func beginWriting(_ places: [Int]) throws -> Writer {
            group.node(2).hold(false)
            try open("origin", on: 2).disconnect()
            let blocks = places.map { BlockPattern(node: 2, sequence: 1, offset: UInt64($0)) }
            let writer = Writer(blocks, group.directory.volumeSocket(2))
            try expectWaiting(writer)
            return writer
        }

        func expectWaiting(_ writer: Writer) throws {
            try stage.wait("node 2 writes, and its client may") {
                try self.client()?.suspended == false && (writer.isWriting || writer.ended != nil)
            }
            #expect(writer.written == 0 && writer.ended == nil, "\(writer.ended ?? "")")
            #expect(try caller.volume("data").sessions == 1, "node 1's client alone is welcome")
            for node in 1...2 {
                let why = try AgentCaller(path: group.directory.controlSocket(node)).why()
                #expect(why.contains { $0.kind == "receiving" && $0.nodes == [1] }, "node \(node): \(why)")
            }
        }

        /// The node's client goes on: what it wrote is in the model now.
        func expectDone(_ writer: Writer, _ places: [Int]) throws {
            try stage.wait("node 2 has written") { writer.ended != nil }
            #expect(writer.ended == "" && writer.written == places.count)
            for place in places {
                let bytes = BlockPattern(node: 2, sequence: 1, offset: UInt64(place)).bytes
                model.replaceSubrange(place..<place + bytes.count, with: bytes)
            }
            try expect("origin", model)
            #expect(try !caller.why().contains { $0.kind == "receiving" })
            #expect(try caller.volume("data").sessions == 2)
        }

        /// On both nodes.
        func expect(_ export: String, _ model: Data) throws {
            for node in 1...2 {
                let device = try open(export, on: node)
                let isRight = model == Data(try device.read(offset: 0, count: looked))
                #expect(isRight, "\(export) on node \(node)")
                device.disconnect()
            }
        }
    }

    /// In what was received, in what is still to come, and in zeros.
    private static let places = [4096, 3 * mebibyte + 65536, 5 * mebibyte]

    @Test func anotherNodesClientWaitsUntilItIsReceived() throws {
        let story = try Story()
        defer { story.end() }
        try story.stopClient()
        let receiver = try Receiver("monday", 1, story.group)
        for index in 0..<2 { try receiver.put(index, &story.model) }
        try story.stage.wait("it is being received") { try story.caller.volume("data").revert != nil }
        let writer = try story.beginWriting(Self.places)
        #expect(throws: (any Error).self, "no snapshot but that of the stream") {
            try story.caller.createSnapshot("data", "other")
        }
        // Another server knows it from the store; node 2 counts as back, or nobody could go on.
        let tenure = try story.stage.currentView().tenure
        story.group.node(try story.server()).signalServer(SIGKILL)
        try story.stage.waitForTenure(above: tenure)
        try story.expectWaiting(writer)
        let admitted = try story.caller.status().admissions
        #expect(admitted.allSatisfy { $0.status == "admitted" }, "\(admitted)")
        try receiver.put(.zeros(offset: UInt64(2 * Self.mebibyte), count: UInt64(Self.mebibyte)))
        try receiver.put(3, &story.model)
        let rest = UInt64(4 * Self.mebibyte)
        try receiver.put(.zeros(offset: rest, count: SandboxGroup.originSize - rest))
        try receiver.put(.end)
        story.model.resetBytes(in: 2 * Self.mebibyte..<3 * Self.mebibyte)
        story.model.resetBytes(in: Int(rest)..<Self.looked)
        let received = story.model
        let run = try receiver.end()
        #expect(run.code == 0, "\(run.output)")
        try story.expectDone(writer, Self.places)
        try story.expect("snap/monday", received)
    }

    @Test func aReceiverThatDiesKeepsItWaitingUntilItsNodeGivesUp() throws {
        let story = try Story()
        defer { story.end() }
        try story.stopClient()
        let receiver = try Receiver("monday", 1, story.group)
        for index in 0..<2 { try receiver.put(index, &story.model) }
        let origin = try FileHandle(forReadingFrom: URL(fileURLWithPath: story.group.directory.origin))
        try story.stage.wait("two mebibytes are received") {
            try origin.seek(toOffset: 0)
            return try origin.read(upToCount: Self.looked) == story.model
        }
        _ = try receiver.end(by: SIGKILL)
        let writer = try story.beginWriting(Self.places)
        #expect(try story.caller.snapshots("data").isEmpty)
        // Node 1's client lives, so only node 1 may give it up.
        let other = try AgentCaller(path: story.group.directory.controlSocket(2))
        do {
            try other.endRevert("data", receiver.uuid.hex)
            Issue.record("node 2 gave up what node 1's client may still write")
        } catch ControlError.refused(let code, let message) {
            #expect(code == "otherClients" && message.contains("node 1"), "\(code): \(message)")
        }
        #expect(writer.written == 0 && writer.ended == nil)
        let abandon = ["snapshot", "receive", "--abandon", "--socket", story.group.directory.controlSocket(1)]
        var abandoned = Program.Run(code: 4, output: "")
        try story.stage.wait("the dead receiver's connection has ended") {
            abandoned = try Program.csnapctl(abandon)
            return abandoned.code != 4
        }
        #expect(abandoned.code == 0 && abandoned.output.contains("given up"), "\(abandoned.output)")
        try story.expectDone(writer, Self.places)
        #expect(try story.caller.snapshots("data").isEmpty)
    }
}
