/// The holder's admission table on its way to the disks of a voter majority (§6, invariant 11).
///
/// Each change takes the next sequence number and sends the whole table; an acknowledgement of a sequence covers all
/// before it. What rests on a change waits here until that sequence is on a majority.
struct AdmissionWriter: Equatable, Sendable {
    var table: AdmissionTable
    private(set) var sequence: UInt64 = 0
    private(set) var acknowledged = SortedTable<NodeID, UInt64>()
    private(set) var durable: UInt64 = 0
    private(set) var effects: [Effect] = []
    var nextSend: Instant
    private(set) var changedAt: Instant

    struct Effect: Equatable, Sendable {
        var sequence: UInt64
        var kind: Kind

        enum Kind: Equatable, Sendable {
            case admitted(NodeBoot, replacing: NodeBoot?)
            case evicted(NodeBoot, EvictionCause)
            case leftForStop
        }
    }

    init(table: AdmissionTable, at now: Instant) {
        self.table = table
        nextSend = now
        changedAt = now
    }

    var isWaiting: Bool { durable < sequence }

    mutating func change(_ entries: [AdmissionEntry], then effect: Effect.Kind?, at now: Instant) -> UInt64 {
        for entry in entries { table.merge(entry) }
        sequence += 1
        nextSend = now
        changedAt = now
        if let effect { effects.append(Effect(sequence: sequence, kind: effect)) }
        return sequence
    }

    mutating func acknowledge(_ sequence: UInt64, by voter: NodeID) {
        acknowledged[voter] = max(acknowledged[voter] ?? 0, sequence)
    }

    /// A node's acknowledgements count no more: they are not on its disk.
    mutating func forget(_ node: NodeID) { acknowledged[node] = nil }

    /// Takes the effects that `sequence`, now on a majority, allows.
    mutating func becomeDurable(_ sequence: UInt64) -> [Effect] {
        durable = max(durable, sequence)
        let due = effects.filter { $0.sequence <= durable }
        effects.removeAll { $0.sequence <= durable }
        return due
    }

    /// A recovery derives everything anew from the table: what waited is void.
    mutating func dropEffects() { effects = [] }
}

extension Agent {
    /// Changes the table under our epoch; `effect` follows when a voter majority has it on disk.
    @discardableResult
    mutating func writeTable(_ entries: [AdmissionEntry], then effect: AdmissionWriter.Effect.Kind?) -> UInt64 {
        guard isHolder else { return 0 }
        let sequence = holder?.table.change(entries, then: effect, at: now) ?? 0
        // Our own vote: our disk holds it too, by the same message that goes to the others.
        tickTable()
        return sequence
    }

    mutating func tickTable() {
        guard holder?.table.isWaiting == true, let writer = holder?.table, let epoch = holder?.epoch,
            now >= writer.nextSend
        else { return }
        let again = now + timing.retry
        holder?.table.nextSend = again
        let message = Message.table(
            Table(epoch: epoch, sequence: writer.sequence, entries: writer.table.entries))
        for voter in voters where (writer.acknowledged[voter] ?? 0) < writer.sequence { send(message, to: voter) }
        if Mutants.active(.admissionByHolderAlone) || Mutants.active(.strikeBeforeEvictMajority) {
            tableIsDurable(writer.sequence)
        }
    }

    mutating func receiveTableAck(_ ack: TableAck, from voter: NodeBoot) {
        guard let current = holder, current.epoch == ack.epoch, ack.sequence <= current.table.sequence else { return }
        holder?.table.acknowledge(ack.sequence, by: voter.node)
        let writer = holder?.table ?? current.table
        guard writer.durable < ack.sequence,
            isMajority({ (writer.acknowledged[$0] ?? 0) >= ack.sequence })
        else { return }
        tableIsDurable(ack.sequence)
    }

    private mutating func tableIsDurable(_ sequence: UInt64) {
        for effect in holder?.table.becomeDurable(sequence) ?? [] {
            guard let tenure = holder?.tenure else { return }
            switch effect.kind {
            case .admitted(let process, let old): finishAdmission(of: process, replacing: old, in: tenure)
            case .evicted(let process, let cause): finishEviction(of: process, cause: cause, in: tenure)
            case .leftForStop: stopServing(.release)
            }
        }
        tickRecovery()
    }

    private mutating func finishAdmission(of process: NodeBoot, replacing old: NodeBoot?, in tenure: Tenure) {
        if let old, old != process {
            actions.append(.toServer(.strike(old, .left)))
            report(.evicted(tenure, old, .left))
        }
        holder?.evictions[process.node] = nil
        holder?.admitted[process.node] = process.boot
        holder?.resuming[process.node] = now
        actions.append(.toServer(.admit(process)))
        report(.admitted(tenure, process))
    }

    private mutating func finishEviction(of process: NodeBoot, cause: EvictionCause, in tenure: Tenure) {
        if holder?.admitted[process.node] == process.boot {
            holder?.admitted[process.node] = nil
            holder?.resuming[process.node] = nil
        }
        holder?.evictions[process.node] = nil
        actions.append(.toServer(.strike(process, cause)))
        report(.evicted(tenure, process, cause))
    }
}
