/// A map kept in the order of its keys, in one array: the same content is always the same value and the same bytes.
///
/// The pure targets use it in place of `Dictionary`, whose order differs from process to process.
package struct SortedTable<Key: Comparable & Sendable, Value: Sendable>: Sendable {
    @usableFromInline package internal(set) var keys: [Key] = []
    @usableFromInline package internal(set) var values: [Value] = []

    @inlinable package init() {}

    @inlinable package var count: Int { keys.count }
    @inlinable package var isEmpty: Bool { keys.isEmpty }

    @inlinable package subscript(key: Key) -> Value? {
        get {
            let index = position(of: key)
            return index < keys.count && keys[index] == key ? values[index] : nil
        }
        set {
            let index = position(of: key)
            let present = index < keys.count && keys[index] == key
            switch (newValue, present) {
            case (let value?, true): values[index] = value
            case (let value?, false):
                keys.insert(key, at: index)
                values.insert(value, at: index)
            case (nil, true):
                keys.remove(at: index)
                values.remove(at: index)
            case (nil, false): break
            }
        }
    }

    @inlinable package mutating func removeAll() {
        keys = []
        values = []
    }

    @inlinable internal func position(of key: Key) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension SortedTable: Sequence {
    @inlinable package func makeIterator() -> Zip2Sequence<[Key], [Value]>.Iterator { zip(keys, values).makeIterator() }
}

extension SortedTable: Equatable where Value: Equatable {}
