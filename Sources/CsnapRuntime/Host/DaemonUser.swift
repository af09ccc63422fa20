import Glibc

/// The user of the daemons, which `make install` has made by `csnap.sysusers`.
package enum DaemonUser {
    /// Of the group too, whose members may command the agent.
    package static let name = "csnap"

    /// Whether it is that user's, and we are root: what a daemon reads, root does.
    static func isTrusted(_ owner: uid_t) -> Bool {
        guard geteuid() == 0, let user = getpwnam(name) else { return false }
        return user.pointee.pw_uid == owner
    }

    /// Whether that user is there, and the file, which only its owner reads, is another's. We are root, or cannot say.
    static func lacks(_ file: String) -> Bool {
        var status = stat()
        guard geteuid() == 0, let user = getpwnam(name), stat(file, &status) == 0 else { return false }
        return status.st_uid != user.pointee.pw_uid
    }

    /// Gives it a file that root has just made: the daemons are to open it. Nothing is done by others than root, or
    /// where there is no such user. False, with an errno: it could not be given.
    package static func own(_ descriptor: Int32) -> Bool {
        guard geteuid() == 0, let user = getpwnam(name) else { return true }
        return fchown(descriptor, user.pointee.pw_uid, user.pointee.pw_gid) == 0
    }
}
