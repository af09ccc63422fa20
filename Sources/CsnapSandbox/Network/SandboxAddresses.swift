import Glibc

/// The addresses of one sandbox: node N listens on 127.x.0.N and is advertised, through the relay, as 127.x.1.N.
///
/// x is the first from 77 that no other sandbox holds; the held socket is what keeps it ours.
package final class SandboxAddresses: Sendable {
    package static let port: UInt16 = 7411
    package static let servicePort: UInt16 = 7412
    package static let maximumNodes = 16

    package let network: UInt8
    private let reservation: Int32

    package init() throws {
        for network in UInt8(77)..<117 {
            let address = SocketAddress(127, network, 1, 250, port: SandboxAddresses.port)
            if let socket = try? Socket.listening(at: address) {
                self.network = network
                reservation = socket
                return
            }
        }
        throw SandboxError.noAddress
    }

    deinit { close(reservation) }

    package func listen(_ node: Int) -> String { "127.\(network).0.\(node)" }
    package func advertise(_ node: Int) -> String { "127.\(network).1.\(node)" }

    func listen(_ node: Int, port: UInt16) -> SocketAddress {
        SocketAddress(127, network, 0, UInt8(node), port: port)
    }

    func advertise(_ node: Int, port: UInt16) -> SocketAddress {
        SocketAddress(127, network, 1, UInt8(node), port: port)
    }

    /// The node that sends from this listening address; nil for a stranger.
    func node(at address: SocketAddress) -> Int? {
        let bytes = address.bytes
        guard bytes.0 == 127, bytes.1 == network, bytes.2 == 0, bytes.3 > 0 else { return nil }
        return Int(bytes.3)
    }
}
