import CShims
package import CsnapCore
import Glibc

/// The proof that a client can write to the origin no more: a lock on a byte of its own, far behind the data, taken
/// through the very open file description of its I/O (docs/data-plane.md, "Client").
///
/// Requests of a ring hold that description, and so the lock, until they return, even when their process is dead. So
/// whoever finds the byte free knows that nothing of that client is on its way to the disk, and a session of its
/// successor says the same. It is a local matter of this kernel, for all who use the same file or device node.
package enum OriginLock {
    /// Behind every byte that a device has.
    private static let base: Int64 = 1 << 62
    /// How long a client waits for what its predecessor left at the disk.
    private static let patience = Interval.seconds(10)

    /// One client a node: nodes of a sandbox share the file.
    fileprivate static func byte(_ node: NodeID) -> Int64 { base + Int64(node.value) }

    /// Takes the lock; `descriptor` keeps it until its description ends.
    static func acquire(_ descriptor: Int32, path: String, node: NodeID) throws(SystemError) {
        let deadline = BootClock.now() + patience
        while true {
            let result = csnap_lock_byte(descriptor, byte(node))
            if result == 0 { return }
            let isHeld = result == -EAGAIN || result == -EACCES
            guard isHeld, BootClock.now() < deadline else {
                throw SystemError("another client of node \(node.value) is not done with", path, code: -result)
            }
            csnap_pause(20)
        }
    }

    /// Proof that no client of that node has anything at the disk, for as long as it lives: none can begin meanwhile.
    package struct Proof: ~Copyable {
        private let descriptor: Int32

        /// Nil if a client has the byte, or a request of a dead one. Throws if the origin cannot be looked at.
        package init?(_ path: String, node: NodeID) throws(SystemError) {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            guard descriptor >= 0 else { throw SystemError("cannot open the origin", path) }
            let result = csnap_lock_byte_shared(descriptor, OriginLock.byte(node))
            guard result == 0 else {
                close(descriptor)
                if result == -EAGAIN || result == -EACCES { return nil }
                throw SystemError("cannot lock a byte of", path, code: -result)
            }
            self.descriptor = descriptor
        }

        deinit { close(descriptor) }
    }

    /// Whether a client of that node may still have I/O under way. Throws if the origin cannot be looked at.
    package static func isHeld(_ path: String, node: NodeID) throws(SystemError) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw SystemError("cannot open the origin", path) }
        defer { close(descriptor) }
        let result = csnap_byte_is_locked_elsewhere(descriptor, byte(node))
        guard result >= 0 else { throw SystemError("cannot examine the lock on", path, code: -result) }
        return result == 1
    }
}
