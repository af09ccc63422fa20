import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A change of key, as docs/operations.md tells it: what runs needs a reload after each step, and no fail-over.
@Suite(.enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct KeyChangeTests {
    @Test func theServerFollowsItsAgentsReloads() throws {
        let volume = try LoneVolume(isSecure: true)
        let key = volume.directory + "/key"
        let old = try KeyRing.load(key).sealing.id
        let server = try volume.status().serverPid
        #expect(try sealingKey(of: volume) == old)
        for (step, sealing) in [(KeyRotation.begin, old), (.switch, old + 1), (.finish, old + 1)] {
            try step.apply(to: key)
            kill(try volume.status().agentPid, SIGHUP)
            try waitUntil("\(step)", seconds: 60) { try sealingKey(of: volume) == sealing }
        }
        #expect(try volume.status().serverPid == server)
        try volume.waitForService()
    }

    /// By whose id the server's first bytes to anybody name it.
    private func sealingKey(of volume: LoneVolume) throws -> UInt8 {
        let text = try String(contentsOfFile: volume.directory + "/csnap.yaml", encoding: .utf8)
        let port = try #require(text.firstMatch(of: #/service-port: ([0-9]+)/#).flatMap { UInt16($0.1) })
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(connected == 0)
        var preamble = [UInt8](repeating: 0, count: SessionSeal.preambleSize)
        let count = recv(descriptor, &preamble, preamble.count, Int32(MSG_WAITALL))
        try #require(count == preamble.count)
        return preamble[7]
    }
}
