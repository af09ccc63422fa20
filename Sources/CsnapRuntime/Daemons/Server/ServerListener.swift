import CShims
import CsnapCore
import Glibc

/// The TCP socket of the server: made beforehand, bound and listening once the stores are taken.
struct ServerListener {
    let descriptor: Int32
    private let address: Address

    init(_ address: Address) throws(SystemError) {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.isIPv4 ? AF_INET : AF_INET6, kind, 0)
        guard descriptor >= 0 else { throw SystemError("cannot make a socket for", address.text) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        self.descriptor = descriptor
        self.address = address
    }

    /// Binds and listens; the port, or the error's number: EADDRINUSE may pass when the server before us is gone.
    func listen() -> Result<UInt16, SystemError> {
        let family = address.isIPv4 ? AF_INET : AF_INET6
        let bytes = address.kernelBytes(family: UInt16(family), asIPv6: !address.isIPv4)
        let bound = bytes.withUnsafeBytes { raw -> Int32 in
            guard let base = raw.baseAddress else { return -1 }
            return bind(descriptor, base.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
        }
        guard bound == 0 else { return .failure(SystemError("cannot bind", address.text)) }
        guard Glibc.listen(descriptor, 128) == 0 else { return .failure(SystemError("cannot listen at", address.text)) }
        return .success(port ?? address.port)
    }

    /// Next connection that waits; nil if there is none.
    func accept() -> Int32? {
        let accepted = csnap_accept(descriptor)
        guard accepted >= 0 else { return nil }
        guard csnap_tune_session(accepted) == 0 else {
            close(accepted)
            return nil
        }
        return accepted
    }

    /// In tests port 0 stands for any.
    private var port: UInt16? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return nil }
        return withUnsafeBytes(of: storage) { UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }
    }
}
