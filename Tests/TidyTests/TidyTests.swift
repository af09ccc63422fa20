import FoundationEssentials
import Testing

/// What the compiler cannot check: the code's own rules (CONTRIBUTING.md), and that documents and code agree.
@Suite("Tidy") struct TidyTests {
    @Test func sizes() {
        #expect(Repository.swift.flatMap(SizeRules.tooLong) == [])
        let lengths = Repository.sources.filter(\.isSwift).map(\.lines.count).sorted()
        #expect(lengths[lengths.count / 2] <= SizeRules.median)
        let functions = Repository.swift.flatMap(SizeRules.functions).map(\.length).sorted()
        #expect(functions.count > 1000 && functions[functions.count * 9 / 10] <= SizeRules.ordinaryFunction)
        #expect(Repository.documents.flatMap(SizeRules.tooWide) == [])
    }

    @Test func arrowsPointDown() {
        #expect(Repository.sources.filter(\.isSwift).flatMap(ArrowRules.wrongImports) == [])
    }

    @Test(arguments: WordRule.everywhere + WordRule.pure) func words(rule: WordRule) {
        #expect(Repository.files.flatMap(rule.found) == [])
    }

    @Test func whatIsUncheckedSaysWhyItIsSafe() {
        #expect(Repository.swift.flatMap(WordRule.unexplained) == [])
    }

    @Test func theProjectSpeaksOfItself() {
        #expect(Repository.files.flatMap(WordRule.foreign) == [])
    }

    @Test func linksLeadSomewhere() {
        #expect(Repository.documents.flatMap(DocumentRules.broken) == [])
        #expect(Repository.documents.flatMap(DocumentRules.missingFiles) == [])
        #expect(Repository.files.filter { $0.target != "TidyTests" }.flatMap(DocumentRules.missingSections) == [])
    }

    @Test func decisionsHaveNumbersOfTheirOwn() {
        let numbers = Repository.paths.filter { $0.matches("^docs/decisions/[0-9]{4}-.*\\.md$") }.map { $0.prefix(19) }
        #expect(Set(numbers).count == numbers.count)
        let others = Repository.paths.filter {
            $0.hasPrefix("docs/decisions/") && !$0.matches("/[0-9]{4}-[a-z0-9-]+\\.md$")
        }
        #expect(others == [])
    }
}

/// Each kind of name that people meet must be explained to them.
@Suite("Tidy: names") struct TidyNameTests {
    private let troubleshooting = "docs/troubleshooting.md"

    @Test func everyMessageIDIsExplained() {
        let used = ["ReportCatalog", "ClientNote"].flatMap { file in
            Repository.text("Sources/CsnapRuntime/Telemetry/\(file).swift").captures("\"([0-9a-f]{32})\"")
        }
        #expect(used.count > 20)
        #expect(Set(used).count == used.count)
        let explained = Repository.text("units/csnap.catalog").captures("^-- ([0-9a-f]{32})$")
        #expect(explained.sorted() == used.sorted())
        #expect(DocumentRules.undocumented(used, in: troubleshooting, "MESSAGE_ID") == [])
    }

