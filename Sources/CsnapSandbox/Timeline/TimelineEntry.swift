package import CsnapRuntime

/// One line of the story a scenario tells; `at` is seconds from the fault.
package struct TimelineEntry: Codable, Equatable, Sendable {
    package var at: Double
    /// Who said it; empty for the sandbox itself.
    package var nodes: [UInt32]
    package var kind: String
    package var text: String

    package init(at: Double, nodes: [UInt32], kind: String, text: String) {
        self.at = at
        self.nodes = nodes
        self.kind = kind
        self.text = text
    }

    /// "    0.502  node 2, node 3: recovering into epoch 2".
    package var line: String {
        let who = nodes.isEmpty ? "" : nodes.map { "node \($0)" }.joined(separator: ", ") + ": "
        return TimelineEntry.column(at) + "  " + who + text
    }

    static func column(_ seconds: Double) -> String {
        let text = decimals(seconds)
        return String(repeating: " ", count: max(9 - text.count, 0)) + text
    }
}

/// Three decimals, without the C library's locale.
package func decimals(_ seconds: Double) -> String {
    let thousandths = Int((seconds * 1000).rounded())
    let fraction = String(abs(thousandths) % 1000)
    let sign = thousandths < 0 ? "-" : ""
    return "\(sign)\(abs(thousandths) / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
}

/// Merges the event streams of the nodes into one story.
package enum TimelineMerger {
    /// Two nodes that say the same within this time say it together, in one line.
    static let together: Double = 1.0
    /// Said by every voter or on every start; of interest to the journal, not to a reader of the story.
    static let quiet: Set<String> = ["promised", "clientAttached", "clientGone", "resync"]

    package static func merge(
        _ events: [EventItem], marks: [(at: Int64, text: String)], fault: Int64
    ) -> [TimelineEntry] {
        var entries = marks.map { mark in
            TimelineEntry(at: seconds(mark.at, from: fault), nodes: [], kind: "sandbox", text: mark.text)
        }
        for event in events where !quiet.contains(event.kind) {
            entries.append(
                TimelineEntry(
                    at: seconds(event.at, from: fault), nodes: [event.node], kind: event.kind, text: event.text))
        }
        // Marks come before what nodes say at the same instant.
        entries.sort { ($0.at, $0.nodes.first ?? 0) < ($1.at, $1.nodes.first ?? 0) }
        return joined(entries)
    }

    private static func joined(_ entries: [TimelineEntry]) -> [TimelineEntry] {
        var result: [TimelineEntry] = []
        for entry in entries {
            let earlier = result.lastIndex { candidate in
                candidate.kind == entry.kind && candidate.text == entry.text && !candidate.nodes.isEmpty
                    && entry.at - candidate.at <= together
            }
            guard let earlier, let node = entry.nodes.first, !result[earlier].nodes.contains(node) else {
                result.append(entry)
                continue
            }
            result[earlier].nodes.append(node)
            result[earlier].nodes.sort()
        }
        return result
    }

    private static func seconds(_ at: Int64, from fault: Int64) -> Double { Double(at - fault) / 1e9 }
}
