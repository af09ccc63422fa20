import CsnapCore

/// What a run looks like: nodes as lanes, time downwards, messages as arrows, epochs as colours. Kept only while a
/// trace is recorded; the newest part is drawn.
package struct Drawing {
    struct Arrow {
        var from: Int
        var to: Int
        var sent: TrueTime
        var arrived: TrueTime
        var names: String
    }

    struct Service {
        var node: Int
        var epoch: Epoch
        var from: TrueTime
        var until: TrueTime
    }

    struct Mark {
        var node: Int
        var time: TrueTime
        var text: String
    }

    private static let limit = 20_000
    private var arrows: [Arrow] = []
    private var services: [Service] = []
    private var marks: [Mark] = []

    mutating func add(_ arrow: Arrow) { if arrows.count < 16 * Self.limit { arrows.append(arrow) } }
    mutating func mark(_ node: Int, _ time: TrueTime, _ text: String) {
        if marks.count < Self.limit { marks.append(Mark(node: node, time: time, text: text)) }
    }

    mutating func begins(_ node: Int, _ epoch: Epoch, at time: TrueTime) {
        if services.count < Self.limit { services.append(Service(node: node, epoch: epoch, from: time, until: never)) }
    }

    mutating func ends(_ node: Int, at time: TrueTime) {
        for index in services.indices where services[index].node == node && services[index].until == never {
            services[index].until = time
        }
    }

    // MARK: SVG

    private static let lane = 220
    private static let top = 50

    /// One page without scripts: `seconds` up to `end`, 1 ms in two points.
    package func page(title: String, nodes: Int, end: TrueTime, seconds: Int64) -> String {
        let start = max(0, end - seconds * 1_000_000_000)
        func place(_ time: TrueTime) -> Int { Self.top + Int((min(max(time, start), end) - start) / 500_000) }
        func lane(_ node: Int) -> Int { 120 + node * Self.lane }
        let height = place(end) + 60
        var body = ""
        for node in 0..<nodes {
            body += "<text x='\(lane(node))' y='25' class='n'>node \(node + 1)</text>"
            body += "<line x1='\(lane(node))' x2='\(lane(node))' y1='\(Self.top)' y2='\(height)' stroke='#bbb'/>\n"
        }
        for service in services where service.until > start && service.from < end {
            let (from, until) = (place(service.from), place(service.until))
            body += "<rect x='\(lane(service.node) - 6)' y='\(from)' width='12' height='\(max(1, until - from))' "
            body += "fill='hsl(\(service.epoch.value * 67 % 360),70%,60%)'>"
            body += "<title>epoch \(service.epoch.value)</title></rect>\n"
        }
        for arrow in arrows where arrow.arrived >= start && arrow.sent <= end {
            let (x, y) = ((lane(arrow.from), lane(arrow.to)), (place(arrow.sent), place(arrow.arrived)))
            body += "<line x1='\(x.0)' y1='\(y.0)' x2='\(x.1)' y2='\(y.1)' class='a' marker-end='url(#h)'>"
            body += "<title>\(escaped(arrow.names))</title></line>"
            body += "<text x='\((x.0 + x.1) / 2)' y='\((y.0 + y.1) / 2)' class='m'>\(escaped(arrow.names))</text>\n"
        }
        for mark in marks where mark.time >= start && mark.time <= end {
            body += "<text x='\(lane(mark.node) + 9)' y='\(place(mark.time))' class='r'>\(escaped(mark.text))</text>\n"
        }
        for tick in stride(from: start / 100_000_000 * 100_000_000, through: end, by: 100_000_000) where tick >= start {
            body += "<text x='4' y='\(place(tick))' class='m'>\(format(tick)) s</text>\n"
        }
        return """
            <!doctype html><meta charset="utf-8"><title>\(escaped(title))</title>
            <style>body{font-family:sans-serif}.n{font-weight:bold}.m{font-size:8px;fill:#888}.r{font-size:9px}
            .a{stroke:#68a;stroke-width:.7}</style><h1>\(escaped(title))</h1>
            <svg width="\(lane(nodes))" height="\(height)" xmlns="http://www.w3.org/2000/svg"><defs>
            <marker id="h" markerWidth="6" markerHeight="6" refX="6" refY="3" orient="auto">
            <path d="M0 0L6 3L0 6z" fill="#68a"/></marker></defs>
            \(body)</svg>

            """
    }

    private func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            case "'": result += "&#39;"
            default: result.append(character)
            }
        }
        return result
    }
}
