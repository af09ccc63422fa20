import Glibc

/// A blocking caller of a Varlink service, for command lines and tests.
package final class VarlinkClient {
    private let descriptor: Int32
    private let path: String
    private var framer = VarlinkFramer(limit: ControlLimits.reply)
    private var received: [[UInt8]] = []

    private let cancelled: (() -> Bool)?

    /// Connects; throws `unreachable`, which names the path and the remedy.
    ///
    /// `cancelled` is looked at ten times a second while it waits for a reply; true ends the wait with `unreachable`.
    package init(path: String, cancelled: (() -> Bool)? = nil) throws(ControlError) {
        self.path = path
        self.cancelled = cancelled
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // From here on a throw runs `deinit`, which closes: a second close would hit what another thread just opened.
        guard descriptor >= 0 else { throw .unreachable("no socket: \(VarlinkClient.reason())") }
        guard var address = sockaddr_un(path: path) else {
            throw .unreachable("\(path): the path of a socket has at most 107 bytes")
        }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let why = VarlinkClient.reason()
            throw .unreachable("\(path): \(why). Is csnap-agent running? `systemctl status csnap-agent`")
        }
        guard cancelled != nil else { return }
        var timeout = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Calls and waits for the one reply; throws what the service answered.
    package func call(_ method: String, _ parameters: [String: JSONValue] = [:]) throws -> JSONValue {
        try send(VarlinkCall(method: method, parameters: .object(parameters)))
        return try nextReply().parameters ?? .object([:])
    }

    /// Calls with `more`, hands over each reply; ends after the last one or when `take` returns false.
    package func stream(
        _ method: String, _ parameters: [String: JSONValue] = [:], take: (JSONValue) throws -> Bool
    ) throws {
        try send(VarlinkCall(method: method, parameters: .object(parameters), more: true))
        while true {
            let reply = try nextReply()
            guard try take(reply.parameters ?? .object([:])), reply.continues == true else { return }
        }
    }

    private func send(_ call: VarlinkCall) throws {
        let bytes = try JSON.encode(call) + [0]
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(
                    descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw ControlError.unreachable("\(path): \(VarlinkClient.reason())") }
            sent += count
        }
    }

    private func nextReply() throws -> VarlinkReply {
        while received.isEmpty {
            var buffer = [UInt8](repeating: 0, count: 16_384)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && (errno == EINTR || errno == EAGAIN) {
                guard cancelled?() == true else { continue }
                throw ControlError.unreachable("\(path): no answer: the agent hangs or is stopped")
            }
            guard count > 0 else {
                throw ControlError.unreachable("\(path): the agent closed the connection; it may have ended")
            }
            received = try framer.feed(buffer[0..<count])
        }
        let reply = try JSON.decode(VarlinkReply.self, from: received.removeFirst())
        if let name = reply.error { throw ControlError(name: name, parameters: reply.parameters ?? .null) }
        return reply
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}

extension sockaddr_un {
    /// Nil if the path is longer than the kernel takes.
    package init?(path: String) {
        self.init()
        sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: sun_path) else { return nil }
        withUnsafeMutableBytes(of: &sun_path) { $0.copyBytes(from: bytes) }
    }
}

