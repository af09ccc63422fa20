extension MemberRecord: WireValue {
    private static let eligibleBit: UInt8 = 1
    private static let volumesBit: UInt8 = 2

    package func encode(to writer: inout ByteWriter) {
        writer.value(process)
        writer.value(incarnation)
        writer.choice(state)
        writer.value(address)
        writer.byte((eligible ? Self.eligibleBit : 0) | (hasVolumes ? Self.volumesBit : 0))
        writer.byte(min(localHealth, Limits.localHealth))
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let process = try reader.value(NodeBoot.self)
        let incarnation = try reader.value(Incarnation.self)
        let state = try reader.choice(MemberState.self)
        let address = try reader.value(Address.self)
        let bits = try reader.byte()
        self.init(
            process: process, incarnation: incarnation, state: state, address: address,
            eligible: bits & Self.eligibleBit != 0, hasVolumes: bits & Self.volumesBit != 0,
            localHealth: try reader.localHealth())
    }
}

extension AdmissionStatus: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .admitted: writer.byte(0)
        case .evicted(let cause): writer.byte(1 + cause.rawValue)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let byte = try reader.byte()
        if byte == 0 {
            self = .admitted
        } else if let cause = EvictionCause(rawValue: byte - 1) {
            self = .evicted(cause)
        } else {
            throw .malformed
        }
    }
}

extension OperatorVerb: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .transfer(let node):
            writer.byte(0)
            writer.value(node)
        case .strike(let node, let fenced):
            writer.byte(1)
            writer.value(node)
            writer.flag(fenced)
        case .voters(let nodes):
            writer.byte(2)
            writer.list(nodes)
        case .addVoters(let nodes):
            writer.byte(3)
            writer.list(nodes)
        case .replaceVoter(let old, let new):
            writer.byte(4)
            writer.value(old)
            writer.value(new)
        case .leaving(let node):
            writer.byte(5)
            writer.value(node)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 0: self = .transfer(try reader.value())
        case 1: self = .strike(try reader.value(), fenced: try reader.flag())
        case 2: self = .voters(try reader.list(limit: Limits.namedVoters))
        case 3: self = .addVoters(try reader.list(limit: Limits.namedVoters))
        case 4: self = .replaceVoter(try reader.value(), by: try reader.value())
        case 5: self = .leaving(try reader.value())
        case let kind: throw .unknownKind(kind)
        }
    }
}

extension OperatorOutcome: WireValue {
    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .done: writer.byte(0)
        case .doneButVoter: writer.byte(2)
        case .refused(let code):
            writer.byte(1)
            writer.choice(code)
        }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 0: self = .done
        case 1: self = .refused(try reader.choice())
        case 2: self = .doneButVoter
        case let kind: throw .unknownKind(kind)
        }
    }
}

extension ByteReader {
    mutating func localHealth() throws(WireError) -> UInt8 {
        let health = try byte()
        guard health <= Limits.localHealth else { throw .malformed }
        return health
    }
}
