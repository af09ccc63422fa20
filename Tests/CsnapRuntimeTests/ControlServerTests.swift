import CsnapCore
import CsnapRuntime
import CsnapSession
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// An agent that does what the test says.
private final class FakeHost: ControlHost {
    let commands = Mutex<[ControlCommand]>([])
    let outcome = Mutex<OperatorOutcome>(.done)
    private let log = Mutex<[EventItem]>([])
    private let watchers = Mutex<[Int: @Sendable () -> Void]>([:])

    func status(_ answer: @escaping @Sendable (StatusReport) -> Void) {
        var status = StatusReport(cluster: "test", node: 7, boot: 3)
        status.waits = [WaitReport(kind: "noQuorum", seconds: 2, nodes: [1], text: "No server.", remedy: "Wait.")]
        answer(status)
    }

    func why(_ answer: @escaping @Sendable ([WaitReport]) -> Void) { status { answer($0.waits) } }

    let metricsText = Mutex("csnap_test 1\n")
    let metricsCalls = Atomic(0)

    func metrics(_ answer: @escaping @Sendable (String) -> Void) {
        metricsCalls.add(1, ordering: .relaxed)
        answer(metricsText.withLock { $0 })
    }

    func perform(_ command: ControlCommand, _ answer: @escaping @Sendable (OperatorOutcome) -> Void) {
        commands.withLock { $0.append(command) }
        answer(outcome.withLock { $0 })
    }

    let snapshotCommands = Mutex<[SnapshotCommand]>([])
    let snapshotOutcome = Mutex<CommandOutcome>(.done)

    func perform(
        _ command: SnapshotCommand, _ answer: @escaping @Sendable (Result<CommandOutcome, ControlError>) -> Void
    ) {
        snapshotCommands.withLock { $0.append(command) }
        answer(.success(snapshotOutcome.withLock { $0 }))
    }

    func events(after cursor: UInt64?, limit: Int) -> EventPage {
        let all = log.withLock { $0 }
        let missed = cursor.map { cursor in all.first.map { $0.cursor > cursor + 1 } ?? false } ?? false
        let wanted = all.filter { $0.cursor > cursor ?? 0 }
        return EventPage(events: Array(wanted.prefix(limit)), missed: missed, hasMore: wanted.count > limit)
    }

    func watchEvents(_ notify: @escaping @Sendable () -> Void) -> Int {
        watchers.withLock { watchers in
            let token = watchers.count + 1
            watchers[token] = notify
            return token
        }
    }

    func stopWatching(_ token: Int) { watchers.withLock { $0[token] = nil } }

    var watching: Int { watchers.withLock { $0.count } }

    func add(_ cursors: ClosedRange<UInt64>) {
        log.withLock { log in
            for cursor in cursors {
                log.append(EventItem(cursor: cursor, at: Int64(cursor), node: 7, kind: "test", text: "event \(cursor)"))
            }
        }
        for notify in watchers.withLock({ Array($0.values) }) { notify() }
    }
}

/// A server on a socket of its own.
private final class Fixture {
    let host = FakeHost()
    let path = "/tmp/csnap-control-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let server: VarlinkServer

    init(mayChange: Bool = true) throws {
        let access = mayChange ? ControlAccess.system() : ControlAccess(ownUser: .max - 1, group: .max - 1)
        server = try VarlinkServer.start(path: path, group: group, host: host, access: access).wait()
    }

    deinit {
        try? server.close().wait()
        try? group.syncShutdownGracefully()
        unlink(path)
    }
}

private func connected(to path: String) throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = try #require(sockaddr_un(path: path))
    let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    try #require(connected == 0)
    return descriptor
}

/// Talks bytes, for what a well-behaved client never says.
private func exchange(_ path: String, _ bytes: [UInt8]) throws -> [UInt8] {
    let descriptor = try connected(to: path)
    defer { close(descriptor) }
    var sent = 0
    while sent < bytes.count {
        let count = bytes.withUnsafeBytes { buffer in
            send(descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { break }
        sent += count
    }
    shutdown(descriptor, Int32(SHUT_WR))
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return received }
        received += buffer[0..<count]
    }
}

