import NBDProtocol

/// What a connection asks of the disk, for its shell to do; its result goes to `RequestFlow.finished`.
///
/// `@unchecked Sendable` is safe: nobody else touches the memory it points to before it is finished.
package struct DiskOperation: @unchecked Sendable {
    package enum Kind {
        /// Into, or from, `length` aligned bytes of the connection's memory.
        case read(UnsafeMutableRawPointer, length: UInt32, offset: UInt64)
        /// `durable`: like O_DSYNC.
        case write(UnsafeMutableRawPointer, length: UInt32, offset: UInt64, durable: Bool)
        /// All writes that were answered before are to be durable.
        case flush
        /// Calls that block; on a `WorkerPool`.
        case blocking(BlockingWork)
    }

    /// The request it belongs to, 0 ..< 128.
    package let request: Int
    package let kind: Kind
}

/// Work of a request that no ring can do.
///
/// `@unchecked Sendable` is safe: the connection does not touch `reply` before the work is finished.
package struct BlockingWork: @unchecked Sendable {
    enum Kind {
        case trim(offset: UInt64, length: UInt64, durable: Bool)
        case writeZeroes(offset: UInt64, length: UInt64, durable: Bool, mayPunch: Bool)
        case extents(offset: UInt64, length: UInt32, one: Bool)
    }

    let kind: Kind
    /// Where the reply to a BLOCK_STATUS goes, and who makes it.
    let reply: UnsafeMutableRawBufferPointer
    let cookie: UInt64
    let transmission: NBDTransmission

    /// 0 or the bytes of the reply; -errno on failure.
    func perform(_ device: OriginDevice) -> Int32 {
        switch kind {
        case .trim(let offset, let length, let durable):
            return -device.trim(offset: offset, length: length, fua: durable)
        case .writeZeroes(let offset, let length, let durable, let mayPunch):
            return -device.writeZeroes(offset: offset, length: length, fua: durable, mayPunch: mayPunch)
        case .extents(let offset, let length, let one):
            let extents = device.extents(offset: offset, length: length, one: one)
            let bytes = transmission.status(cookie, extents: extents)
            reply.copyBytes(from: bytes)
            return Int32(bytes.count)
        }
    }
}
