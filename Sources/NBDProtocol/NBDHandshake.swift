/// The server's side of the fixed newstyle handshake: bytes in, replies out, no socket.
///
/// The shell sends `greeting`, then reads exactly `wanted` bytes, gives them to `receive`, and obeys the step, until
/// the step is `transmit` or `close`. Reading exact lengths keeps the first request out of the handshake's hands.
/// Any bytes at all are answered by a reply or by `close`; none trap.
package struct NBDHandshake: Equatable, Sendable {
    package enum Step: Equatable, Sendable {
        /// Send these bytes (there may be none) and go on.
        case reply([UInt8])
        /// Send these bytes; the transmission of that export begins.
        case transmit([UInt8], NBDTransmission)
        /// Send these bytes and close the connection.
        case close([UInt8])
    }

    private enum State: Equatable {
        case clientFlags
        case header
        case data(option: UInt32, length: UInt32)
        case over
    }

    private struct Contexts: Equatable {
        /// The index of the export.
        var export: Int
        var allocation: Bool
        var changedSince: NBDImage?
    }

    private let exports: [NBDExport]
    private var state = State.clientFlags
    private var noZeroes = false
    private var structuredReplies = false
    /// What the last SET_META_CONTEXT chose.
    private var contexts: Contexts?
    private var options = 0

    /// The first export is also the default, whose name is empty.
    package init(exports: [NBDExport]) { self.exports = exports }

    /// The server's first bytes.
    package var greeting: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(big: NBD.initialMagic)
        bytes.append(big: NBD.optionMagic)
        bytes.append(big: HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)
        return bytes
    }

    /// How many bytes the next `receive` needs; at most `NBD.maximumOptionLength`, 0 when the handshake is over.
    package var wanted: Int {
        switch state {
        case .clientFlags: 4
        case .header: 16
        case .data(_, let length): Int(length)
        case .over: 0
        }
    }

    /// Takes exactly `wanted` bytes; another count closes the connection.
    package mutating func receive(_ bytes: [UInt8]) -> Step {
        guard bytes.count == wanted else { return end([]) }
        switch state {
        case .clientFlags: return clientFlags(bytes)
        case .header: return header(bytes)
        case .data(let option, _):
            state = .header
            return perform(option, bytes)
        case .over: return end([])
        }
    }

    private mutating func end(_ bytes: [UInt8]) -> Step {
        state = .over
        return .close(bytes)
    }

    private mutating func clientFlags(_ bytes: [UInt8]) -> Step {
        var reader = ByteReader(bytes)
        let known = UInt32(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)
        guard let flags = reader.integer(UInt32.self), flags & ~known == 0 else { return end([]) }
        noZeroes = flags & UInt32(HandshakeFlag.noZeroes) != 0
        state = .header
        return .reply([])
    }

    private mutating func header(_ bytes: [UInt8]) -> Step {
        var reader = ByteReader(bytes)
        guard reader.integer(UInt64.self) == NBD.optionMagic,
            let option = reader.integer(UInt32.self), let length = reader.integer(UInt32.self)
        else { return end([]) }
        options += 1
        guard options <= NBD.maximumOptions else { return end([]) }
        guard length <= NBD.maximumOptionLength else { return end(answer(option, .tooBig)) }
        if length == 0 { return perform(option, []) }
        state = .data(option: option, length: length)
        return .reply([])
    }

    private mutating func perform(_ code: UInt32, _ data: [UInt8]) -> Step {
        guard let option = NBDOption(rawValue: code) else { return .reply(answer(code, .unsupported)) }
        switch option {
        case .exportName: return exportName(data)
        case .abort: return end(answer(code, .acknowledge))
        case .list: return .reply(list(data))
        case .info, .go: return information(option, data)
        case .structuredReply:
            guard data.isEmpty else { return .reply(answer(code, .invalid)) }
            structuredReplies = true
            return .reply(answer(code, .acknowledge))
        case .listMetaContext, .setMetaContext: return .reply(metaContext(option, data))
        }
    }

    private mutating func exportName(_ data: [UInt8]) -> Step {
        guard let index = find(String(decoding: data, as: UTF8.self)) else { return end([]) }
        var bytes: [UInt8] = []
        bytes.append(big: exports[index].size)
        bytes.append(big: exports[index].transmissionFlags(structuredReplies: structuredReplies))
        if !noZeroes { bytes.append(contentsOf: [UInt8](repeating: 0, count: 124)) }
        return transmit(bytes, index)
    }

    private mutating func transmit(_ bytes: [UInt8], _ index: Int) -> Step {
        state = .over
        let chosen = contexts?.export == index ? contexts : nil
        let transmission = NBDTransmission(
            export: exports[index], structuredReplies: structuredReplies, allocation: chosen?.allocation ?? false,
            changedSince: chosen?.changedSince?.number)
        return .transmit(bytes, transmission)
    }

    private func list(_ data: [UInt8]) -> [UInt8] {
        let code = NBDOption.list.rawValue
        guard data.isEmpty else { return answer(code, .invalid) }
        var bytes: [UInt8] = []
        for export in exports {
            var item: [UInt8] = []
            item.append(big: UInt32(export.name.utf8.count))
            item.append(contentsOf: export.name.utf8)
            item.append(contentsOf: export.description.utf8)
            bytes += answer(code, .server, item)
        }
        return bytes + answer(code, .acknowledge)
    }

    private mutating func information(_ option: NBDOption, _ data: [UInt8]) -> Step {
        let code = option.rawValue
        var reader = ByteReader(data)
        guard let name = reader.string(), let count = reader.integer(UInt16.self),
            reader.remaining == 2 * Int(count)
        else { return .reply(answer(code, .invalid)) }
        guard let index = find(name) else { return .reply(answer(code, .unknown)) }
        var bytes = item(.export, index, code) + item(.blockSize, index, code)
        for kind in [NBDInformation.name, .description] where asks(reader, for: kind) {
            bytes += item(kind, index, code)
        }
        bytes += answer(code, .acknowledge)
        return option == .go ? transmit(bytes, index) : .reply(bytes)
    }

    private func asks(_ requests: ByteReader, for kind: NBDInformation) -> Bool {
        var reader = requests
        while let code = reader.integer(UInt16.self) {
            if code == kind.rawValue { return true }
        }
        return false
    }

    private func item(_ kind: NBDInformation, _ index: Int, _ code: UInt32) -> [UInt8] {
        let export = exports[index]
        var data: [UInt8] = []
        data.append(big: kind.rawValue)
        switch kind {
        case .export:
            data.append(big: export.size)
            data.append(big: export.transmissionFlags(structuredReplies: structuredReplies))
        case .name: data.append(contentsOf: export.name.utf8)
        case .description: data.append(contentsOf: export.description.utf8)
        case .blockSize:
            data.append(big: export.minimumBlock)
            data.append(big: export.preferredBlock)
            data.append(big: NBD.maximumPayload)
        }
        return answer(code, .info, data)
    }

    private mutating func metaContext(_ option: NBDOption, _ data: [UInt8]) -> [UInt8] {
        let code = option.rawValue
        var reader = ByteReader(data)
        guard structuredReplies, let name = reader.string(), let count = reader.integer(UInt32.self) else {
            return answer(code, .invalid)
        }
        var queries: [String] = []
        while queries.count < count, let query = reader.string() { queries.append(query) }
        guard queries.count == count, reader.remaining == 0 else { return answer(code, .invalid) }
        guard let index = find(name) else { return answer(code, .unknown) }
        guard option == .setMetaContext else {
            var bytes: [UInt8] = []
            for name in listed(queries, index) { bytes += answer(code, .metaContext, context(0, name)) }
            return bytes + answer(code, .acknowledge)
        }
        var chosen = Contexts(export: index, allocation: queries.contains(NBD.allocationContext))
        let earlier = earlier(than: index)
        for query in queries where chosen.changedSince == nil { chosen.changedSince = image(of: query, earlier) }
        contexts = chosen
        var bytes: [UInt8] = []
        if chosen.allocation {
            bytes += answer(code, .metaContext, context(NBD.allocationContextID, NBD.allocationContext))
        }
        if let image = chosen.changedSince {
            bytes += answer(code, .metaContext, context(NBD.changesContextID, NBD.changesContext + image.name))
        }
        return bytes + answer(code, .acknowledge)
    }

    private func context(_ id: UInt32, _ name: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(big: id)
        bytes.append(contentsOf: name.utf8)
        return bytes
    }

    /// The contexts that these queries mean; without any: all.
    private func listed(_ queries: [String], _ index: Int) -> [String] {
        var names: [String] = []
        if queries.isEmpty || queries.contains("base:") || queries.contains(NBD.allocationContext) {
            names.append(NBD.allocationContext)
        }
        let earlier = earlier(than: index)
        if queries.isEmpty || queries.contains("csnap:") || queries.contains(NBD.changesContext) {
            for image in earlier.prefix(NBD.maximumListedContexts) { names.append(NBD.changesContext + image.name) }
        } else {
            for query in queries where image(of: query, earlier) != nil { names.append(query) }
        }
        return names
    }

    /// The image whose changes that context is about.
    private func image(of context: String, _ images: [NBDImage]) -> NBDImage? {
        guard context.utf8.starts(with: NBD.changesContext.utf8) else { return nil }
        let name = context.utf8.dropFirst(NBD.changesContext.utf8.count)
        return images.first { $0.name.utf8.elementsEqual(name) }
    }

    /// The images before that of this export, the latest first.
    private func earlier(than index: Int) -> [NBDImage] {
        guard let image = exports[index].image else { return [] }
        var images: [NBDImage] = []
        for export in exports.reversed() {
            if let other = export.image, other.number < image.number { images.append(other) }
        }
        return images
    }

    private func find(_ name: String) -> Int? {
        name.isEmpty && !exports.isEmpty ? 0 : exports.firstIndex { $0.name == name || $0.alias == name }
    }

    private func answer(_ option: UInt32, _ reply: OptionReply, _ data: [UInt8] = []) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(big: NBD.optionReplyMagic)
        bytes.append(big: option)
        bytes.append(big: reply.rawValue)
        bytes.append(big: UInt32(data.count))
        return bytes + data
    }
}
