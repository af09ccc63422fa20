package import CsnapCore
import Synchronization

/// Which requests are at the origin's disk, and since when; so a disk that hangs is told while the client runs.
///
/// A request costs its thread two stores to a number of its own, which is odd while the request is at the disk: no
/// lock and no clock. The control thread looks at all of them each `period`, and knows a request again by its number;
/// so ages are right to one period.
///
/// `@unchecked Sendable` is safe: the numbers are atomic, and a place is used by one request at a time; `atDisk` and
/// `lookedAt` belong to the control thread.
package final class DiskWatch: @unchecked Sendable {
    /// Longer than a disk takes in trouble that passes by itself, far shorter than a SCSI command's 30 s.
    package static let bound = Interval.seconds(5)
    package static let period = Interval.seconds(1)
    /// The flush of a barrier has a place behind those of all connections.
    package static let flush = UInt32(ClientMonitor.maximumConnections * ConnectionMemory.maximumRequests)

    /// What has been at the disk for longer than `bound`.
    package struct Hanging: Equatable {
        package var requests: UInt32
        /// Of the oldest; no meaning without any.
        package var since: Instant

        package init(requests: UInt32 = 0, since: Instant = .distantPast) {
            self.requests = requests
            self.since = since
        }
    }

    private struct Sighting {
        var place: UInt32
        var number: UInt32
        var since: Instant
    }

    /// Owns what `numbers` points to. Places never used take no memory.
    private let memory: AlignedBuffer
    private let numbers: UnsafeMutableBufferPointer<Atomic<UInt32>>
    /// By place, as of the last look.
    private var atDisk: [Sighting] = []
    private var lookedAt = Instant.distantPast

    package init() throws(SystemError) {
        memory = try AlignedBuffer(size: (Int(Self.flush) + 1) * 4)
        // All zeroes: `Atomic<UInt32>` has the representation of its value.
        numbers = memory.bytes.bindMemory(to: Atomic<UInt32>.self)
    }

    // MARK: - Whoever does the I/O

    /// The request of this place goes to the disk.
    package func begin(_ place: UInt32) { advance(place) }

    /// It has returned.
    package func end(_ place: UInt32) { advance(place) }

    private func advance(_ place: UInt32) {
        let number = numbers[Int(place)].load(ordering: .relaxed)
        numbers[Int(place)].store(number &+ 1, ordering: .relaxed)
    }

    // MARK: - Control thread

    var nextLook: Instant { lookedAt + Self.period }

    /// What hangs now.
    package func look(_ now: Instant) -> Hanging {
        // Where this process itself stood still nothing can be said of the disk.
        if now - lookedAt > Self.period * 3 { atDisk.removeAll() }
        lookedAt = now
        var known = atDisk[...]
        var seen: [Sighting] = []
        for place in 0...Self.flush {
            let number = numbers[Int(place)].load(ordering: .relaxed)
            while let first = known.first, first.place < place { known.removeFirst() }
            guard number & 1 == 1 else { continue }
            let isKnown = known.first.map { $0.place == place && $0.number == number } ?? false
            let since = isKnown ? known.first?.since ?? now : now
            seen.append(Sighting(place: place, number: number, since: since))
        }
        atDisk = seen
        let hanging = seen.filter { now - $0.since >= Self.bound }
        guard let oldest = hanging.map(\.since).min() else { return Hanging() }
        return Hanging(requests: UInt32(hanging.count), since: oldest)
    }
}

extension ClientCore {
    /// Requests that the disk does not return; none: it has returned them.
    mutating func diskHangs(_ hanging: DiskWatch.Hanging) {
        let before = self.hanging.requests
        self.hanging = hanging
        tellHanging()
        if before == 0, hanging.requests > 0 {
            note(.diskHangs, "the origin's disk hangs: it has not returned \(hanging.requests) requests")
        } else if before > 0, hanging.requests == 0 {
            note(.diskAnswers, "the origin's disk has returned all requests")
        }
    }

    mutating func tellHanging() {
        actions.append(.tell(.disk(hanging: hanging.requests, since: hanging.since)))
    }
}