    @Test func everyReportAndWaitIsExplained() {
        let reports = Repository.text("Sources/CsnapRuntime/Control/EventWords.swift").captures(
            #"self\.init\(\s*"(\w+)""#)
        #expect(reports.count > 20)
        #expect(DocumentRules.undocumented(reports.filter { $0 != "other" }, in: troubleshooting, "report") == [])
        let waits = Repository.text("Sources/CsnapCore/Local/AgentStatus.swift").captures(#"case (\w+) = [0-9]+$"#)
        #expect(waits.count > 10)
        #expect(DocumentRules.undocumented(waits, in: troubleshooting, "wait") == [])
    }

    @Test func everyErrorCodeIsExplained() {
        let text = Repository.text("Sources/CsnapRuntime/Control/ControlError.swift")
        let codes = text.captures(#"code: "(\w+)""#) + ["noServer", "notHolder"]
        #expect(codes.count > 8)
        #expect(DocumentRules.undocumented(codes, in: troubleshooting, "error code") == [])
        let refusals = Repository.text("Sources/CsnapRuntime/Control/SnapshotTypes.swift").captures(
            #"case \.\w+: "(\w+)"$"#)
        #expect(refusals.count > 18)
        #expect(DocumentRules.undocumented(refusals, in: troubleshooting, "refusal of a snapshot command") == [])
        let errors = text.captures(#"case \.\w+: "io\.csnap\.Agent\.(\w+)""#)
        #expect(errors.count > 3)
        let interface = Repository.text("Sources/CsnapRuntime/Control/InterfaceDescription.swift")
        for error in errors where error != "Unreachable" { #expect(interface.contains("error \(error) "), "\(error)") }
    }

    @Test func everyKeyIsInTheManual() {
        let loader = Repository.text("Sources/CsnapRuntime/Configuration/ConfigurationLoader.swift")
        let list = loader.captures(#"static let keys = \[([^\]]*)\]"#).first ?? ""
        let keys = list.captures(#""([a-z-]+)""#)
        #expect(keys.count > 10)
        let manual = Repository.text("docs/man/csnap.yaml.5")
        for key in keys { #expect(manual.contains(".It Ic \(key) "), "\(key) is not in csnap.yaml(5)") }
        let timers = Repository.text("Sources/CsnapRuntime/Configuration/ConfigurationSections.swift")
            .captures(#"\("([a-z-]+)", "#)
        #expect(timers.count > 10)
        for timer in timers { #expect(manual.contains(timer), "timer \(timer) is not in csnap.yaml(5)") }
    }

    @Test func everyExitCodeIsExplained() {
        let table = DocumentRules.exitCodes(in: Repository.text(troubleshooting))
        func codes(_ path: String, _ pattern: String) -> [Int] {
            Repository.text(path).captures(pattern).compactMap(Int.init)
        }
        let used = [
            "csnap-agent": codes("Sources/CsnapRuntime/Daemons/Agent/AgentProgram.swift", #"case \.\w+: ([0-9]+)$"#)
                + codes("Sources/CsnapRuntime/Daemons/Agent/AgentProgram.swift", #"Code: Int32 = ([0-9]+)"#)
                + codes("Sources/CsnapRuntime/Daemons/Agent/AgentStart.swift", #"exitCode: ([0-9]+)"#),
            "csnap-server": codes(
                "Sources/CsnapRuntime/Daemons/Server/ServerResources.swift", #"case \w+ = ([0-9]+)$"#),
            "csnap-client": codes("Sources/CsnapRuntime/Daemons/Client/ClientProgram.swift", #"Code: Int32 = ([0-9]+)"#)
                + codes("Sources/CsnapRuntime/Daemons/Client/ClientOptions.swift", #"case [.\w, ]+: ([0-9]+)$"#),
            "csnapctl": codes("Sources/CsnapRuntime/Control/ControlError.swift", #"case [.\w, ]+: ([0-9]+)$"#) + [
                0, 1, 2,
            ],
        ]
        for (program, codes) in used {
            #expect(codes.count > 1)
            for code in codes { #expect(table[program]?.contains(code) == true, "\(program) may exit with \(code)") }
        }
        for program in used.keys {
            #expect(Repository.paths.contains { $0.hasPrefix("docs/man/\(program).") }, "\(program) has no manual")
        }
    }
}

/// What is there must be used, and what is claimed must be checked.
@Suite("Tidy: use") struct TidyUseTests {
    /// Not judged by an oracle under their number: the file that judges them, nil for what does not exist yet (L2).
    private static let judgedElsewhere: [Int: String?] = [
        6: nil,
        10: "Tests/Scenarios/outline-2-lower-id-joins.txt",
        15: "Tests/CsnapCoreTests/Membership/MembershipRuleTests.swift",
        21: "Tests/Scenarios/false-suspicion-is-harmless.txt",
        22: "Sources/CsnapSimulation/Run/Liveness.swift",
        23: "Sources/CsnapSimulation/Run/Liveness.swift",
    ]

    @Test func everyInvariantIsJudged() {
        let named = Repository.text("Sources/CsnapCore/Identity/Invariant.swift").captures(#"case \w+ = ([0-9]+)$"#)
        let section = Repository.text("docs/protocol.md").components(separatedBy: "## §8").last ?? ""
        let written = (section.components(separatedBy: "## §9").first ?? "").captures(#"^\| ([0-9]+) \|"#)
        #expect(named == written && named.count > 20, "docs/protocol.md §8 and Invariant differ")
        let simulation = Repository.sources.filter { $0.target == "CsnapSimulation" }.map(\.text).joined()
        let judged = Set(simulation.captures(#"fail\(\s*([0-9]+),"#))
        for number in named where !judged.contains(number) {
            let other = Self.judgedElsewhere[Int(number) ?? 0]
            #expect(other != nil, "no oracle judges invariant \(number)")
            if let file = other ?? nil { #expect(Repository.paths.contains(file)) }
        }
        for number in Self.judgedElsewhere.keys { #expect(!judged.contains("\(number)"), "\(number) is judged now") }
    }

    @Test func everyMutantRemovesSomething() {
        let mutants = Repository.text("Sources/CsnapCore/Identity/Mutants.swift").captures(#"^    case (\w+)$"#)
        #expect(mutants.count > 30)
        let sources = Repository.sources.map(\.text).joined()
        for mutant in mutants { #expect(sources.contains("active(.\(mutant))"), "\(mutant) is nowhere asked for") }
    }

    @Test func everyScenarioIsPlayed() {
        let files = Repository.paths.filter { $0.hasPrefix("Tests/Scenarios/") }
        #expect(files.count > 30)
        #expect(files.allSatisfy { $0.hasSuffix(".txt") }, "ScenarioTests plays what ends in .txt")
        let names = Repository.sources.filter { $0.path.hasPrefix("Sources/CsnapSandbox/Scenarios/") }
            .flatMap { $0.text.captures(#"let name = "([a-z-]+)""#) }
        #expect(names.count > 10)
        let scripts = Repository.text("scripts/scenarios") + Repository.text("scripts/failpoints")
        for name in names { #expect(scripts.matches("\"\(name)\""), "no script plays \(name)") }
    }

    @Test func everyFolderIsATarget() {
        let targets = Set(Repository.sources.map(\.target))
        let package = Repository.text("Package.swift")
        for target in targets { #expect(package.contains("name: \"\(target)\""), "nobody builds \(target)") }
    }

    @Test func nothingIsDead() {
        let declared = Repository.files.filter { $0.path.hasPrefix("Sources/CShims/include/") }
            .flatMap { $0.text.captures(#"\b(csnap_\w+)\("#) }
        #expect(declared.count > 10)
        let sources = Repository.sources.filter(\.isSwift).map(\.text).joined()
        for name in Set(declared) { #expect(sources.contains(name + "("), "nobody calls \(name)") }
        let callers = Repository.files.filter { !$0.path.hasPrefix("scripts/") || $0.text.hasPrefix("#!") }
        for script in Repository.paths where script.hasPrefix("scripts/") {
            let name = script.dropFirst("scripts/".count)
            #expect(
                callers.contains {
                    $0.path != script
                        && ($0.text.contains(script) || $0.text.contains("from \(name.prefix { $0 != "." }) import"))
                },
                "nobody names \(script)")
        }
    }
}
