import CsnapCore

/// Random values of the wire's types, from a fixed seed.
struct Samples {
    private var generator: Generator

    init(seed: UInt64) { generator = Generator(seed: seed) }

    /// Small and large numbers alike: a random width, then random bits.
    mutating func word() -> UInt64 { generator.next() >> UInt64(generator.next(below: 64)) }
    mutating func word(upTo limit: UInt64) -> UInt64 {
        limit == .max ? word() : word() % (limit + 1)
    }
    mutating func word32() -> UInt32 { UInt32(word(upTo: UInt64(UInt32.max))) }
    mutating func byte() -> UInt8 { UInt8(generator.next() & 0xff) }
    mutating func flag() -> Bool { generator.next() & 1 == 0 }
    mutating func below(_ bound: Int) -> Int { generator.next(below: bound) }
    mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }

    mutating func list<Value>(upTo count: Int, _ make: (inout Samples) -> Value) -> [Value] {
        var values: [Value] = []
        for _ in 0..<below(count + 1) { values.append(make(&self)) }
        return values
    }
    mutating func optional<Value>(_ make: (inout Samples) -> Value) -> Value? { flag() ? make(&self) : nil }

    mutating func node() -> NodeID { NodeID(word32()) }
    mutating func boot() -> Boot { Boot(word(upTo: Limits.boot)) }
    mutating func process() -> NodeBoot { NodeBoot(node: node(), boot: boot()) }
    mutating func epoch() -> Epoch { Epoch(word(upTo: Limits.epoch)) }
    mutating func round() -> Round { Round(UInt32(word(upTo: UInt64(Limits.round)))) }
    mutating func tenure() -> Tenure { Tenure(epoch: epoch(), round: round()) }
    mutating func incarnation() -> Incarnation { Incarnation(word()) }
    mutating func bits() -> Bits128 { Bits128(high: word(), low: word()) }
    mutating func port() -> UInt16 { UInt16(word(upTo: 65535)) }
    mutating func instant() -> Instant { Instant(nanoseconds: Int64(bitPattern: word())) }
    mutating func interval() -> Interval {
        let magnitude = Int64(word(upTo: UInt64(Limits.interval)))
        return Interval(nanoseconds: flag() ? magnitude : -magnitude)
    }
    mutating func address() -> Address {
        flag()
            ? .ipv4(byte(), byte(), byte(), byte(), port: port())
            : Address(bits: bits(), port: port(), isIPv4: false)
    }
    mutating func volume() -> VolumeDigest { VolumeDigest(word32()) }
    mutating func volumes() -> [VolumeDigest]? { optional { $0.list(upTo: Limits.claimedVolumes) { $0.volume() } } }
    mutating func cause() -> EvictionCause { pick([.left, .leasePassed, .fenced]) }
}
