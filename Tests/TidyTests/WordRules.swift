/// What our code must not say, and where it may for a reason.
struct WordRule {
    let what: String
    let pattern: String
    /// Starts of paths.
    var except: [String] = []
    /// Else only in files that begin with one of these.
    var only = ["Sources/"]

    static let everywhere: [WordRule] = [
        WordRule(
            what: "print", pattern: #"(?<![\w.])print\("#,
            except: ["Sources/csnap-sim/", "Sources/csnap-client/Main.swift"]),
        // The sandbox's own look at a condition.
        WordRule(
            what: "sleep", pattern: #"\b(u|nano)?sleep\("#,
            except: ["Sources/CsnapSandbox/Process/ThreadedTask.swift"]),
        WordRule(
            what: "the wall clock",
            pattern: #"CLOCK_REALTIME|gettimeofday|\bDate\(\)|\bDate\.now|\btime\((nil|NULL)\)|\bclock\(\)"#,
            // When a snapshot was made, for people; and schedules, which are by the clock.
            except: [
                "Sources/CsnapRuntime/Daemons/Server/VolumeStore.swift",
                "Sources/CsnapSandbox/Commands/RevertCommand.swift",
                "Sources/CsnapSandbox/Commands/ScheduleCommands.swift",
            ]),
        WordRule(what: "try!", pattern: #"\btry!"#, only: ["Sources/", "Tests/"]),
        WordRule(what: "as!", pattern: #"\bas!"#, only: ["Sources/", "Tests/"]),
        WordRule(what: "@testable", pattern: #"@testable"#, only: ["Tests/"]),
        WordRule(what: "an exit that skips the reason", pattern: #"\babort\(\)"#),
    ]

    private static let pureFolders = ArrowRules.pure.map { "Sources/\($0)/" }

    /// Of the pure targets alone.
    static let pure: [WordRule] = [
        WordRule(
            what: "Dictionary or Set, whose order differs from process to process",
            pattern: #"\b(Dictionary|Set)\b[<(.]|\[:\]|(?<![\w\])?!>])\[[A-Z][\w.]*\??\s*:\s*[\w.\[\]<>?: ]+\]"#,
            only: pureFolders),
        WordRule(what: "Hasher", pattern: #"\bHasher\b|\bhashValue\b"#, only: pureFolders),
        WordRule(
            what: "randomness", pattern: #"\.random\b|RandomNumberGenerator|randomElement|shuffle"#, only: pureFolders),
        WordRule(
            what: "concurrency or a lock",
            pattern: #"\basync\b|\bawait\b|\bactor\b|\bTask\b|\bMutex\b|\bAtomic\b"#, only: pureFolders),
        WordRule(what: "a clock", pattern: #"\b\w*Clock\b"#, only: pureFolders),
        WordRule(what: "a key path", pattern: #"\\[.\w]"#, only: pureFolders),
        WordRule(what: "an existential", pattern: #"\bany [A-Z]"#, only: pureFolders),
    ]

    func found(in file: SourceText) -> [String] {
        guard file.isSwift || file.path.hasSuffix(".c"), only.contains(where: file.path.hasPrefix),
            !except.contains(where: file.path.hasPrefix)
        else { return [] }
        return file.code.enumerated().filter { $0.element.matches(pattern) }.map {
            "\(file.path):\($0.offset + 1) uses \(what): \($0.element.trimmed)"
        }
    }

    /// `@unchecked Sendable` and the like need a comment that says why they are safe.
    static func unexplained(_ file: SourceText) -> [String] {
        file.code.enumerated().filter { $0.element.matches(#"@unchecked Sendable|nonisolated\(unsafe\)"#) }
            .filter { !file.isExplained($0.offset, by: ["safe", "Safe", "only", "from any thread"]) }
            .map { "\(file.path):\($0.offset + 1) does not say why it is safe" }
    }

    /// Written in two parts, so that this file does not say them.
    private static let foreignWords: [String] = {
        let parts = [
            ("TO", "DO"), ("FIX", "ME"), ("XX", "X:"), ("/wo", "rk/"), ("csnap-hel", "pers"), ("clau", "de"),
            ("anthro", "pic"),
        ]
        let clones = ["A", "B", "C", "D", "E", "F", "G", "H"].map { letter in "/tmp/csnap-" + letter }
        return parts.map { first, second in first + second } + clones
    }()

    /// Notes to oneself, and words of the machines and tools that a file was written on: the project speaks of itself.
    static func foreign(_ file: SourceText) -> [String] {
        let words = foreignWords
        return file.lines.enumerated().flatMap { index, line in
            words.filter { $0.first?.isLowercase == true ? line.lowercased().contains($0) : line.contains($0) }.map {
                "\(file.path):\(index + 1) speaks of \($0)"
            }
        }
    }
}

extension String {
    fileprivate var trimmed: String { trimmingPrefix { $0 == " " }.prefix(80).description }
}
