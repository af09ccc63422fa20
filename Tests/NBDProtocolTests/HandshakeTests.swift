import NBDProtocol
import Testing

@Suite struct HandshakeTests {
    let flags = Client.big(UInt32(3))
    let unknownNames = ["nothing", "origi", "origin2"]

    @Test func greetingOffersFixedNewstyleWithoutZeroes() {
        let greeting = NBDHandshake(exports: [Client.origin]).greeting
        #expect(greeting == Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
    }

    @Test(arguments: ["", "origin"]) func exportNameOpensTheOrigin(name: String) {
        let run = Client.run(flags + Client.option(1, Array(name.utf8)))
        let expected = NBDTransmission(export: Client.origin, structuredReplies: false, allocation: false)
        guard case .transmit(let bytes, let transmission) = run.last else {
            Issue.record("\(run.last)")
            return
        }
        #expect(transmission == expected)
        #expect(bytes.prefix(8) == Client.big(UInt64(1 << 20))[...])
        #expect(bytes.count == 10)
    }

    @Test func exportNameSendsZeroesToOldClients() {
        let run = Client.run(Client.big(UInt32(1)) + Client.option(1, Array("other".utf8)))
        #expect(run.replies.count == 8 + 2 + 124)
        #expect(run.replies.suffix(124).allSatisfy { $0 == 0 })
    }

    @Test func unknownNamesAreRefused() {
        for name in unknownNames {
            #expect(Client.run(flags + Client.option(1, Array(name.utf8))).last == .close([]))
            let data = Client.string(name) + [0, 0]
            #expect(Client.run(flags + Client.option(7, data)).last == .reply(Client.reply(7, 0x8000_0006)))
        }
    }

    @Test func goTellsSizeFlagsAndBlockSizes() {
        let run = Client.run(flags + Client.option(7, Client.string("origin") + [0, 1, 0, 2]))
        let capabilities: UInt16 = 1 | 4 | 8 | 32 | 64 | 256 | 1024
        let export = Client.big(UInt16(0)) + Client.big(UInt64(1 << 20)) + Client.big(capabilities)
        let block =
            Client.big(UInt16(3)) + Client.big(UInt32(512)) + Client.big(UInt32(65536)) + Client.big(UInt32(32 << 20))
        let description = Client.big(UInt16(2)) + Array("origin of v".utf8)
        let expected =
            Client.reply(7, 3, export) + Client.reply(7, 3, block) + Client.reply(7, 3, description)
            + Client.reply(7, 1)
        #expect(run.replies == expected)
        guard case .transmit = run.last else {
            Issue.record("\(run.last)")
            return
        }
    }

    @Test func infoGoesOnAndGoFollows() {
        let data = Client.string("other") + [0, 0]
        let run = Client.run(flags + Client.option(6, data) + Client.option(7, data))
        guard case .transmit(_, let transmission) = run.last else {
            Issue.record("\(run.last)")
            return
        }
        #expect(transmission.export == Client.other)
        #expect(run.replies.suffix(20) == Client.reply(7, 1)[...])
    }

    @Test func listNamesAllExports() {
        let run = Client.run(flags + Client.option(3))
        let first = Client.reply(3, 2, Client.string("origin") + Array("origin of v".utf8))
        #expect(run.replies == first + Client.reply(3, 2, Client.string("other")) + Client.reply(3, 1))
        #expect(Client.run(flags + Client.option(3, [1])).replies == Client.reply(3, 0x8000_0003))
    }

    @Test func abortIsAcknowledged() {
        #expect(Client.run(flags + Client.option(2)).last == .close(Client.reply(2, 1)))
    }

    @Test(arguments: [UInt32(5), 11, 4, 0, 99, .max]) func unknownOptionsAreUnsupported(code: UInt32) {
        let run = Client.run(flags + Client.option(code, [1, 2, 3]))
        #expect(run.last == .reply(Client.reply(code, 0x8000_0001)))
    }

