/// What happened, as a number always, as text on demand.
package struct Trace {
    package private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    package private(set) var lines: [String] = []
    package var isRecording = false
    /// Lines before this true time are not kept.
    package var from: TrueTime = 0

    package init() {}

    package mutating func mix(_ word: UInt64) {
        hash = (hash ^ word) &* 0x0000_0100_0000_01b3
        hash ^= hash >> 29
    }

    package mutating func line(_ time: TrueTime, _ text: @autoclosure () -> String) {
        guard isRecording, time >= from else { return }
        lines.append(format(time) + "  " + text())
    }
}

/// Seconds with microseconds.
package func format(_ time: TrueTime) -> String {
    let micros = time / 1000
    let fraction = String(micros % 1_000_000)
    let seconds = String(micros / 1_000_000)
    return String(repeating: " ", count: max(0, 4 - seconds.count)) + seconds + "."
        + String(repeating: "0", count: 6 - fraction.count) + fraction
}
