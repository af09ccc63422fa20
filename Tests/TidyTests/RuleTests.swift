import Testing

/// The rules themselves: each finds what it is for, or a clean report means nothing.
@Suite("Tidy: the rules") struct RuleTests {
    private func file(_ path: String, _ text: String) -> SourceText { SourceText(path: path, text: text) }

    @Test func lengthsAreFound() {
        let body = String(repeating: "        a()\n", count: 70)
        let long = file("Sources/A/B.swift", "struct B {\n    private func f() {\n\(body)    }\n}\n")
        #expect(SizeRules.tooLong(long) == ["Sources/A/B.swift:2: a function of 72 lines"])
        let wide = file("Sources/A/B.swift", String(repeating: "x", count: 121) + "\n")
        #expect(SizeRules.tooLong(wide).count == 1)
        #expect(SizeRules.tooLong(file("Sources/A/B.swift", String(repeating: "x\n", count: 401))).count == 1)
        #expect(SizeRules.tooWide(file("a.md", String(repeating: "w ", count: 51))).count == 1)
        #expect(SizeRules.tooWide(file("a.md", "```\n" + String(repeating: "w ", count: 51) + "\n```")) == [])
    }

    @Test func arrowsUpAreFound() {
        #expect(ArrowRules.wrongImports(file("Sources/CsnapCore/A.swift", "package import Foundation\n")).count == 1)
        #expect(ArrowRules.wrongImports(file("Sources/CsnapStore/A.swift", "import CsnapCore\n")) == [])
        #expect(ArrowRules.wrongImports(file("Sources/New/A.swift", "")).count == 1)
    }

    @Test(arguments: [
        ("print", "print(1)"), ("sleep", "usleep(1)"), ("the wall clock", "let now = Date()"), ("try!", "try! f()"),
        ("as!", "x as! Y"), ("Dictionary or Set", "var a: [NodeID: Int]"), ("Dictionary or Set", "var a = [:]"),
        ("Dictionary or Set", "var a: Set<Int>"), ("Hasher", "var h = Hasher()"), ("randomness", "Int.random(in: a)"),
        ("concurrency", "func f() async {"), ("a clock", "ContinuousClock()"), ("a key path", #"a.map(\.b)"#),
        ("an existential", "any Sequence"),
    ])
    func wordsAreFound(what: String, line: String) {
        let rules = (WordRule.everywhere + WordRule.pure).filter { $0.what.hasPrefix(what) }
        #expect(rules.count == 1)
        #expect(rules.allSatisfy { $0.found(in: file("Sources/CsnapCore/A.swift", line + "\n")).count == 1 })
        #expect(rules.allSatisfy { $0.found(in: file("Sources/CsnapCore/A.swift", "// \(line)\n")) == [] })
        #expect(rules.allSatisfy { $0.found(in: file("Sources/CsnapCore/A.swift", "f(\"\(line)\")\n")) == [] })
    }

    @Test(arguments: ["a[of: node]", "let a: [Int]", "f(a: [b])", "state(of: a)[b]", "func set(_ a: Int)"])
    func harmlessWordsAreNotFound(line: String) {
        #expect(WordRule.pure.flatMap { $0.found(in: file("Sources/CsnapCore/A.swift", line)) } == [])
    }

    @Test func unexplainedRisksAreFound() {
        let bare = "/// A box.\nfinal class A: @unchecked Sendable {}\n"
        #expect(WordRule.unexplained(file("Sources/A/B.swift", bare)).count == 1)
        let explained = "/// Safe: never changed.\nfinal class A: @unchecked Sendable {}\n"
        #expect(WordRule.unexplained(file("Sources/A/B.swift", explained)) == [])
    }

    @Test func foreignWordsAreFound() {
        #expect(WordRule.foreign(file("a.md", "see /wo" + "rk/main")).count == 1)
        #expect(WordRule.foreign(file("a.md", "// TO" + "DO later")).count == 1)
        #expect(WordRule.foreign(file("a.md", "/tmp/csnap-" + "C/x")).count == 1)
        #expect(WordRule.foreign(file("a.md", "/tmp/csnap-test-XXXXXX")) == [])
    }

    @Test func brokenLinksAreFound() {
        #expect(DocumentRules.broken(file("docs/a.md", "[a](nothing.md) [b](protocol.md) [c](https://x.y)")).count == 1)
        #expect(DocumentRules.broken(file("docs/a.md", "[a](../README.md#no-such-heading)")).count == 1)
        #expect(
            DocumentRules.missingFiles(file("a.md", "`No/Such.swift` `Tests/TidyTests/RuleTests.swift`")).count == 1)
        #expect(
            DocumentRules.missingSections(file("a.swift", "// docs/protocol.md §99, docs/protocol.md §8")).count == 1)
        #expect(DocumentRules.undocumented(["no-such-word"], in: "README.md", "word").count == 1)
    }

    @Test func codeIsTakenFromBetweenStringsAndComments() {
        let text = "a(\"b\") // c\nlet d = \"\"\"\n    e\n    \"\"\"\nf(\"\\\"g\") + h\n"
        #expect(file("a.swift", text).code.map { $0.filter { $0 != " " } } == ["a()", "letd=", "", "", "f()+h", ""])
    }
}
