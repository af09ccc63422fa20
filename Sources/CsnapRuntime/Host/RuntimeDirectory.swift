package import CsnapCore

/// The names in the runtime directory, which outlives agents and servers (docs/operations.md).
package struct RuntimeDirectory: Equatable, Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    /// Varlink control of the agent.
    package var controlSocket: String { path + "/agent.sock" }
    /// Clients of the agent.
    package var dataSocket: String { path + "/data.sock" }
    /// Held by the living agent.
    package var agentLock: String { path + "/agent.lock" }
    /// Held by the living server; holds its agent's start bits as 32 hexadecimal digits (§5.8).
    package var serverLock: String { path + "/server.lock" }
    /// The evidence file of servers.
    package var serviceRecord: String { path + "/service.record" }

    /// Held by the living client of that volume.
    package func clientLock(_ volume: String) -> String { "\(path)/client-\(volume).lock" }
    /// The NBD socket of that volume's client.
    package func volumeSocket(_ volume: String) -> String { "\(path)/\(volume).nbd" }

    /// The server's lock, with its agent's start bits written into it (§5.8).
    ///
    /// The server takes it when it obeys START (which carries the bits), before it touches a store, and keeps the
    /// result until its process ends. Refused as `held`: an earlier server still lives; nothing may be served then.
    package func acquireServerLock(startBits: Bits128) throws(FileLockError) -> FileLock {
        try FileLock.acquire(serverLock, note: startBits.hex + "\n")
    }

    /// A client's lock: taken before the client says hello, held until its process ends.
    package func acquireClientLock(volume: String, note: String) throws(FileLockError) -> FileLock {
        try FileLock.acquire(clientLock(volume), note: note)
    }

    /// The volumes whose client process lives, by its lock.
    package func livingClients() throws(SystemError) -> [String] {
        var volumes: [String] = []
        for name in try Files.names(in: path) where name.hasPrefix("client-") && name.hasSuffix(".lock") {
            if try FileLock.isHeld(path + "/" + name) {
                volumes.append(String(name.dropFirst("client-".count).dropLast(".lock".count)))
            }
        }
        return volumes
    }
}

extension Bits128 {
    /// 32 hexadecimal digits.
    package var hex: String { Self.digits(high) + Self.digits(low) }

    /// From 32 hexadecimal digits, dashes allowed; nil for anything else.
    package init?(hex: some StringProtocol) {
        let digits = String(hex.filter { $0 != "-" })
        guard digits.utf8.count == 32, digits.allSatisfy(\.isHexDigit),
            let high = UInt64(digits.prefix(16), radix: 16), let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    private static func digits(_ word: UInt64) -> String {
        let text = String(word, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}
