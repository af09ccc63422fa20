/// The server's side of the transmission phase: a request's 28 bytes in, what to do out. No buffer, no socket.
///
/// The shell reads a header, asks `decode`, reads or skips the payload as the request says, and answers each request
/// once by `NBDReplyHeader` or `blockStatus`. No bytes trap; nothing is allocated per request.
package struct NBDTransmission: Equatable, Sendable {
    package let export: NBDExport
    package let structuredReplies: Bool
    /// `base:allocation` was negotiated.
    package let allocation: Bool
    /// `csnap:changed-since` was negotiated: the number of the earlier image.
    package let changedSince: UInt64?

    package init(export: NBDExport, structuredReplies: Bool, allocation: Bool, changedSince: UInt64? = nil) {
        self.export = export
        self.structuredReplies = structuredReplies
        self.allocation = allocation
        self.changedSince = changedSince
    }

    /// What one header asks for.
    package enum Request: Equatable, Sendable {
        case perform(NBDCommand)
        /// Skip `payload` bytes, then answer with the error.
        case refuse(cookie: UInt64, NBDError, payload: UInt32, isRead: Bool)
        /// The client said good-bye: answer what is in flight, close.
        case disconnect
        /// This is not NBD, or a payload longer than we take: close at once.
        case close
    }

    /// Takes exactly `NBD.requestLength` bytes; another count is `close`.
    package func decode(_ bytes: UnsafeRawBufferPointer) -> Request {
        guard bytes.count == NBD.requestLength, big(bytes, 0, UInt32.self) == NBD.requestMagic else { return .close }
        let flags = big(bytes, 4, UInt16.self)
        let cookie = big(bytes, 8, UInt64.self)
        let offset = big(bytes, 16, UInt64.self)
        let length = big(bytes, 24, UInt32.self)
        guard let code = CommandCode(rawValue: big(bytes, 6, UInt16.self)) else {
            return .refuse(cookie: cookie, .invalid, payload: 0, isRead: false)
        }
        if code == .disconnect { return .disconnect }
        if code == .write && length > NBD.maximumPayload { return .close }
        if let error = check(code, flags: flags, offset: offset, length: length) {
            return .refuse(cookie: cookie, error, payload: code == .write ? length : 0, isRead: code == .read)
        }
        let fua = flags & CommandFlag.fua != 0
        switch code {
        case .read: return perform(.read, cookie, offset, length)
        case .write: return perform(.write(fua: fua), cookie, offset, length)
        case .flush: return perform(.flush, cookie, 0, 0)
        case .trim: return perform(.trim(fua: fua), cookie, offset, length)
        case .cache: return perform(.cache, cookie, offset, length)
        case .writeZeroes:
            let mayPunch = flags & CommandFlag.noHole == 0
            return perform(.writeZeroes(fua: fua, mayPunch: mayPunch), cookie, offset, length)
        case .blockStatus:
            return perform(.blockStatus(one: flags & CommandFlag.requestOne != 0), cookie, offset, length)
        case .disconnect: return .disconnect
        }
    }

    private func perform(
        _ action: NBDCommand.Action, _ cookie: UInt64, _ offset: UInt64, _ length: UInt32
    ) -> Request {
        .perform(NBDCommand(action: action, cookie: cookie, offset: offset, length: length))
    }

    private func check(_ code: CommandCode, flags: UInt16, offset: UInt64, length: UInt32) -> NBDError? {
        guard flags & ~allowed(code) == 0 else { return .invalid }
        if export.isReadOnly && changes(code) { return .notPermitted }
        switch code {
        case .flush, .disconnect: return nil
        case .blockStatus where !allocation && changedSince == nil: return .invalid
        case .read where length > NBD.maximumPayload: return structuredReplies ? .overflow : .invalid
        case .read, .write, .trim, .cache, .writeZeroes, .blockStatus: break
        }
        let block = UInt64(max(export.minimumBlock, 1))
        guard length > 0, offset % block == 0, UInt64(length) % block == 0 else { return .invalid }
        guard offset <= export.size, UInt64(length) <= export.size - offset else {
            return code == .write || code == .writeZeroes || code == .trim ? .noSpace : .invalid
        }
        return nil
    }

    private func changes(_ code: CommandCode) -> Bool {
        switch code {
        case .write, .trim, .writeZeroes: true
        case .read, .disconnect, .flush, .cache, .blockStatus: false
        }
    }

    private func allowed(_ code: CommandCode) -> UInt16 {
        switch code {
        case .read: CommandFlag.fua | CommandFlag.doNotFragment
        case .blockStatus: CommandFlag.fua | CommandFlag.requestOne
        case .writeZeroes: CommandFlag.fua | CommandFlag.noHole
        case .write, .trim, .cache, .flush, .disconnect: CommandFlag.fua
        }
    }

    private func big<Value: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, _: Value.Type
    ) -> Value {
        Value(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }
}

/// A request that passed all checks: aligned, inside the export, with a payload that fits.
package struct NBDCommand: Equatable, Sendable {
    package enum Action: Equatable, Sendable {
        case read
        /// `length` bytes of payload follow.
        case write(fua: Bool)
        case flush
        case trim(fua: Bool)
        case writeZeroes(fua: Bool, mayPunch: Bool)
        /// Read ahead, if it helps; carries no data.
        case cache
        /// Of the range, one extent or as many as fit.
        case blockStatus(one: Bool)
    }

    package var action: Action
    /// The client's name for the request.
    package var cookie: UInt64
    /// Bytes.
    package var offset: UInt64
    /// Bytes.
    package var length: UInt32

    package init(action: Action, cookie: UInt64, offset: UInt64, length: UInt32) {
        self.action = action
        self.cookie = cookie
        self.offset = offset
        self.length = length
    }
}
