import Crypto
import CsnapCore

/// What is remembered of the processes that sent authenticated packets: per node its highest boot and, of that boot,
/// a few processes. More than one means a cloned or rolled-back machine; the core names the conflict.
struct SenderTable: Sendable {
    static let processesPerNode = 4

    struct Process: Sendable {
        let startBits: Bits128
        var window = ReplayWindow()
        var isProven = false
        var keyID: UInt8
        var key: SymmetricKey
    }

    private struct Node: Sendable {
        var highest: Boot
        var processes: [Process] = []

        /// In place: a copy of the windows would cost more than all else that is done with a packet.
        mutating func accept(_ header: PacketHeader, key: SymmetricKey, isProof: Bool) -> Bool {
            if header.sender.boot > highest { self = Node(highest: header.sender.boot) }
            guard let index = place(of: header, key: key) else { return false }
            processes[index].window.accept(header.counter)
            if isProof { processes[index].isProven = true }
            if processes[index].keyID != header.keyID {
                processes[index].keyID = header.keyID
                processes[index].key = key
            }
            return true
        }

        private mutating func place(of header: PacketHeader, key: SymmetricKey) -> Int? {
            if let index = processes.firstIndex(where: { $0.startBits == header.startBits }) { return index }
            let process = Process(startBits: header.startBits, keyID: header.keyID, key: key)
            if processes.count < SenderTable.processesPerNode {
                processes.append(process)
                return processes.count - 1
            }
            guard let index = processes.firstIndex(where: { !$0.isProven }) else { return nil }
            processes[index] = process
            return index
        }
    }

    private var nodes: [NodeID: Node] = [:]

    func highestBoot(of node: NodeID) -> Boot? { nodes[node]?.highest }

    func find(_ sender: NodeBoot, startBits: Bits128) -> Process? {
        guard let node = nodes[sender.node], node.highest == sender.boot else { return nil }
        return node.processes.first { $0.startBits == startBits }
    }

    /// Whether another process of the same boot has shown that it is alive with us.
    func hasOtherProven(_ sender: NodeBoot, startBits: Bits128) -> Bool {
        guard let node = nodes[sender.node], node.highest == sender.boot else { return false }
        return node.processes.contains { $0.isProven && $0.startBits != startBits }
    }

    /// Marks the counter as seen; false if there is no room for the process.
    ///
    /// A proven process is never forgotten but for a higher boot: its recordings carry our start bits.
    mutating func accept(_ header: PacketHeader, key: SymmetricKey, isProof: Bool) -> Bool {
        let id = header.sender.node
        if nodes[id] == nil, nodes.count >= Limits.members, !forgetUnprovenNode() { return false }
        return nodes[id, default: Node(highest: header.sender.boot)].accept(header, key: key, isProof: isProof)
    }

    private mutating func forgetUnprovenNode() -> Bool {
        let unproven = nodes.first { !$0.value.processes.contains(where: \.isProven) }
        guard let id = unproven?.key else { return false }
        nodes[id] = nil
        return true
    }
}
