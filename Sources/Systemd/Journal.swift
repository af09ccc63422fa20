import CSystemd

/// systemd's journal, in its native form: named fields, not lines of text (sd_journal_sendv(3)).
package enum Journal {
    /// Whether standard error goes to the journal, so that native records belong there too.
    ///
    /// JOURNAL_STREAM is inherited by everything started from a service; only the device and inode prove it.
    package static var isStandardError: Bool {
        guard let text = getenv("JOURNAL_STREAM") else { return false }
        var information = stat()
        guard fstat(STDERR_FILENO, &information) == 0 else { return false }
        return String(cString: text) == "\(information.st_dev):\(information.st_ino)"
    }

    /// Sends one record of FIELD=value pairs; 0, or -errno if the journal did not take it.
    ///
    /// Names are capital letters, digits and underscores; others are refused by the journal without an error.
    @discardableResult
    package static func send(_ fields: [(name: String, value: String)]) -> Int32 {
        var storage: [UInt8] = []
        var lengths: [Int] = []
        for (name, value) in fields {
            let before = storage.count
            storage.append(contentsOf: name.utf8)
            storage.append(UInt8(ascii: "="))
            storage.append(contentsOf: value.utf8)
            lengths.append(storage.count - before)
        }
        return storage.withUnsafeMutableBytes { bytes in
            guard var next = bytes.baseAddress else { return 0 }
            let vectors = lengths.map { length in
                defer { next += length }
                return iovec(iov_base: next, iov_len: length)
            }
            return sd_journal_sendv(vectors, Int32(vectors.count))
        }
    }
}