    @Test func metaContextNeedsStructuredReplies() {
        let query = Client.string("origin") + Client.big(UInt32(1)) + Client.string("base:allocation")
        #expect(Client.run(flags + Client.option(10, query)).replies == Client.reply(10, 0x8000_0003))
    }

    @Test func metaContextIsSetForItsExportOnly() {
        let query = Client.string("") + Client.big(UInt32(1)) + Client.string("base:allocation")
        let opening = flags + Client.option(8) + Client.option(10, query)
        let context = Client.reply(10, 4, Client.big(UInt32(1)) + Array("base:allocation".utf8))
        #expect(Client.run(opening).replies == Client.reply(8, 1) + context + Client.reply(10, 1))
        for (name, expected) in [("origin", true), ("other", false)] {
            let run = Client.run(opening + Client.option(7, Client.string(name) + [0, 0]))
            guard case .transmit(_, let transmission) = run.last else {
                Issue.record("\(run.last)")
                continue
            }
            #expect(transmission.allocation == expected)
            #expect(transmission.structuredReplies)
        }
    }

    @Test func metaContextsAreListed() {
        let context = Client.reply(9, 4, Client.big(UInt32(0)) + Array("base:allocation".utf8))
        for queries in [[], ["base:"], ["base:allocation"]] {
            let data =
                Client.string("origin") + Client.big(UInt32(queries.count)) + queries.flatMap(Client.string)
            let run = Client.run(flags + Client.option(8) + Client.option(9, data))
            #expect(run.replies == Client.reply(8, 1) + context + Client.reply(9, 1))
        }
        let data = Client.string("origin") + Client.big(UInt32(1)) + Client.string("qemu:dirty")
        let run = Client.run(flags + Client.option(8) + Client.option(9, data))
        #expect(run.replies == Client.reply(8, 1) + Client.reply(9, 1))
    }

    static let images = ["a", "b", "c"].enumerated().map { index, name in
        NBDExport(
            name: "snap/\(name)", description: "", size: 1 << 20, minimumBlock: 512, preferredBlock: 65536,
            isReadOnly: true, image: NBDImage(name: name, number: UInt64(10 + index)))
    }

    private func metaContext(_ option: UInt32, _ export: String, _ queries: [String]) -> [UInt8] {
        let data = Client.string(export) + Client.big(UInt32(queries.count)) + queries.flatMap(Client.string)
        return Client.option(option, data)
    }

