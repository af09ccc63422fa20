/// Bodies of the frames between an agent, its server and its clients; the shell adds a u32 little-endian length.
///
/// One byte of kind, then the fields. Decoding refuses unknown kinds and bytes left over; the peer is then of another
/// version, and the connection is to be closed with that word.
package enum LocalCodec {
    package static func encode(_ message: AgentToServer) -> [UInt8] { bytes(of: message) }
    package static func encode(_ message: ServerToAgent) -> [UInt8] { bytes(of: message) }
    package static func encode(_ message: AgentToClient) -> [UInt8] { bytes(of: message) }
    package static func encode(_ message: ClientToAgent) -> [UInt8] { bytes(of: message) }

    /// Any of the four directions, by the type asked for.
    package static func decode<Value: WireValue>(
        _ type: Value.Type = Value.self, from bytes: [UInt8]
    ) throws(WireError) -> Value {
        var reader = ByteReader(bytes)
        let value = try Value(from: &reader)
        try reader.finish()
        return value
    }

    package static func agentToServer(from bytes: [UInt8]) throws(WireError) -> AgentToServer {
        try decode(from: bytes)
    }
    package static func serverToAgent(from bytes: [UInt8]) throws(WireError) -> ServerToAgent {
        try decode(from: bytes)
    }
    package static func agentToClient(from bytes: [UInt8]) throws(WireError) -> AgentToClient {
        try decode(from: bytes)
    }
    package static func clientToAgent(from bytes: [UInt8]) throws(WireError) -> ClientToAgent {
        try decode(from: bytes)
    }

    private static func bytes(of value: some WireValue) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        value.encode(to: &writer)
        return writer.bytes
    }
}

extension AgentToServer: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .start(let start):
            writer.byte(0)
            writer.value(start)
        case .lease(let soft, let hard):
            writer.byte(1)
            writer.value(soft)
            writer.value(hard)
        case .admit(let process):
            writer.byte(2)
            writer.value(process)
        case .strike(let process, let cause):
            writer.byte(3)
            writer.value(process)
            writer.choice(cause)
        case .activate(let tenure):
            writer.byte(4)
            writer.value(tenure)
        case .stop: writer.byte(5)
        case .keys: writer.byte(6)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 0: self = .start(try reader.value())
        case 1: self = .lease(soft: try reader.value(), hard: try reader.value())
        case 2: self = .admit(try reader.value())
        case 3: self = .strike(try reader.value(), try reader.choice())
        case 4: self = .activate(try reader.value())
        case 5: self = .stop
        case 6: self = .keys
        case let kind: throw .unknownKind(kind)
        }
    }
}

extension StartServer: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.value(cluster)
        writer.value(process)
        writer.value(machineID)
        writer.value(kernelBootID)
        writer.value(startBits)
        writer.value(lastActiveEpoch)
        writer.list(volumeEpochs)
        writer.value(soft)
        writer.value(hard)
        writer.list(admitted)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            tenure: try reader.value(), cluster: try reader.value(), process: try reader.value(),
            machineID: try reader.value(), kernelBootID: try reader.value(), startBits: try reader.value(),
            lastActiveEpoch: try reader.value(), volumeEpochs: try reader.list(limit: Limits.rememberedVolumes),
            soft: try reader.value(), hard: try reader.value(),
            admitted: try reader.list())
    }
}

extension ServerToAgent: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .inert: writer.byte(0)
        case .started(let tenure, let port, let volumes):
            writer.byte(1)
            writer.value(tenure)
            writer.fixed(port)
            writer.volumes(volumes)
        case .sessions(let process, let count):
            writer.byte(2)
            writer.value(process)
            writer.varint(UInt64(count))
        case .struck(let process):
            writer.byte(3)
            writer.value(process)
        case .failed(let failure, let volume, let epochSeen):
            writer.byte(4)
            writer.choice(failure)
            writer.string(volume)
            writer.value(epochSeen)
        case .store(let notice):
            writer.byte(20)
            writer.value(notice)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 0: self = .inert
        case 1:
            self = .started(
                try reader.value(), port: try reader.fixed(UInt16.self), volumes: try reader.volumes())
        case 2: self = .sessions(try reader.value(), count: try reader.varint32())
        case 3: self = .struck(try reader.value())
        case 4:
            self = .failed(
                try reader.choice(), volume: try reader.string(limit: Limits.volumeName),
                epochSeen: try reader.value())
        case 20: self = .store(try reader.value())
        case let kind: throw .unknownKind(kind)
        }
    }
}

extension StoreNotice: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.string(volume)
        switch kind {
        case .space(let percent, let isHolding):
            writer.byte(0)
            writer.byte(percent)
            writer.flag(isHolding)
        case .dropped(let snapshot):
            writer.byte(1)
            writer.string(snapshot)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        volume = try reader.string(limit: Limits.volumeName)
        switch try reader.byte() {
        case 0: kind = .space(percent: try reader.byte(), isHolding: try reader.flag())
        case 1: kind = .dropped(snapshot: try reader.string(limit: Limits.snapshotName))
        case let other: throw .unknownKind(other)
        }
    }
}

extension AgentToClient: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .identity(let process):
            writer.byte(0)
            writer.value(process)
        case .suspend(let tenure):
            writer.byte(1)
            writer.value(tenure)
        case .server(let tenure, let address):
            writer.byte(2)
            writer.value(tenure)
            writer.value(address)
        case .resume(let tenure):
            writer.byte(3)
            writer.value(tenure)
        case .lease(let tenure, let until):
            writer.byte(4)
            writer.value(tenure)
            writer.value(until)
        case .part(let tenure):
            writer.byte(5)
            writer.value(tenure)
        case .otherDisks: writer.byte(6)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 0: self = .identity(try reader.value())
        case 1: self = .suspend(try reader.value())
        case 2: self = .server(try reader.value(), try reader.value())
        case 3: self = .resume(try reader.value())
        case 4: self = .lease(try reader.value(), until: try reader.value())
        case 5: self = .part(try reader.value())
        case 6: self = .otherDisks
        case let kind: throw .unknownKind(kind)
        }
    }
}

extension ClientToAgent: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .hello(let client, let volume, let processID, let disks):
            writer.byte(0)
            writer.value(client)
            writer.string(volume)
            writer.fixed(processID)
            writer.fixed(disks)
        case .suspended(let tenure, let writesInFlight):
            writer.byte(1)
            writer.value(tenure)
            writer.varint(UInt64(writesInFlight))
        case .connected(let tenure):
            writer.byte(2)
            writer.value(tenure)
        case .lostServer(let tenure):
            writer.byte(3)
            writer.value(tenure)
        case .bye: writer.byte(4)
        case .notServed(let tenure):
            writer.byte(6)
            writer.value(tenure)
        case .disk(let hanging, let since):
            writer.byte(5)
            writer.varint(UInt64(hanging))
            writer.value(since)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 0:
            self = .hello(
                client: try reader.value(), volume: try reader.string(limit: Limits.volumeName),
                processID: try reader.fixed(UInt32.self), disks: try reader.fixed(UInt64.self))
        case 1: self = .suspended(try reader.value(), writesInFlight: try reader.varint32())
        case 2: self = .connected(try reader.value())
        case 3: self = .lostServer(try reader.value())
        case 4: self = .bye
        case 5: self = .disk(hanging: try reader.varint32(), since: try reader.value())
        case 6: self = .notServed(try reader.value())
        case let kind: throw .unknownKind(kind)
        }
    }
}
