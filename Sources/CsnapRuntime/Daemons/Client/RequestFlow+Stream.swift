package import Glibc
import NBDProtocol

/// The socket's side: where bytes come in, and what goes out.
extension RequestFlow {
    /// The most parts of one `receiveTargets` and of one `replyParts`.
    package static let maximumParts = 256

    /// Where the next bytes go, in at most two parts; 0: none are wanted now.
    package func receiveTargets(_ parts: UnsafeMutablePointer<iovec>) -> Int {
        guard canTake else { return 0 }
        var count = 0
        if stream.payloadToCome > 0 {
            parts[0] = iovec(
                iov_base: memory.data(requests[receiving].pages) + received, iov_len: stream.payloadToCome)
            count = 1
        }
        let room = ConnectionMemory.streamSize - unread.upperBound
        parts[count] = iovec(iov_base: memory.stream + unread.upperBound, iov_len: room)
        return count + 1
    }

    /// So many bytes came to the last `receiveTargets`.
    package func take(_ count: Int) {
        // A receive may have been under way when the connection was given up.
        guard ending == .no else { return }
        let direct = min(count, stream.payloadToCome)
        if direct > 0 { tookPayload(direct, isLast: stream.tookPayload(direct)) }
        unread = unread.lowerBound..<unread.upperBound + count - direct
        understand()
    }

    /// Whether there is a place for what comes next: a request's, or the payload's that one was given.
    private var canTake: Bool {
        ending == .no && pending == nil && (stream.payloadToCome > 0 || !freeRequests.isEmpty)
    }

    /// Goes on with what was received; also after replies have made room.
    func understand() {
        if let command = pending, ending == .no {
            pending = nil
            begin(command)
        }
        while canTake {
            let bytes = UnsafeRawBufferPointer(start: memory.stream + unread.lowerBound, count: unread.count)
            let (step, consumed) = stream.next(bytes)
            let start = unread.lowerBound
            unread = start + consumed..<unread.upperBound
            switch step {
            case .more: return compact()
            case .perform(let command): begin(command)
            case .payload(let isLast):
                let target = memory.data(requests[receiving].pages) + received
                target.copyMemory(from: memory.stream + start, byteCount: consumed)
                tookPayload(consumed, isLast: isLast)
            case .refuse(let cookie, let error, let isRead):
                refuse(freeRequests.removeFirst(), cookie, error, isRead: isRead)
            case .disconnect: finish()
            case .close: abandon()
            }
        }
    }

    /// What is left is less than a header: it moves to the front.
    private func compact() {
        guard unread.lowerBound > 0 else { return }
        memory.stream.copyMemory(from: memory.stream + unread.lowerBound, byteCount: unread.count)
        unread = 0..<unread.count
    }

    private func begin(_ command: NBDCommand) {
        var length = 0
        switch command.action {
        case .read, .write: length = Int(command.length)
        case .blockStatus: length = NBD.maximumStatusLength
        case .flush, .trim, .writeZeroes, .cache: break
        }
        guard let pages = memory.take(length) else {
            pending = command
            return
        }
        let index = freeRequests.removeFirst()
        requests[index] = Request(stage: .payload, command: command, pages: pages)
        if case .write = command.action {
            receiving = index
            received = 0
        } else {
            admit(index)
        }
    }

    private func tookPayload(_ count: Int, isLast: Bool) {
        received += count
        if isLast { admit(receiving) }
    }

    // MARK: - Replies

    /// What is to be sent next, in at most `maximumParts` parts; 0: nothing.
    package func replyParts(_ parts: UnsafeMutablePointer<iovec>) -> Int {
        guard ending != .now else { return 0 }
        var skip = sent
        var count = 0
        for position in 0..<replies.count where count + 2 <= Self.maximumParts {
            let index = replies[position]
            let request = requests[index]
            if skip < request.header {
                parts[count] = iovec(iov_base: memory.header(index) + skip, iov_len: request.header - skip)
                count += 1
            }
            let inData = max(skip - request.header, 0)
            if request.data > inData {
                parts[count] = iovec(iov_base: memory.data(request.pages) + inData, iov_len: request.data - inData)
                count += 1
            }
            skip = 0
        }
        return count
    }

    /// So many bytes of the replies are sent; what they freed may let new requests in.
    package func replied(_ count: Int) {
        sent += count
        while !replies.isEmpty {
            let request = requests[replies[0]]
            let length = request.header + request.data
            guard sent >= length else { break }
            sent -= length
            memory.release(request.pages)
            let index = replies.removeFirst()
            requests[index].stage = .free
            requests[index].pages = .none
            freeRequests.append(index)
        }
        understand()
    }
}

extension NBDError {
    init(errno code: Int32) {
        self =
            switch code {
            case ENOSPC, EDQUOT, EFBIG: .noSpace
            case EPERM, EACCES, EROFS: .notPermitted
            case EINVAL: .invalid
            case ENOMEM: .noMemory
            case EOPNOTSUPP: .unsupported
            default: .inputOutput
            }
    }
}
