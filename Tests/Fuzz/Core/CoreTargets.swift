import CsnapCore
import CsnapSession
import NBDProtocol

/// The decoders of the pure targets; each takes bytes from outside and traps where it finds a defect.
package enum CoreTargets {
    /// By the name of their corpus.
    package static var all: [String: ([UInt8]) -> Void] {
        [
            "message": message, "nbd-handshake": handshake, "nbd-transmission": transmission, "session": session,
            "store": StoreImageTarget.run, "state": state,
        ]
    }

    // MARK: - Between agents

    static func message(_ bytes: [UInt8]) {
        guard let messages = try? MessageCodec.decode(bytes) else { return }
        let again = MessageCodec.encode(messages)
        // A Join fills a datagram by itself.
        guard again.count <= Limits.datagram else { return }
        precondition((try? MessageCodec.decode(again)) == messages, "\(messages)")
    }

    // MARK: - NBD

    private static let exports = ["origin", "snap/monday"].map { name in
        NBDExport(
            name: name, description: "fuzzed", size: 1 << 30, minimumBlock: 512, preferredBlock: 4096,
            isReadOnly: name != "origin")
    }

    static func handshake(_ bytes: [UInt8]) {
        var machine = NBDHandshake(exports: exports)
        var rest = bytes[...]
        while machine.wanted > 0, rest.count >= machine.wanted {
            let part = Array(rest.prefix(machine.wanted))
            rest.removeFirst(part.count)
            switch machine.receive(part) {
            case .reply(let reply): precondition(reply.count <= 1 << 16, "an answer of \(reply.count) bytes")
            case .transmit, .close: return
            }
        }
    }

    /// The first byte: the export, the replies it asked for, and how many bytes come at once.
    static func transmission(_ bytes: [UInt8]) {
        guard let first = bytes.first else { return }
        let transmission = NBDTransmission(
            export: exports[Int(first & 1)], structuredReplies: first & 2 != 0, allocation: first & 4 != 0,
            changedSince: first & 8 != 0 ? 1 : nil)
        var stream = NBDStream(transmission)
        let portion = max(1, Int(first >> 4)) * 7
        var received: [UInt8] = []
        var rest = bytes.dropFirst()
        while !rest.isEmpty {
            received += rest.prefix(portion)
            rest = rest.dropFirst(portion)
            while true {
                let (step, consumed) = received.withUnsafeBytes { stream.next($0) }
                precondition(consumed <= received.count, "more than there was")
                received.removeFirst(consumed)
                switch step {
                case .perform(let command):
                    precondition(
                        command.offset + UInt64(command.length) <= transmission.export.size, "beyond the export")
                case .disconnect, .close: return
                case .payload, .refuse: break
                case .more: precondition(received.count < NBD.requestLength, "it waits for what is there")
                }
                if step == .more { break }
            }
        }
    }

    // MARK: - Between client and server

    /// Both directions: as the bytes come, and as the body of a whole frame whose type is the first byte.
    static func session(_ bytes: [UInt8]) {
        guard let first = bytes.first else { return }
        frames(ClientFrame.self, bytes)
        frames(ServerFrame.self, bytes)
        let body = Array(bytes.dropFirst())
        if let frame = frame(ClientFrame.self, UInt16(first), body) { frames(ClientFrame.self, frame.bytes) }
        if let frame = frame(ServerFrame.self, UInt16(first), body) { frames(ServerFrame.self, frame.bytes) }
    }

    private static func frame<Frame: SessionFrame>(_: Frame.Type, _ type: UInt16, _ body: [UInt8]) -> Frame? {
        guard Frame.isKnown(type: type), body.count <= Frame.maximumBody else { return nil }
        var reader = ByteReader(body)
        guard let frame = try? Frame(type: type, epoch: Epoch(1), body: &reader), reader.isAtEnd else { return nil }
        var again = FrameReader<Frame>()
        again.feed(frame.bytes)
        precondition((try? again.next()) == frame, "\(frame)")
        return frame
    }

    private static func frames<Frame: SessionFrame>(_: Frame.Type, _ bytes: [UInt8]) {
        var reader = FrameReader<Frame>()
        for start in stride(from: 0, to: bytes.count, by: 100) {
            reader.feed(bytes[start..<min(start + 100, bytes.count)])
            while (try? reader.next()) != nil {}
            precondition(reader.buffered <= SessionWire.headerSize + Frame.maximumBody + 100, "more than one frame")
        }
    }

    // MARK: - State file

    /// As it lies there, and with these bytes as the content of a whole file.
    static func state(_ bytes: [UInt8]) {
        _ = try? StoredStateCodec.decode(bytes)
        var whole = ByteWriter()
        whole.raw([0x43, 0x53, 0x4e, 0x53])
        whole.fixed(StoredStateCodec.version)
        whole.fixed(UInt32(bytes.count))
        whole.raw(bytes)
        whole.fixed(Castagnoli.checksum(whole.bytes))
        guard let state = try? StoredStateCodec.decode(whole.bytes) else { return }
        precondition((try? StoredStateCodec.decode(StoredStateCodec.encode(state))) == state, "\(state)")
    }
}
