/// What is to happen, in the order of (time, sequence): equal times keep the order of their insertion.
package struct EventQueue<Payload> {
    private struct Entry {
        var time: TrueTime
        var sequence: UInt64
        var slot: Int

        static func < (left: Entry, right: Entry) -> Bool {
            left.time == right.time ? left.sequence < right.sequence : left.time < right.time
        }
    }

    private var heap: [Entry] = []
    private var slots: [Payload?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    package init() {}

    package var nextTime: TrueTime { heap.first?.time ?? never }

    package mutating func insert(_ payload: consuming Payload, at time: TrueTime) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = payload
        } else {
            slot = slots.count
            slots.append(payload)
        }
        sequence += 1
        let entry = Entry(time: time, sequence: sequence, slot: slot)
        heap.append(entry)
        heap.withUnsafeMutableBufferPointer { Self.siftUp($0, entry) }
    }

    package mutating func pop() -> (time: TrueTime, payload: Payload)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty { heap.withUnsafeMutableBufferPointer { Self.siftDown($0, last) } }
        free.append(first.slot)
        guard let payload = slots[first.slot].take() else { return nil }
        return (first.time, payload)
    }

    /// Moves the hole at the end up to where `entry` belongs.
    private static func siftUp(_ heap: UnsafeMutableBufferPointer<Entry>, _ entry: Entry) {
        var hole = heap.count - 1
        while hole > 0 {
            let parent = (hole - 1) / 2
            guard entry < heap[parent] else { break }
            heap[hole] = heap[parent]
            hole = parent
        }
        heap[hole] = entry
    }

    /// Moves the hole at the root down to where `entry` belongs.
    private static func siftDown(_ heap: UnsafeMutableBufferPointer<Entry>, _ entry: Entry) {
        var hole = 0
        while true {
            var child = 2 * hole + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < entry else { break }
            heap[hole] = heap[child]
            hole = child
        }
        heap[hole] = entry
    }
}
