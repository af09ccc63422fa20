/// Numbers of requests, first in, first out; each at most once, so it never overflows.
struct RequestQueue {
    private var numbers = [UInt8](repeating: 0, count: ConnectionMemory.maximumRequests)
    private var first = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ number: Int) {
        precondition(count < numbers.count, "a request is queued twice")
        numbers[(first + count) % ConnectionMemory.maximumRequests] = UInt8(number)
        count += 1
    }

    subscript(position: Int) -> Int { Int(numbers[(first + position) % ConnectionMemory.maximumRequests]) }

    mutating func removeFirst() -> Int {
        precondition(count > 0, "nothing is queued")
        defer {
            first = (first + 1) % ConnectionMemory.maximumRequests
            count -= 1
        }
        return Int(numbers[first])
    }
}