    @Test func anImageHasAContextForEachEarlierOne() {
        func listed(_ export: String, _ queries: [String]) -> [UInt8] {
            let bytes = flags + Client.option(8) + metaContext(9, export, queries)
            return Array(Client.run(bytes, exports: [Client.origin] + Self.images).replies.dropFirst(20))
        }
        func replies(_ names: [String]) -> [UInt8] {
            names.flatMap { Client.reply(9, 4, Client.big(UInt32(0)) + Array($0.utf8)) } + Client.reply(9, 1)
        }
        let all = ["csnap:changed-since:b", "csnap:changed-since:a"]
        #expect(listed("snap/c", []) == replies(["base:allocation"] + all))
        for query in ["csnap:", "csnap:changed-since:"] { #expect(listed("snap/c", [query]) == replies(all)) }
        #expect(listed("snap/b", [all[1], "csnap:changed-since:none"]) == replies([all[1]]))
        #expect(listed("snap/b", all) == replies([all[1]]), "not of itself")
        #expect(listed("snap/a", ["csnap:"]) == replies([]))
        #expect(listed("origin", ["csnap:"]) == replies([]))
    }

    @Test func oneContextOfChangesIsSetBesideTheAllocation() {
        let queries = ["csnap:changed-since:a", "base:allocation", "csnap:changed-since:b"]
        let opening = flags + Client.option(8) + metaContext(10, "snap/c", queries)
        let go = Client.option(7, Client.string("snap/c") + [0, 0])
        let run = Client.run(opening + go, exports: [Client.origin] + Self.images)
        let allocation = Client.reply(10, 4, Client.big(UInt32(1)) + Array("base:allocation".utf8))
        let changes = Client.reply(10, 4, Client.big(UInt32(2)) + Array("csnap:changed-since:a".utf8))
        #expect(run.replies.starts(with: Client.reply(8, 1) + allocation + changes + Client.reply(10, 1)))
        guard case .transmit(_, let transmission) = run.last else {
            Issue.record("\(run.last)")
            return
        }
        #expect(transmission.allocation && transmission.changedSince == 10)
    }

    @Test func anAliasOpensTheExportAndIsNotListed() {
        var image = Self.images[1]
        image.alias = "snap#11"
        let exports = [Client.origin] + [Self.images[0], image]
        guard
            case .transmit(_, let transmission) = Client.run(
                flags + Client.option(7, Client.string("snap#11") + [0, 0]), exports: exports
            ).last
        else {
            Issue.record("it opens nothing")
            return
        }
        #expect(transmission.export == image)
        let list = Client.run(flags + Client.option(3), exports: exports).replies
        #expect(!String(decoding: list, as: UTF8.self).contains("#"))
        #expect(
            Client.run(flags + Client.option(7, Client.string("snap#1") + [0, 0]), exports: exports).replies
                == Client.reply(7, 0x8000_0006))
    }

    @Test func malformedOptionsAreInvalid() {
        let malformed: [[UInt8]] = [
            [], [0, 0, 0], Client.big(UInt32.max), Client.string("origin"), Client.string("origin") + [0],
            Client.string("origin") + [0, 2, 0, 1], Client.string("origin") + [0, 0, 9],
        ]
        for data in malformed {
            #expect(Client.run(flags + Client.option(7, data)).replies == Client.reply(7, 0x8000_0003))
        }
        let counts = Client.string("origin") + Client.big(UInt32.max) + Client.string("base:allocation")
        let run = Client.run(flags + Client.option(8) + Client.option(10, counts))
        #expect(run.replies.suffix(20) == Client.reply(10, 0x8000_0003)[...])
    }

    @Test func limitsEndTheHandshake() {
        let long = Client.big(UInt64(0x4948_4156_454F_5054)) + Client.big(UInt32(7)) + Client.big(UInt32(16385))
        #expect(Client.run(flags + long).last == .close(Client.reply(7, 0x8000_0009)))
        let many = (0...NBD.maximumOptions).flatMap { _ in Client.option(99) }
        #expect(Client.run(flags + many).last == .close([]))
    }

    @Test func wrongMagicFlagsAndCountsClose() {
        #expect(Client.run(Client.big(UInt32(4))).last == .close([]))
        #expect(Client.run(flags + [UInt8](repeating: 0, count: 16)).last == .close([]))
        var machine = NBDHandshake(exports: [Client.origin])
        #expect(machine.receive([1]) == .close([]))
        #expect(machine.wanted == 0)
        #expect(machine.receive([]) == .close([]))
    }

    @Test func randomBytesNeverTrap() {
        var words = Words(state: 1)
        var ends = 0
        for _ in 0..<50_000 {
            var bytes = flags
            for _ in 0..<Int.random(in: 1...4, using: &words) {
                let length = Int.random(in: 0...40, using: &words)
                var data = (0..<length).map { _ in UInt8.random(in: 0...255, using: &words) }
                if Bool.random(using: &words) { data = Client.string("origin") + data }
                bytes += Client.option(UInt32.random(in: 0...12, using: &words), data)
                if words.next() % 8 == 0 {
                    bytes[Int(words.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: words.next())
                }
            }
            if Client.run(bytes).last != .reply([]) { ends += 1 }
        }
        #expect(ends > 25_000)
    }
}
