package import Glibc

/// Files that are either the old or the new one after a power cut, never a mixture.
package enum DurableFile {
    /// Writes `draft` (`path`.new), fsyncs it, renames it over `path`, fsyncs the directory.
    ///
    /// On failure `path` holds what it held before, unless the last step failed: then it may hold either.
    /// Two callers at once would share the draft: whoever may have company takes a lock.
    package static func replace(
        _ path: String, with bytes: [UInt8], mode: mode_t = 0o600, owner: (user: uid_t, group: gid_t)? = nil,
        draft: String? = nil
    ) throws(SystemError) {
        let temporary = draft ?? path + ".new"
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
        var descriptor = open(temporary, flags, mode)
        if descriptor < 0, errno == EEXIST {
            // One that is there has a mode and readers of its own.
            unlink(temporary)
            descriptor = open(temporary, flags, mode)
        }
        guard descriptor >= 0 else { throw SystemError("cannot create", temporary) }
        do throws(SystemError) {
            if let owner, fchown(descriptor, owner.user, owner.group) != 0 {
                throw SystemError("cannot give away", temporary)
            }
            guard fchmod(descriptor, mode) == 0 else { throw SystemError("cannot set the mode of", temporary) }
            try Files.writeAll(bytes, descriptor: descriptor, path: temporary)
            guard fsync(descriptor) == 0 else { throw SystemError("cannot make durable", temporary) }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        guard close(descriptor) == 0 else { throw SystemError("cannot close", temporary) }
        guard rename(temporary, path) == 0 else { throw SystemError("cannot rename to", path) }
        try syncDirectory(of: path)
    }

    /// Makes the names in the file's directory durable.
    package static func syncDirectory(of path: String) throws(SystemError) {
        let parent = ConfigurationReader.parentDirectory(path)
        let descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("cannot open", parent) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemError("cannot make durable", parent) }
    }

    /// Renames the file to `path`.`word`, `path`.`word`-2 and so on; the new name.
    package static func setAside(_ path: String, as word: String) throws(SystemError) -> String {
        for number in 1...1000 {
            let target = number == 1 ? "\(path).\(word)" : "\(path).\(word)-\(number)"
            if access(target, F_OK) == 0 { continue }
            guard rename(path, target) == 0 else { throw SystemError("cannot rename to", target) }
            try syncDirectory(of: path)
            return target
        }
        throw SystemError("too many copies set aside beside", path, code: EEXIST)
    }
}