/// The calls of `io.csnap.Agent`, typed.
package struct AgentCaller {
    package let client: VarlinkClient

    package init(path: String, cancelled: (() -> Bool)? = nil) throws(ControlError) {
        client = try VarlinkClient(path: path, cancelled: cancelled)
    }

    package func status() throws -> StatusReport {
        let reply = try client.call("io.csnap.Agent.GetStatus")
        return try JSON.convert(reply["status"] ?? .null, to: StatusReport.self)
    }

    /// What is waited for, the server's refusals of snapshots among it.
    package func why() throws -> [WaitReport] {
        let reply = try client.call("io.csnap.Agent.Why")
        return try JSON.convert(reply["waits"] ?? .array([]), to: [WaitReport].self)
    }

    package func command(_ name: String, _ parameters: [String: JSONValue] = [:]) throws {
        _ = try client.call("io.csnap.Agent.\(name)", parameters)
    }

    /// What a person should know although it was done, if anything.
    package func leave() throws -> String? { try client.call("io.csnap.Agent.Leave", [:])["note"]?.string }

    // MARK: Snapshots

    /// `uuid` makes the call safe to repeat.
    package func createSnapshot(
        _ volume: String, _ name: String, uuid: String? = nil, priority: Int32 = 0
    ) throws -> SnapshotItem {
        var parameters: [String: JSONValue] = [
            "volume": .string(volume), "name": .string(name), "priority": .integer(Int64(priority)),
        ]
        if let uuid { parameters["uuid"] = .string(uuid) }
        let reply = try client.call("io.csnap.Agent.CreateSnapshot", parameters)
        return try JSON.convert(reply["snapshot"] ?? .null, to: SnapshotItem.self)
    }

    /// A writable image that begins as a snapshot; `uuid` makes the call safe to repeat.
    package func branchSnapshot(
        _ volume: String, _ name: String, as branch: String, uuid: String? = nil
    ) throws -> SnapshotItem {
        var parameters: [String: JSONValue] = [
            "volume": .string(volume), "name": .string(name), "branch": .string(branch),
        ]
        if let uuid { parameters["uuid"] = .string(uuid) }
        let reply = try client.call("io.csnap.Agent.BranchSnapshot", parameters)
        return try JSON.convert(reply["snapshot"] ?? .null, to: SnapshotItem.self)
    }

    /// Of all of them at one instant, or of none.
    package func createSnapshots(
        _ volumes: [String], _ name: String, uuid: String? = nil, priority: Int32 = 0
    ) throws -> [VolumeSnapshotItem] {
        var parameters: [String: JSONValue] = [
            "volumes": .array(volumes.map { .string($0) }), "name": .string(name),
            "priority": .integer(Int64(priority)),
        ]
        if let uuid { parameters["uuid"] = .string(uuid) }
        let reply = try client.call("io.csnap.Agent.CreateSnapshots", parameters)
        return try JSON.convert(reply["snapshots"] ?? .array([]), to: [VolumeSnapshotItem].self)
    }

    /// Begins a revert, or goes on with one to the same snapshot, whose uuid is answered then.
    package func beginRevert(
        _ volume: String, _ name: String, uuid: String = RandomBits.draw().hex
    ) throws -> RevertItem {
        let reply = try client.call(
            "io.csnap.Agent.BeginRevert",
            ["volume": .string(volume), "name": .string(name), "uuid": .string(uuid)])
        return try JSON.convert(reply["revert"] ?? .null, to: RevertItem.self)
    }

    /// Only this node's client has the volume until `endRevert`.
    package func beginReceive(_ volume: String, _ uuid: String) throws -> RevertItem {
        let reply = try client.call(
            "io.csnap.Agent.BeginReceive", ["volume": .string(volume), "uuid": .string(uuid)])
        return try JSON.convert(reply["revert"] ?? .null, to: RevertItem.self)
    }

    /// Makes the snapshot of what was received, which nobody else can have changed since `beginReceive`.
    package func finishReceive(_ volume: String, _ name: String, _ uuid: String) throws -> SnapshotItem {
        let reply = try client.call(
            "io.csnap.Agent.FinishReceive",
            ["volume": .string(volume), "name": .string(name), "uuid": .string(uuid)])
        return try JSON.convert(reply["snapshot"] ?? .null, to: SnapshotItem.self)
    }

    /// Of a revert or a receive.
    package func endRevert(_ volume: String, _ uuid: String) throws {
        try command("EndRevert", ["volume": .string(volume), "uuid": .string(uuid)])
    }

    /// Chunks below `cursor` are written back, durably.
    package func moveRevert(_ volume: String, _ uuid: String, _ cursor: UInt64) throws {
        try command(
            "MoveRevert",
            ["volume": .string(volume), "uuid": .string(uuid), "cursor": .integer(Int64(clamping: cursor))])
    }

    package func snapshots(_ volume: String) throws -> [SnapshotItem] {
        var items: [SnapshotItem] = []
        while true {
            let after = Int64(clamping: items.last?.number ?? 0)
            let reply = try client.call(
                "io.csnap.Agent.ListSnapshots", ["volume": .string(volume), "after": .integer(after)])
            items += try JSON.convert(reply["snapshots"] ?? .array([]), to: [SnapshotItem].self)
            if reply["hasMore"]?.bool != true { return items }
        }
    }

    /// What may differ between the snapshots of these numbers; without `to`, between `from` and the origin. Hands over
    /// page after page.
    package func changes(
        _ volume: String, from: UInt64, to: UInt64?, take: (ChangesItem) throws -> Void
    ) throws {
        var next = UInt64?.some(0)
        while let first = next {
            let page = try changesPage(volume, from: from, to: to, firstChunk: first)
            try take(page)
            next = page.nextChunk
        }
    }

    /// One page of them.
    package func changesPage(
        _ volume: String, from: UInt64, to: UInt64?, firstChunk: UInt64 = 0
    ) throws -> ChangesItem {
        var parameters: [String: JSONValue] = [
            "volume": .string(volume), "from": .integer(Int64(clamping: from)),
            "firstChunk": .integer(Int64(clamping: firstChunk)),
        ]
        if let to { parameters["to"] = .integer(Int64(clamping: to)) }
        let reply = try client.call("io.csnap.Agent.DiffSnapshots", parameters)
        return try JSON.convert(reply["changes"] ?? .null, to: ChangesItem.self)
    }

    package func volume(_ name: String) throws -> VolumeItem {
        let reply = try client.call("io.csnap.Agent.GetVolume", ["volume": .string(name)])
        return try JSON.convert(reply["volume"] ?? .null, to: VolumeItem.self)
    }

    /// Begins the check of that uuid, or asks how far it is.
    package func check(_ volume: String, uuid: String) throws -> VolumeCheck {
        let reply = try client.call(
            "io.csnap.Agent.CheckVolume", ["volume": .string(volume), "uuid": .string(uuid)])
        return try JSON.convert(reply["check"] ?? .null, to: VolumeCheck.self)
    }

    package func events(since: UInt64?) throws -> [EventItem] {
        var items: [EventItem] = []
        while true {
            let after = items.last?.cursor ?? since
            let reply = try client.call("io.csnap.Agent.Events", AgentCaller.parameters(after, follow: false))
            items += try JSON.convert(reply["events"] ?? .array([]), to: [EventItem].self)
            if reply["hasMore"]?.bool != true { return items }
        }
    }

    /// Hands over each event as it comes, until `take` returns false or the connection ends (which throws).
    package func follow(since: UInt64?, take: (EventItem) throws -> Bool) throws {
        try client.stream("io.csnap.Agent.Events", AgentCaller.parameters(since, follow: true)) { reply in
            for event in try JSON.convert(reply["events"] ?? .array([]), to: [EventItem].self) {
                guard try take(event) else { return false }
            }
            return true
        }
    }

    private static func parameters(_ since: UInt64?, follow: Bool) -> [String: JSONValue] {
        var parameters: [String: JSONValue] = ["follow": .bool(follow)]
        if let since { parameters["since"] = .integer(Int64(clamping: since)) }
        return parameters
    }
}
