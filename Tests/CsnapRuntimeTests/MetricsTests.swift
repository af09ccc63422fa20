import CsnapCore
import CsnapRuntime
import Foundation
import NIOCore
import NIOPosix
import Testing

@Suite(.timeLimit(.minutes(2))) struct MetricsTests {
    private let tenure = Tenure(epoch: Epoch(2), round: Round(1))
    private let process = NodeBoot(node: NodeID(1), boot: Boot(1))

    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 1_000_000 * milliseconds) }

    private func text(_ metrics: AgentMetrics, drops: DropCounts = DropCounts()) -> [String] {
        var status = StatusReport(cluster: "a \"quoted\" name", node: 3, boot: 7)
        status.leaseRemaining = 1.25
        status.waits = [
            WaitReport(kind: "noQuorum", seconds: 2.5, nodes: [], text: "", remedy: ""),
            WaitReport(kind: "singleVoter", seconds: 1, nodes: [], text: "", remedy: "", warning: true),
        ]
        return metrics.text(status, drops: drops).split(separator: "\n").map(String.init)
    }

    @Test func aFailoverIsMeasuredFromTheFirstSign() {
        var metrics = AgentMetrics()
        metrics.observe(.recovering(tenure, server: process), at: at(0))
        metrics.observe(.serverActive(tenure, server: process), at: at(500))
        #expect(metrics.failover.count == 0, "the first server takes over from nobody")
        metrics.observe(.clientsSuspended(tenure), at: at(1000))
        metrics.observe(.serverDown(Epoch(2)), at: at(1100))
        metrics.observe(.recovering(tenure, server: process), at: at(1200))
        metrics.observe(.serverActive(tenure, server: process), at: at(1700))
        #expect(metrics.failover.count == 1 && metrics.failover.sum == .milliseconds(700))
        let lines = text(metrics)
        #expect(lines.contains("csnap_failover_seconds_bucket{le=\"0.5\"} 0"))
        #expect(lines.contains("csnap_failover_seconds_bucket{le=\"1.0\"} 1"))
        #expect(lines.contains("csnap_failover_seconds_bucket{le=\"+Inf\"} 1"))
        #expect(lines.contains("csnap_failover_seconds_sum 0.7"))
        #expect(lines.contains("csnap_events_total{kind=\"serverActive\"} 2"))
    }

    @Test func theTextIsPrometheus() {
        var metrics = AgentMetrics()
        metrics.observe(lateness: .milliseconds(3))
        metrics.observe(lateness: .zero - .milliseconds(3))
        var drops = DropCounts()
        drops.count(.replayed)
        let lines = text(metrics, drops: drops)
        #expect(lines.contains("csnap_packets_dropped_total{reason=\"replayed\"} 1"))
        #expect(lines.contains("csnap_lease_remaining_seconds 1.25"))
        #expect(lines.contains("csnap_loop_lateness_seconds_count 2"))
        #expect(lines.contains("csnap_wait_seconds{kind=\"noQuorum\"} 2.5"))
        #expect(lines.contains("csnap_warnings 1"))
        #expect(lines.contains { $0.hasPrefix(#"csnap_info{cluster="a \"quoted\" name",node="3","#) })
        let sample = #/[a-z_]+(\{([a-z]+="[^\n]*",?)+\})? -?[0-9.]+(e[-+]?[0-9]+)?/#
        for line in lines where !line.hasPrefix("# ") { #expect(line.wholeMatch(of: sample) != nil, "\(line)") }
        let named = lines.filter { $0.hasPrefix("# TYPE") }.map { $0.split(separator: " ")[2] }
        #expect(Set(named).count == named.count, "each metric once")
    }

    @Test func prometheusIsAnsweredOnLoopback() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let channel = try await MetricsListener.start(at: "127.0.0.1", port: 0, group: group) { $0("csnap_test 1\n") }
            .get()
        let port = try #require(channel.localAddress?.port)
        let answers = ["GET /metrics", "GET /", "POST /metrics", "nonsense"].map { request in
            exchange("\(request) HTTP/1.1\r\nHost: a\r\n\r\n", port: UInt16(port))
        }
        #expect(answers[0].hasPrefix("HTTP/1.1 200 OK") && answers[0].hasSuffix("\r\n\r\ncsnap_test 1\n"))
        #expect(answers[1].hasPrefix("HTTP/1.1 404"))
        #expect(answers[2].hasPrefix("HTTP/1.1 405"))
        #expect(answers[3].hasPrefix("HTTP/1.1 400") || answers[3].isEmpty)
        try await channel.close()
    }

    /// Sends and reads until the other side closes.
    private func exchange(_ request: String, port: UInt16) -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { return "not connected" }
        let bytes = Array(request.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return "not sent" }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 { answer += buffer[..<count] }
        return String(decoding: answer, as: UTF8.self)
    }
}
