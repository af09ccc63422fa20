/// The authenticated, unencrypted start of each datagram (docs/protocol.md §3).
package struct PacketHeader: Equatable, Sendable {
    /// Hash of the group's name and key: strangers are dropped by one comparison.
    package var clusterTag: UInt64
    /// Zero until pinned; zero is obeyed only in Ping and Join.
    package var cluster: Bits128
    package var keyID: UInt8
    package var sender: NodeBoot
    /// 128 random bits of the sending process.
    package var startBits: Bits128
    /// Counts the packets of the sending process; also the nonce of its seal.
    package var counter: UInt64

    package init(
        clusterTag: UInt64, cluster: Bits128, keyID: UInt8, sender: NodeBoot, startBits: Bits128, counter: UInt64
    ) {
        self.clusterTag = clusterTag
        self.cluster = cluster
        self.keyID = keyID
        self.sender = sender
        self.startBits = startBits
        self.counter = counter
    }
}
