import NBDProtocol
import Testing

@Suite struct TransmissionTests {
    let simple = NBDTransmission(export: Client.origin, structuredReplies: false, allocation: false)
    let structured = NBDTransmission(export: Client.origin, structuredReplies: true, allocation: true)

    func decode(_ bytes: [UInt8], _ machine: NBDTransmission? = nil) -> NBDTransmission.Request {
        bytes.withUnsafeBytes { (machine ?? structured).decode($0) }
    }

    func command(_ request: NBDTransmission.Request) -> NBDCommand.Action? {
        guard case .perform(let command) = request else { return nil }
        return command.action
    }

    func refusal(_ request: NBDTransmission.Request) -> NBDError? {
        guard case .refuse(_, let error, _, _) = request else { return nil }
        return error
    }

    @Test func eachCommandIsUnderstood() {
        #expect(command(decode(Client.request(0))) == .read)
        #expect(command(decode(Client.request(0, flags: 4))) == .read)
        #expect(command(decode(Client.request(1))) == .write(fua: false))
        #expect(command(decode(Client.request(1, flags: 1))) == .write(fua: true))
        #expect(decode(Client.request(2)) == .disconnect)
        #expect(command(decode(Client.request(3, length: 0))) == .flush)
        #expect(command(decode(Client.request(4, flags: 1))) == .trim(fua: true))
        #expect(command(decode(Client.request(5))) == .cache)
        #expect(command(decode(Client.request(6))) == .writeZeroes(fua: false, mayPunch: true))
        #expect(command(decode(Client.request(6, flags: 3))) == .writeZeroes(fua: true, mayPunch: false))
        #expect(command(decode(Client.request(7))) == .blockStatus(one: false))
        #expect(command(decode(Client.request(7, flags: 8))) == .blockStatus(one: true))
    }

    @Test func fieldsAreBigEndian() {
        let bytes = Client.request(0, cookie: 0x0102_0304_0506_0708, offset: 0x1_0200, length: 0x400)
        guard case .perform(let command) = decode(bytes) else {
            Issue.record("refused")
            return
        }
        #expect(command.cookie == 0x0102_0304_0506_0708)
        #expect(command.offset == 0x1_0200)
        #expect(command.length == 0x400)
    }

    @Test func unalignedRequestsAreInvalid() {
        for type in [UInt16(0), 1, 4, 6, 7] {
            #expect(refusal(decode(Client.request(type, offset: 1))) == .invalid)
            #expect(refusal(decode(Client.request(type, length: 513))) == .invalid)
            #expect(refusal(decode(Client.request(type, length: 0))) == .invalid)
        }
        let coarse = NBDTransmission(export: Client.other, structuredReplies: false, allocation: false)
        #expect(refusal(decode(Client.request(0), coarse)) == .invalid)
        #expect(command(decode(Client.request(0, length: 4096), coarse)) == .read)
    }

    @Test func requestsEndInsideTheExport() {
        let last = UInt64(1 << 20) - 512
        #expect(command(decode(Client.request(1, offset: last))) == .write(fua: false))
        #expect(refusal(decode(Client.request(1, offset: last, length: 1024))) == .noSpace)
        #expect(refusal(decode(Client.request(0, offset: last, length: 1024))) == .invalid)
        #expect(refusal(decode(Client.request(6, offset: UInt64.max - 511))) == .noSpace)
        #expect(refusal(decode(Client.request(4, length: 0xFFFF_FE00))) == .noSpace)
    }

    @Test func payloadsAreBounded() {
        let big = NBDTransmission(export: Client.other, structuredReplies: true, allocation: false)
        #expect(command(decode(Client.request(1, length: 32 << 20), big)) == .write(fua: false))
        #expect(decode(Client.request(1, length: (32 << 20) + 4096), big) == .close)
        #expect(refusal(decode(Client.request(0, length: (32 << 20) + 4096), big)) == .overflow)
        #expect(command(decode(Client.request(6, length: 1 << 29), big)) != nil)
    }

    @Test func refusedWritesSayHowMuchToSkip() {
        let request = decode(Client.request(1, cookie: 9, offset: 1, length: 700))
        #expect(request == .refuse(cookie: 9, .invalid, payload: 700, isRead: false))
    }

