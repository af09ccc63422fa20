import Synchronization

/// Reads one snapshot through one node's client over and over, and compares it with what it must show.
package final class SnapshotReading: Sendable {
    package struct Record: Equatable, Sendable {
        /// When each reading of the whole snapshot began and ended; CLOCK_BOOTTIME, nanoseconds.
        package var readings: [(begun: Int64, ended: Int64)] = []
        /// What was read and differs from the snapshot.
        package var faults: [String] = []
        /// What the device answered in place of data.
        package var error: String?

        package static func == (left: Record, right: Record) -> Bool {
            left.readings.elementsEqual(right.readings) { $0 == $1 } && left.faults == right.faults
                && left.error == right.error
        }
    }

    package let node: Int
    private let state = Mutex(Record())
    private let stopping = Atomic<Bool>(false)
    private let thread = Mutex<ThreadedTask?>(nil)

    init(node: Int, socket: String, of known: KnownSnapshot, models: [CyclicModel]) {
        self.node = node
        let task = ThreadedTask { self.run(socket, known, models) }
        thread.withLock { $0 = task }
    }

    package var record: Record { state.withLock { $0 } }

    /// Whether one reading began before that instant and ended after it.
    func hasSpanned(_ instant: Int64) -> Bool {
        record.readings.contains { $0.begun < instant && $0.ended > instant }
    }

    /// Lets the request in hand end.
    func stop() {
        stopping.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    private func run(_ socket: String, _ known: KnownSnapshot, _ models: [CyclicModel]) {
        do {
            let device = try NBDClient(
                path: socket, export: "snap/\(known.name)",
                cancelled: { [self] in stopping.load(ordering: .relaxed) })
            while !stopping.load(ordering: .relaxed) {
                let begun = boottime()
                let faults = try models.compactMap { try known.fault(in: $0, on: device) }
                state.withLock { record in
                    record.readings.append((begun, boottime()))
                    record.faults += faults
                }
            }
            device.disconnect()
        } catch SandboxError.cancelled {
            return
        } catch {
            state.withLock { $0.error = "reader on node \(node): \(error)" }
        }
    }
}
