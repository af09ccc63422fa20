package import CsnapCore

/// How often a duration was in each range; the ranges are fixed, so it never grows.
package struct DurationHistogram: Equatable, Sendable {
    /// Upper ends of the ranges, rising; longer ones only count in `count`.
    package let bounds: [Interval]
    package private(set) var counts: [UInt64]
    package private(set) var count: UInt64 = 0
    package private(set) var sum = Interval.zero

    package init(milliseconds bounds: [Int64]) {
        self.bounds = bounds.map { .milliseconds($0) }
        counts = [UInt64](repeating: 0, count: bounds.count)
    }

    package mutating func observe(_ duration: Interval) {
        if let index = bounds.firstIndex(where: { duration <= $0 }) { counts[index] &+= 1 }
        count &+= 1
        sum = sum + duration
    }
}

/// Metrics in Prometheus' text form, version 0.0.4 (prometheus.io, "Exposition formats").
package struct PrometheusText: Sendable {
    package private(set) var text = ""

    package init() {}

    package enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    /// One metric with its samples; none if there are no samples.
    package mutating func metric(
        _ name: String, _ kind: Kind, _ help: String, _ samples: [(labels: [(String, String)], value: Double)]
    ) {
        guard !samples.isEmpty else { return }
        head(name, kind, help)
        for sample in samples { line(name, sample.labels, sample.value) }
    }

    package mutating func metric(_ name: String, _ kind: Kind, _ help: String, _ value: Double?) {
        metric(name, kind, help, value.map { [([], $0)] } ?? [])
    }

    package mutating func histogram(_ name: String, _ help: String, _ histogram: DurationHistogram) {
        head(name, .histogram, help)
        var below: UInt64 = 0
        for (bound, count) in zip(histogram.bounds, histogram.counts) {
            below += count
            line(name + "_bucket", [("le", "\(bound.seconds)")], Double(below))
        }
        line(name + "_bucket", [("le", "+Inf")], Double(histogram.count))
        line(name + "_sum", [], histogram.sum.seconds)
        line(name + "_count", [], Double(histogram.count))
    }

    private mutating func head(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: Double) {
        let list = labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",")
        let number = value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
        text += name + (list.isEmpty ? "" : "{\(list)}") + " \(number)\n"
    }

    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
