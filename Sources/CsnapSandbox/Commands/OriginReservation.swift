import CsnapRuntime
import Glibc

/// The volume's socket on this node for one command that overwrites the origin, until the last reference or the
/// process ends, whatever ends it (docs/decisions/0106-one-command-overwrites-an-origin.md).
final class OriginReservation {
    private let descriptor: Int32

    /// Refused, by name, while another such command runs here or a program uses the volume.
    init(_ volume: String, _ runtime: RuntimeDirectory) throws {
        // The client's: whoever may use its socket may read it, and it is never removed. The client holds a lock of
        // another kind on it, of which this one knows nothing.
        let path = runtime.clientLock(volume)
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            switch errno {
            case EACCES: throw CommandFailure(text: "csnapctl: \(ControlError.permissionDenied)", code: 4)
            case ENOENT:
                throw CommandFailure(
                    text: "csnapctl: no client of a volume '\(volume)' has run on this node, and it is that client's "
                        + "work: start it (`systemctl start csnap-client@\(volume)`)", code: 4)
            default: throw CommandFailure.failed("csnapctl: \(path): \(lastError())")
            }
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            guard errno == EWOULDBLOCK else { throw CommandFailure.failed("csnapctl: \(path): \(lastError())") }
            throw CommandFailure(
                text: "csnapctl: another revert or receive of \(volume) runs on this node: wait until it has ended, or "
                    + "end it", code: 4)
        }
        var bound: String?
        do {
            bound = try SocketUse.connected(to: runtime.volumeSocket(volume))
            // The client needs a moment to see that a program has ended.
            for _ in 0..<20 where bound != nil {
                pause(milliseconds: 50)
                bound = try SocketUse.connected(to: runtime.volumeSocket(volume))
            }
        } catch {
            throw CommandFailure.failed("csnapctl: whether a program uses \(volume) cannot be seen: \(error)")
        }
        if let bound {
            throw CommandFailure(
                text: "csnapctl: a program on this node uses \(volume) (\(bound)): stop it first", code: 4)
        }
    }

    deinit { close(descriptor) }
}