@Suite(.timeLimit(.minutes(2)))
struct ControlServerTests {
    @Test func statusAndWhyAreAnswered() throws {
        let fixture = try Fixture()
        let caller = try AgentCaller(path: fixture.path)
        let status = try caller.status()
        #expect(status.node == 7)
        #expect(status.waits.first?.kind == "noQuorum")
        let why = try caller.client.call("io.csnap.Agent.Why")
        #expect(try JSON.convert(why["waits"] ?? .null, to: [WaitReport].self) == status.waits)
    }

    @Test func theServiceDescribesItself() throws {
        let fixture = try Fixture()
        let client = try VarlinkClient(path: fixture.path)
        let info = try client.call("org.varlink.service.GetInfo")
        #expect(info["interfaces"] == .array([.string("org.varlink.service"), .string("io.csnap.Agent")]))
        let description = try client.call(
            "org.varlink.service.GetInterfaceDescription", ["interface": .string("io.csnap.Agent")])
        #expect(description["description"]?.string?.contains("method SetVoters(voters: []int) -> ()") == true)
        #expect(throws: ControlError.unknownInterface("io.nobody")) {
            try client.call("org.varlink.service.GetInterfaceDescription", ["interface": .string("io.nobody")])
        }
        #expect(throws: ControlError.unknownInterface("io.nobody")) { try client.call("io.nobody.Do") }
        #expect(throws: ControlError.unknownMethod("io.csnap.Agent.Dance")) {
            try client.call("io.csnap.Agent.Dance")
        }
    }

    @Test func commandsReachTheAgentWithTheirArguments() throws {
        let fixture = try Fixture()
        let caller = try AgentCaller(path: fixture.path)
        try caller.command("Found")
        try caller.command("Transfer", ["node": .integer(2)])
        try caller.command("Strike", ["node": .integer(3), "fenced": .bool(true)])
        try caller.command("SetVoters", ["voters": .array([.integer(1), .integer(2), .integer(3)])])
        try caller.command("AddVoters", ["voters": .array([.integer(4), .integer(5)])])
        try caller.command("ReplaceVoter", ["old": .integer(3), "new": .integer(6)])
        #expect(
            fixture.host.commands.withLock { $0 } == [
                .found, .transfer(NodeID(2)), .strike(NodeID(3), fenced: true),
                .voters([NodeID(1), NodeID(2), NodeID(3)]), .addVoters([NodeID(4), NodeID(5)]),
                .replaceVoter(NodeID(3), by: NodeID(6)),
            ])
        #expect(throws: ControlError.invalidParameter("node")) { try caller.command("Transfer") }
        #expect(throws: ControlError.invalidParameter("node")) {
            try caller.command("Strike", ["node": .integer(-1)])
        }
    }

    @Test func aVoterThatLeavesWithoutAReplacementIsTold() throws {
        let fixture = try Fixture()
        let caller = try AgentCaller(path: fixture.path)
        #expect(try caller.leave() == nil)
        fixture.host.outcome.withLock { $0 = .doneButVoter }
        #expect(try caller.leave()?.contains("remains a voter") == true)
    }

    @Test(arguments: [(RefusalCode.noServer, Int32(3)), (.notHolder, 3), (.alreadyInGroup, 4), (.notMember, 4)])
    func refusalsAreTypedAndHaveAnExitCode(code: RefusalCode, exit: Int32) throws {
        let fixture = try Fixture()
        fixture.host.outcome.withLock { $0 = .refused(code) }
        let caller = try AgentCaller(path: fixture.path)
        let error = #expect(throws: ControlError.self) { try caller.command("Found") }
        #expect(error == ControlError(code))
        #expect(error?.exitCode == exit)
    }

    @Test func eventsArePagedInOrder() throws {
        let fixture = try Fixture()
        fixture.host.add(1...200)
        let caller = try AgentCaller(path: fixture.path)
        #expect(try caller.events(since: nil).map(\.cursor) == Array(1...200))
        #expect(try caller.events(since: 150).map(\.cursor) == Array(151...200))
        #expect(try caller.events(since: 200) == [])
    }

    @Test func aFollowerGetsWhatIsKeptAndThenWhatComes() throws {
        let fixture = try Fixture()
        fixture.host.add(1...3)
        let caller = try AgentCaller(path: fixture.path)
        var seen: [UInt64] = []
        try caller.follow(since: 1) { event in
            seen.append(event.cursor)
            if event.cursor == 3 { fixture.host.add(4...5) }
            return event.cursor < 5
        }
        #expect(seen == [2, 3, 4, 5])
        let error = #expect(throws: ControlError.self) {
            try VarlinkClient(path: fixture.path).call("io.csnap.Agent.Events", ["follow": .bool(true)])
        }
        #expect(error == .expectedMore)
    }

    @Test func aFollowerThatMissedEventsIsToldSo() throws {
        let fixture = try Fixture()
        fixture.host.add(100...101)
        let events = try AgentCaller(path: fixture.path).events(since: 5)
        #expect(events.map(\.kind) == ["resync", "test", "test"])
    }

    @Test(arguments: ["not json", "{\"method\": 5}", "[]", String(repeating: "[", count: 100)])
    func garbageIsAnsweredAndCutOff(text: String) throws {
        let fixture = try Fixture()
        let answer = try exchange(fixture.path, Array(text.utf8) + [0])
        #expect(String(decoding: answer, as: UTF8.self).contains("io.csnap.Agent.Malformed"))
    }

    @Test func garbageEndsItsOwnConnectionOnly() throws {
        let fixture = try Fixture()
        let before = try AgentCaller(path: fixture.path)
        #expect(try before.status().node == 7)
        var generator = Generator(seed: 7)
        for _ in 0..<20 {
            let noise = (0..<200).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            _ = try exchange(fixture.path, noise + [0])
        }
        #expect(try before.status().node == 7, "a caller that was there before is still answered")
        #expect(fixture.host.commands.withLock { $0 } == [])
    }

    @Test func metricsAreText() throws {
        let fixture = try Fixture()
        let answer = try VarlinkClient(path: fixture.path).call("io.csnap.Agent.GetMetrics")
        #expect(answer["text"] == .string("csnap_test 1\n"))
    }

    @Test func aCallThatNeverEndsIsCutOff() throws {
        let fixture = try Fixture()
        let answer = try exchange(fixture.path, [UInt8](repeating: 0x20, count: ControlLimits.call + 1000))
        #expect(String(decoding: answer, as: UTF8.self).contains("longer than"))
        #expect(try AgentCaller(path: fixture.path).status().node == 7)
    }

    @Test func aCallerThatDoesNotReadIsNotAnswered() throws {
        let fixture = try Fixture()
        fixture.host.metricsText.withLock { $0 = String(repeating: "x", count: 10_000) }
        let descriptor = try connected(to: fixture.path)
        defer { close(descriptor) }
        let padding = String(repeating: " ", count: 4000)
        let call = Array(#"{"method":"io.csnap.Agent.GetMetrics"\#(padding)}"#.utf8) + [0]
        let calls = [UInt8]((0..<400).map { _ in call }.joined())
        var sent = 0
        func send(within milliseconds: Int32) -> Bool {
            var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard sent < calls.count, poll(&polled, 1, milliseconds) > 0 else { return false }
            let rest = Array(calls[sent...])
            sent += max(0, Glibc.send(descriptor, rest, rest.count, Int32(MSG_DONTWAIT)))
            return true
        }
        while send(within: 2000) {}
        #expect(sent < calls.count, "it is not read either")
        #expect(fixture.host.metricsCalls.load(ordering: .relaxed) < 100)
        #expect(try AgentCaller(path: fixture.path).status().node == 7, "others are answered")
        // It reads after all.
        var answers = 0
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while answers < 400 {
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&polled, 1, 30_000) > 0)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            try #require(count > 0)
            answers += buffer[0..<count].count { $0 == 0 }
            _ = send(within: 0)
        }
        #expect(fixture.host.metricsCalls.load(ordering: .relaxed) == 400)
    }

    @Test func manyCallsAtOnceAreAnsweredOneAfterTheOther() throws {
        let fixture = try Fixture()
        let quiet = #"{"method":"org.varlink.service.GetInfo","oneway":true}"# + "\0"
        let loud = #"{"method":"io.csnap.Agent.GetMetrics"}"# + "\0"
        let calls = String(repeating: quiet, count: 2000) + String(repeating: loud, count: 100)
        let answer = try exchange(fixture.path, Array(calls.utf8))
        #expect(answer.count { $0 == 0 } == 100)
    }

    @Test func onewayCallsGetNoReply() throws {
        let fixture = try Fixture()
        let calls = #"{"method":"io.csnap.Agent.Disable","oneway":true}"# + "\0" + #"{"method":"io.csnap.Agent.Why"}"#
        let answer = try exchange(fixture.path, Array(calls.utf8) + [0])
        #expect(answer.count { $0 == 0 } == 1)
        #expect(fixture.host.commands.withLock { $0 } == [.disable])
    }
}

