/// Which of a disk's images an export shows. Numbers rise with time.
package struct NBDImage: Equatable, Sendable {
    package var name: String
    package var number: UInt64

    package init(name: String, number: UInt64) {
        self.name = name
        self.number = number
    }
}

/// One thing that clients may open: the origin, or a snapshot.
package struct NBDExport: Equatable, Sendable {
    package var name: String
    /// Opens it as well, and is not listed.
    package var alias: String?
    package var description: String
    /// Bytes; a multiple of `minimumBlock`.
    package var size: UInt64
    /// Bytes, a power of two; requests that are not aligned to it are refused with EINVAL. No read-modify-write is
    /// done for them, since it would race with other nodes (docs/data-plane.md).
    package var minimumBlock: UInt32
    /// Bytes; what clients should use: the chunk size.
    package var preferredBlock: UInt32
    /// What would change it is refused with EPERM.
    package var isReadOnly: Bool
    /// Each image has the metadata context `csnap:changed-since:NAME` of every earlier one that is offered too. Nil: it
    /// has none, and no other image has one of it.
    package var image: NBDImage?

    package init(
        name: String, alias: String? = nil, description: String, size: UInt64, minimumBlock: UInt32,
        preferredBlock: UInt32, isReadOnly: Bool = false, image: NBDImage? = nil
    ) {
        self.name = name
        self.alias = alias
        self.description = description
        self.minimumBlock = minimumBlock
        self.preferredBlock = max(preferredBlock, minimumBlock)
        self.isReadOnly = isReadOnly
        self.image = image
        self.size = size - size % UInt64(max(minimumBlock, 1))
    }

    package func transmissionFlags(structuredReplies: Bool) -> UInt16 {
        let always =
            TransmissionFlag.hasFlags | TransmissionFlag.sendFlush | TransmissionFlag.canMultiConnection
            | TransmissionFlag.sendCache | (structuredReplies ? TransmissionFlag.sendDF : 0)
        if isReadOnly { return always | TransmissionFlag.readOnly }
        return always | TransmissionFlag.sendFUA | TransmissionFlag.sendTrim | TransmissionFlag.sendWriteZeroes
    }
}
