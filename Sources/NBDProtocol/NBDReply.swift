/// The header of a reply: at most 28 bytes, held in four words so that nothing is allocated.
package struct NBDReplyHeader: Equatable, Sendable {
    /// The most bytes a header has.
    package static let maximumLength = 32

    fileprivate let words: (UInt64, UInt64, UInt64, UInt64)
    package let count: Int

    package static func == (left: NBDReplyHeader, right: NBDReplyHeader) -> Bool {
        left.words == right.words && left.count == right.count
    }

    /// Writes the header to the front of `target`, which must hold `count` bytes.
    package func write(to target: UnsafeMutableRawBufferPointer) {
        withUnsafeBytes(of: (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)) { source in
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
        }
    }

    package var bytes: [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        result.withUnsafeMutableBytes { write(to: $0) }
        return result
    }
}

extension NBDTransmission {
    private static let readChunk: UInt16 = 1
    private static let blockStatusChunk: UInt16 = 5
    private static let errorChunk: UInt16 = 0x8001
    private static let lastChunk: UInt16 = 1

    /// Done, without data: everything but READ and BLOCK_STATUS.
    package func done(_ cookie: UInt64) -> NBDReplyHeader {
        NBDReplyHeader(words: (UInt64(NBD.simpleReplyMagic) << 32, cookie, 0, 0), count: 16)
    }

    /// `length` bytes from `offset` follow this header; it is the whole answer to a READ.
    package func data(_ cookie: UInt64, offset: UInt64, length: UInt32) -> NBDReplyHeader {
        guard structuredReplies else { return done(cookie) }
        let first = structured(type: Self.readChunk)
        let size = UInt64(length) + 8
        return NBDReplyHeader(words: (first, cookie, size << 32 | offset >> 32, offset << 32), count: 28)
    }

    /// Failed. A READ of a client with structured replies gets an error chunk, as the protocol demands.
    package func failure(_ cookie: UInt64, _ error: NBDError, isRead: Bool) -> NBDReplyHeader {
        if structuredReplies && isRead {
            let first = structured(type: Self.errorChunk)
            return NBDReplyHeader(words: (first, cookie, UInt64(6) << 32 | UInt64(error.rawValue), 0), count: 26)
        }
        let first = UInt64(NBD.simpleReplyMagic) << 32 | UInt64(error.rawValue)
        return NBDReplyHeader(words: (first, cookie, 0, 0), count: 16)
    }

    /// The whole answer to BLOCK_STATUS: a chunk for each context that was negotiated. Extents beyond
    /// `NBD.maximumExtents` are left out, as the protocol allows.
    package func status(_ cookie: UInt64, extents: [NBDExtent], changes: [NBDExtent] = []) -> [UInt8] {
        var bytes: [UInt8] = []
        if allocation {
            let isLast = changedSince == nil
            bytes += status(cookie, NBD.allocationContextID, extents, flags: isLast ? Self.lastChunk : 0)
        }
        if changedSince != nil { bytes += status(cookie, NBD.changesContextID, changes, flags: Self.lastChunk) }
        return bytes
    }

    private func status(_ cookie: UInt64, _ context: UInt32, _ extents: [NBDExtent], flags: UInt16) -> [UInt8] {
        let sent = extents.prefix(NBD.maximumExtents)
        var bytes: [UInt8] = []
        bytes.append(big: structured(type: Self.blockStatusChunk, flags: flags))
        bytes.append(big: cookie)
        bytes.append(big: UInt32(4 + 8 * sent.count))
        bytes.append(big: context)
        for extent in sent {
            bytes.append(big: extent.length)
            bytes.append(big: extent.flags)
        }
        return bytes
    }

    private func structured(type: UInt16, flags: UInt16 = lastChunk) -> UInt64 {
        UInt64(NBD.structuredReplyMagic) << 32 | UInt64(flags) << 16 | UInt64(type)
    }
}

/// A run of bytes of which a metadata context says the same.
package struct NBDExtent: Equatable, Sendable {
    /// Bytes.
    package var length: UInt32
    /// As the context defines them.
    package var flags: UInt32

    /// Of `base:allocation`: data, or a hole that reads as zeroes.
    package init(length: UInt32, isHole: Bool) {
        self.length = length
        flags = isHole ? 3 : 0
    }

    /// Of `csnap:changed-since`: 1 where the image may differ, as in QEMU's dirty bitmaps.
    package init(length: UInt32, isChanged: Bool) {
        self.length = length
        flags = isChanged ? 1 : 0
    }
}