@Suite struct ControlWordsTests {
    @Test func everyKeyOfTheStatusIsInTheInterfaceDescription() throws {
        var status = StatusReport(cluster: "a", node: 1, boot: 1)
        status.clusterUUID = "u"
        status.serverPid = 1
        status.server = 1
        status.serverBoot = 1
        status.serviceAddress = "a"
        status.leaseRemaining = 1.5
        status.pendingVoters = [1]
        status.promise = PromiseReport(epoch: 1, node: 1, boot: 1, released: false, remaining: 0.5)
        guard case .object(let fields) = try JSON.value(status) else {
            Issue.record("no object")
            return
        }
        for key in fields.keys {
            #expect(InterfaceDescription.agent.contains("\(key): "), "\(key) is not described")
        }
    }

    @Test func everyRefusalNamesARemedy() {
        for raw in UInt8(0)...12 {
            let code = RefusalCode(rawValue: raw)
            #expect(code.map { ControlError($0).description.count > 20 } == true, "code \(raw)")
        }
    }

    @Test func everyKindOfWaitHasAnAgeAndARemedy() throws {
        for raw in UInt8(0)...28 {
            let kind = try #require(Wait.Kind(rawValue: raw))
            let now = Instant(nanoseconds: 5_000_000_000)
            let wait = Wait(kind: kind, since: Instant(nanoseconds: 2_000_000_000), nodes: [NodeID(3)])
            let agent = Agent(settings: .sample, stored: nil, at: now)
            let report = WaitReport(wait, of: agent.status(at: now), at: now)
            #expect(report.kind == "\(kind)")
            #expect(report.seconds == 3)
            #expect(!report.remedy.isEmpty && report.text.hasSuffix("."))
            #expect(report.warning == kind.isWarning)
        }
        #expect(Wait.Kind(rawValue: 29) == nil, "a new kind needs its words and its test")
    }

