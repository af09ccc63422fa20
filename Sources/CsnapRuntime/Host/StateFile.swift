package import CsnapCore
import Dispatch
import Glibc
import Synchronization

/// What the state file held at the start of an agent.
package enum StoredStateReading: Equatable, Sendable {
    case intact(StoredState)
    case missing
    /// It cannot be believed; `why` is a sentence for a person. The node is a learner from here (§1).
    case lost(why: String)
    /// Written by a newer csnap: the agent must not start, and must not touch it.
    case newer(why: String)
}

/// The agent's state file. Writes are durable, in order, and on a queue of their own: a slow disk stops nothing else.
package final class StateFile: Sendable {
    package let path: String
    private let queue = DispatchQueue(label: "csnap.state", qos: .userInteractive)
    /// What has not begun.
    private let waiting = Mutex<Order?>(nil)

    private struct Order: Sendable {
        var state: StoredState
        var done: @Sendable (SystemError?) -> Void
    }

    /// The largest state: 64 nodes need some 6 KiB; a file a hundred times that is none of ours.
    private static let limit = 1 << 20

    package init(path: String) { self.path = path }

    /// Reads and judges the file. Throws if it is there but cannot be read at all. `formerID`: how this machine was
    /// called before.
    package func read(
        node: NodeID, machineID: Bits128, formerID: Bits128? = nil
    ) throws(SystemError) -> StoredStateReading {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: Self.limit)
        } catch {
            if error.code == ENOENT { return .missing }
            if error.code == EFBIG { return .lost(why: "\(path) is far too large for a state file") }
            throw error
        }
        let state: StoredState
        do {
            state = try StoredStateCodec.decode(bytes)
        } catch .newerVersion(let version) {
            return .newer(why: "\(path): \(StoredStateError.newerVersion(version))")
        } catch {
            return .lost(why: "\(path): \(error)")
        }
        if state.machineID != machineID, state.machineID != formerID {
            return .lost(why: "\(path) was written on another machine; a state file must not be copied")
        }
        if state.process.node != node {
            return .lost(
                why: "\(path) belongs to node \(state.process.node.value), but this node is configured as "
                    + "\(node.value); correct 'node' if that is a mistake")
        }
        return .intact(state)
    }

    /// Writes before it returns; for the start of an agent.
    package func writeNow(_ state: StoredState) throws(SystemError) {
        try DurableFile.replace(path, with: StoredStateCodec.encode(state))
    }

    /// Writes after the write that is under way; `done` is called on the queue, with nil when the state is durable.
    ///
    /// One state waits at most, however long the disk takes: the next one says all that it says, so it takes its place,
    /// and the `done` of the former is never called.
    package func write(_ state: StoredState, done: @escaping @Sendable (SystemError?) -> Void) {
        let isFirst = waiting.withLock { waiting in
            defer { waiting = Order(state: state, done: done) }
            return waiting == nil
        }
        guard isFirst else { return }
        queue.async { [self] in
            guard let order = waiting.withLock({ $0.take() }) else { return }
            do throws(SystemError) {
                try Self.reach(.before, path)
                try DurableFile.replace(path, with: StoredStateCodec.encode(order.state))
                try Self.reach(.after, path)
                order.done(nil)
            } catch {
                order.done(error)
            }
        }
    }

    private static func reach(_ side: Failpoints.Side, _ path: String) throws(SystemError) {
        let code = Failpoints.reach(Failpoints.state, side)
        if code != 0 { throw SystemError("told to fail at", path, code: code) }
    }

    /// Keeps a file that is not to be believed under another name; its new path.
    package func setAside() throws(SystemError) -> String {
        try DurableFile.setAside(path, as: "lost")
    }
}
