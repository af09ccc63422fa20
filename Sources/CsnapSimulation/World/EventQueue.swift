/// What is to happen, in the order of (time, sequence): equal times keep the order of their insertion.
struct EventQueue<Payload> {
    private struct Entry {
        var time: TrueTime
        var sequence: UInt64
        var slot: Int
    }

    private var heap: [Entry] = []
    private var slots: [Payload?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    var nextTime: TrueTime { heap.first?.time ?? never }

    mutating func insert(_ payload: Payload, at time: TrueTime) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = payload
        } else {
            slot = slots.count
            slots.append(payload)
        }
        sequence += 1
        heap.append(Entry(time: time, sequence: sequence, slot: slot))
        siftUp(heap.count - 1)
    }

    mutating func pop() -> (time: TrueTime, payload: Payload)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        guard let payload = slots[first.slot] else { return nil }
        slots[first.slot] = nil
        free.append(first.slot)
        return (first.time, payload)
    }

    private func precedes(_ left: Entry, _ right: Entry) -> Bool {
        left.time == right.time ? left.sequence < right.sequence : left.time < right.time
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard precedes(heap[child], heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if precedes(heap[child], heap[least]) { least = child }
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