    @Test func aMissingMajorityIsCountedInBothSetsOfAChange() {
        let now = Instant(nanoseconds: 5_000_000_000)
        var stored = StoredState(
            process: NodeBoot(node: NodeID(1), boot: Boot(1)), machineID: .zero, kernelBootID: .zero, startBits: .zero)
        stored.committed = VoterSet(version: 1, voters: [NodeID(1)])
        let pending = VoterSet(version: 2, voters: [1, 2, 3].map { NodeID($0) })
        stored.pending = PendingVoterSet(epoch: Epoch(1), set: pending)
        let status = Agent(settings: .sample, stored: stored, at: now).status(at: now)
        let report = WaitReport(Wait(kind: .noQuorum, since: now, nodes: [NodeID(2), NodeID(3)]), of: status, at: now)
        #expect(report.text.contains("1 of 1 voters and 2 of the 3 to come"))
    }

    @Test func aStrangerIsNamedWithItsAddressAndARemedy() {
        let address = Address.ipv4(192, 0, 2, 13, port: 7411)
        let now = Instant(nanoseconds: 5_000_000_000)
        for (reason, kind) in [(DropReason.stranger, "wrongKey"), (.timers, "timers"), (.version, "wireVersion")] {
            let stranger = Stranger(
                address: address, reason: reason, since: Instant(nanoseconds: 2_000_000_000), heardAt: now)
            let report = WaitReport(stranger, at: now)
            #expect(report.kind == kind && report.seconds == 3 && report.warning)
            #expect(report.text.contains("192.0.2.13:7411") && !report.remedy.isEmpty)
        }
    }
}

extension AgentSettings {
    fileprivate static let sample = AgentSettings(
        process: NodeBoot(node: NodeID(1), boot: Boot(1)), startBits: Bits128(high: 1, low: 2),
        machineID: .zero, kernelBootID: .zero, address: .ipv4(127, 0, 0, 1, port: 7411), peers: [], serves: true,
        hasVolumes: false, timing: .fast, maximumVoters: 5, seed: 1, livingClients: [], previousServerProvenDead: false)
}