    @Test func unknownCommandsFlagsAndContextsAreInvalid() {
        for type in [UInt16(8), 99, .max] { #expect(refusal(decode(Client.request(type))) == .invalid) }
        #expect(refusal(decode(Client.request(1, flags: 0x10))) == .invalid)
        #expect(refusal(decode(Client.request(0, flags: 2))) == .invalid)
        #expect(refusal(decode(Client.request(6, flags: 16))) == .invalid)
        #expect(refusal(decode(Client.request(7), simple)) == .invalid)
    }

    @Test func aReadOnlyExportRefusesChanges() {
        var export = Client.origin
        export.isReadOnly = true
        let machine = NBDTransmission(export: export, structuredReplies: true, allocation: true)
        for type in [UInt16(1), 4, 6] { #expect(refusal(decode(Client.request(type), machine)) == .notPermitted) }
        #expect(command(decode(Client.request(0), machine)) == .read)
        #expect(command(decode(Client.request(3, length: 0), machine)) == .flush)
        let flags = export.transmissionFlags(structuredReplies: true)
        #expect(flags & 2 != 0)
        #expect(flags & (1 << 3 | 1 << 5 | 1 << 6) == 0)
        #expect(flags & 1 << 7 != 0, "NBD_FLAG_SEND_DF")
        #expect(export.transmissionFlags(structuredReplies: false) == flags & ~(1 << 7))
    }

    @Test func garbageCloses() {
        #expect(decode([UInt8](repeating: 0, count: 28)) == .close)
        #expect(decode(Array(Client.request(0).dropLast())) == .close)
        #expect(decode([]) == .close)
    }

    @Test func simpleReplies() {
        let magic = Client.big(UInt32(0x6744_6698))
        #expect(simple.done(5).bytes == magic + [0, 0, 0, 0] + Client.big(UInt64(5)))
        #expect(simple.data(5, offset: 512, length: 512) == simple.done(5))
        #expect(
            simple.failure(5, .inputOutput, isRead: true).bytes == magic + [0, 0, 0, 5] + Client.big(UInt64(5)))
        #expect(structured.failure(5, .noSpace, isRead: false).bytes == magic + [0, 0, 0, 28] + Client.big(UInt64(5)))
    }

    @Test func structuredReplies() {
        let magic = Client.big(UInt32(0x668E_33EF))
        let offset: UInt64 = 0x1234_5678_9ABC_DE00
        let data = structured.data(5, offset: offset, length: 512)
        let expected: [UInt8] = magic + [0, 1, 0, 1] + Client.big(UInt64(5)) + Client.big(UInt32(520))
        #expect(data.bytes == expected + Client.big(offset))
        let failure = structured.failure(5, .inputOutput, isRead: true)
        let failed: [UInt8] = magic + [0, 1, 0x80, 1] + Client.big(UInt64(5)) + [0, 0, 0, 6, 0, 0, 0, 5, 0, 0]
        #expect(failure.bytes == failed)
    }

    @Test func blockStatusReply() {
        let extents = [NBDExtent(length: 4096, isHole: false), NBDExtent(length: 512, isHole: true)]
        let header: [UInt8] = Client.big(UInt32(0x668E_33EF)) + [0, 1, 0, 5] + Client.big(UInt64(5))
        let body: [UInt8] = [0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3]
        #expect(structured.status(5, extents: extents) == header + body)
        let many = [NBDExtent](repeating: extents[0], count: 5000)
        #expect(structured.status(5, extents: many).count == 24 + 8 * NBD.maximumExtents)
    }

    @Test func changesAreAChunkOfTheirOwn() {
        let extents = [NBDExtent(length: 512, isHole: false)]
        let changes = [NBDExtent(length: 4096, isChanged: true), NBDExtent(length: 512, isChanged: false)]
        func header(_ flags: UInt8, _ length: UInt8, _ context: UInt8) -> [UInt8] {
            Client.big(UInt32(0x668E_33EF)) + [0, flags, 0, 5] + Client.big(UInt64(5)) + [
                0, 0, 0, length, 0, 0, 0, context,
            ]
        }
        let data: [UInt8] = [0, 0, 2, 0, 0, 0, 0, 0]
        let changed: [UInt8] = [0, 0, 16, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0]
        for allocation in [true, false] {
            let machine = NBDTransmission(
                export: Client.origin, structuredReplies: true, allocation: allocation, changedSince: 3)
            let first = allocation ? header(0, 12, 1) + data : []
            #expect(machine.status(5, extents: extents, changes: changes) == first + header(1, 20, 2) + changed)
            let many = [NBDExtent](repeating: changes[0], count: 5000)
            #expect(machine.status(5, extents: many, changes: many).count <= NBD.maximumStatusLength)
            let request = Client.request(7)
            #expect(
                request.withUnsafeBytes {
                    machine.decode($0) != .refuse(cookie: 7, .invalid, payload: 0, isRead: false)
                })
        }
    }

    @Test func randomHeadersNeverTrap() {
        var words = Words(state: 2)
        var performed = 0
        for _ in 0..<100_000 {
            var bytes = Client.request(
                UInt16(words.next() % 10), flags: UInt16(words.next() % 20), cookie: words.next(),
                offset: words.next() % 2 == 0 ? words.next() : words.next() % 2048 * 512,
                length: UInt32(truncatingIfNeeded: words.next() % 2 == 0 ? words.next() : words.next() % 64 * 512))
            if words.next() % 4 == 0 { bytes[Int(words.next() % 28)] = UInt8(truncatingIfNeeded: words.next()) }
            if case .perform(let command) = decode(bytes) {
                performed += 1
                #expect(command.offset + UInt64(command.length) <= Client.origin.size)
            }
        }
        #expect(performed > 1_500)
    }
}
