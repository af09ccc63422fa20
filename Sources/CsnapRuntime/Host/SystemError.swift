import Glibc

/// A system call failed on a named thing. Nothing was changed unless the caller says so.
package struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was tried, as the start of a sentence: "cannot open".
    package var attempt: String
    /// The path or address it was tried on.
    package var subject: String
    package var code: Int32

    package init(_ attempt: String, _ subject: String, code: Int32 = errno) {
        self.attempt = attempt
        self.subject = subject
        self.code = code
    }

    package var description: String { "\(attempt) \(subject): \(String(cString: strerror(code)))\(remedy)" }

    private var remedy: String {
        switch code {
        case ENOENT: "; create it or correct the path in the configuration"
        case EACCES, EPERM: "; check its owner and mode, or run as the right user"
        case EROFS:
            "; the file system is read-only, perhaps for this unit alone: make it writable, name the directory "
                + "with `ReadWritePaths=` in a drop-in of the unit, or choose another"
        case ENOSPC, EDQUOT: "; free some space there"
        case EADDRINUSE: "; another process uses it: stop that one or choose another"
        default: ""
        }
    }
}
