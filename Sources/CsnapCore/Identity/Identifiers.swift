/// A configured, unique number of a machine; its order is the order of takeover (docs/protocol.md §1).
package struct NodeID: Equatable, Comparable, Sendable {
    package var value: UInt32

    package init(_ value: UInt32) { self.value = value }

    package static func < (left: NodeID, right: NodeID) -> Bool { left.value < right.value }
}

/// Counts the starts of an agent on one node; it is on disk before the first packet leaves (§1).
package struct Boot: Equatable, Comparable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package var next: Boot { Boot(value &+ 1) }

    /// Whether it can have been reached by counting; the next after any other might be none that can be read again.
    var isReachable: Bool { value <= Limits.boot / 2 }

    package static func < (left: Boot, right: Boot) -> Bool { left.value < right.value }
}

/// One life of one agent: a boot of a node. Admission, promises and leases belong to it, never to the bare node.
package struct NodeBoot: Equatable, Comparable, Sendable {
    package var node: NodeID
    package var boot: Boot

    package init(node: NodeID, boot: Boot) {
        self.node = node
        self.boot = boot
    }

    package static func < (left: NodeBoot, right: NodeBoot) -> Bool {
        left.node == right.node ? left.boot < right.boot : left.node < right.node
    }
}

/// Orders the evidence about one member: boot in the high 32 bits, refutations in the low (§1).
package struct Incarnation: Equatable, Comparable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package init(boot: Boot, refutations: UInt32 = 0) {
        value = boot.value << 32 | UInt64(refutations)
    }

    package var next: Incarnation { Incarnation(value &+ 1) }

    package static func < (left: Incarnation, right: Incarnation) -> Bool { left.value < right.value }
}

/// Numbers the tenures of servers in a group; at most one (node, boot) ever holds one (invariant 1).
package struct Epoch: Equatable, Comparable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package static let none = Epoch(0)

    package var next: Epoch { Epoch(value + 1) }

    /// Whether it can have been reached by counting; the next after any other might be none that can be read again.
    var isReachable: Bool { value <= Limits.countedFrom }

    package static func < (left: Epoch, right: Epoch) -> Bool { left.value < right.value }
}

/// Numbers the recoveries within one epoch, from 1: one more when a node is lost in it or the server restarts in place.
package struct Round: Equatable, Comparable, Sendable {
    package var value: UInt32

    package init(_ value: UInt32) { self.value = value }

    package static let none = Round(0)

    package var next: Round { Round(value + 1) }

    package static func < (left: Round, right: Round) -> Bool { left.value < right.value }
}

/// What a node adopts and every message of a recovery carries: (epoch, round), ordered in that order.
package struct Tenure: Equatable, Comparable, Sendable {
    package var epoch: Epoch
    package var round: Round

    package init(epoch: Epoch, round: Round) {
        self.epoch = epoch
        self.round = round
    }

    package static let none = Tenure(epoch: .none, round: .none)

    package static func < (left: Tenure, right: Tenure) -> Bool {
        left.epoch == right.epoch ? left.round < right.round : left.epoch < right.epoch
    }
}

/// 128 opaque bits: a cluster uuid, a machine id, a kernel boot id, the start bits of a process, a client's uuid.
package struct Bits128: Equatable, Comparable, Sendable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package static let zero = Bits128(high: 0, low: 0)

    package static func < (left: Bits128, right: Bits128) -> Bool {
        left.high == right.high ? left.low < right.low : left.high < right.high
    }
}

/// An IPv4 or IPv6 address with a port. IPv4 lies in the low 32 bits of `bits` with `isIPv4` set.
package struct Address: Equatable, Comparable, Sendable {
    package var bits: Bits128
    package var port: UInt16
    package var isIPv4: Bool

    package init(bits: Bits128, port: UInt16, isIPv4: Bool) {
        self.bits = bits
        self.port = port
        self.isIPv4 = isIPv4
    }

    package static func ipv4(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, port: UInt16) -> Address {
        let low = UInt64(a) << 24 | UInt64(b) << 16 | UInt64(c) << 8 | UInt64(d)
        return Address(bits: Bits128(high: 0, low: low), port: port, isIPv4: true)
    }

    package static func < (left: Address, right: Address) -> Bool {
        left.bits == right.bits ? left.port < right.port : left.bits < right.bits
    }
}

#if !hasFeature(Embedded)
    extension NodeID: Hashable {}
    extension Boot: Hashable {}
    extension NodeBoot: Hashable {}
    extension Epoch: Hashable {}
    extension Round: Hashable {}
    extension Tenure: Hashable {}
    extension Bits128: Hashable {}
    extension Address: Hashable {}
#endif
