import Synchronization

/// Reads one snapshot or branch through one node's client over and over, and compares it with what it must show.
package final class SnapshotReading: Sendable {
    package struct Record: Equatable, Sendable {
        /// When each reading of all its regions began and ended; CLOCK_BOOTTIME, nanoseconds.
        package var readings: [(begun: Int64, ended: Int64)] = []
        /// What was read and differs from what it must be.
        package var faults: [String] = []
        /// What the device answered in place of data.
        package var error: String?

        package static func == (left: Record, right: Record) -> Bool {
            left.readings.elementsEqual(right.readings) { $0 == $1 } && left.faults == right.faults
                && left.error == right.error
        }
    }

    package let node: Int
    package let image: String
    /// Compared in each reading.
    let regions: Int
    private let state = Mutex(Record())
    private let stopping = Atomic<Bool>(false)
    private let thread = Mutex<ThreadedTask?>(nil)

    /// `look` reads every region and returns what is wrong.
    init(
        node: Int, socket: String, of image: String, regions: Int,
        look: @escaping @Sendable (NBDClient) throws -> [String]
    ) {
        self.node = node
        self.image = image
        self.regions = regions
        let task = ThreadedTask { self.run(socket, look) }
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

    private func run(_ socket: String, _ look: (NBDClient) throws -> [String]) {
        do {
            let device = try NBDClient(
                path: socket, export: "snap/\(image)",
                cancelled: { [self] in stopping.load(ordering: .relaxed) })
            while !stopping.load(ordering: .relaxed) {
                let begun = boottime()
                let faults = try look(device)
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
