import Foundation

/// A text file of the repository.
struct SourceText {
    /// From the repository's root.
    let path: String
    let text: String
    let lines: [String]

    init(path: String, text: String) {
        self.path = path
        self.text = text
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The target whose source it is: the second part of its path.
    var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    var isSwift: Bool { path.hasSuffix(".swift") }

    /// The lines with comments and the insides of strings left out.
    var code: [String] {
        var isInText = false
        return lines.map { line in
            if line.components(separatedBy: "\"\"\"").count.isMultiple(of: 2) {
                isInText.toggle()
                return isInText ? String(line.prefix { $0 != "\"" }) : ""
            }
            return isInText ? "" : SourceText.withoutStringsAndComment(line)
        }
    }

    private static func withoutStringsAndComment(_ line: String) -> String {
        var kept = ""
        var isInString = false
        var isEscaped = false
        for (character, next) in zip(line, line.dropFirst() + " ") {
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if character == "\\" {
                    isEscaped = true
                } else if character == "\"" {
                    isInString = false
                }
            } else if character == "/" && next == "/" {
                return kept
            } else {
                isInString = character == "\""
                kept.append(isInString ? " " : character)
            }
        }
        return kept
    }

    /// Whether the comment that ends at the line before `index`, or that line itself, contains one of the words.
    func isExplained(_ index: Int, by words: [String]) -> Bool {
        var place = index
        while place >= 0, place == index || lines[place].isComment || lines[place].isDeclaredUnsafe {
            if words.contains(where: lines[place].contains), lines[place].contains("//") { return true }
            place -= 1
        }
        return false
    }
}

extension String {
    fileprivate var isComment: Bool { trimmingCharacters(in: .whitespaces).hasPrefix("//") }
    /// Several of a kind may share one explanation.
    fileprivate var isDeclaredUnsafe: Bool { contains("nonisolated(unsafe)") }

    func matches(_ pattern: String) -> Bool { range(of: pattern, options: .regularExpression) != nil }

    /// What the first group of each match holds.
    func captures(_ pattern: String) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern, options: .anchorsMatchLines) else {
            return []
        }
        let whole = NSRange(startIndex..., in: self)
        return expression.matches(in: self, range: whole).compactMap { match in
            Range(match.range(at: 1), in: self).map { String(self[$0]) }
        }
    }
}

/// The repository that these tests were built from.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// Every file, but for what is built and what is version control's own.
    static let paths: [String] = {
        guard let walk = FileManager.default.enumerator(atPath: root) else { return [] }
        var found: [String] = []
        while let path = walk.nextObject() as? String {
            if path == ".git" || path.hasPrefix(".build") { walk.skipDescendants() } else { found.append(path) }
        }
        return found.sorted()
    }()

    /// All text files; a corpus is bytes.
    static let files: [SourceText] = paths.filter { !$0.hasPrefix("Tests/Corpora/") }.compactMap { path in
        (try? String(contentsOfFile: root + "/" + path, encoding: .utf8)).map { SourceText(path: path, text: $0) }
    }

    static let sources = files.filter { $0.path.hasPrefix("Sources/") }
    static let swift = files.filter(\.isSwift)
    static let documents = files.filter { $0.path.hasSuffix(".md") }

    static func text(_ path: String) -> String { files.first { $0.path == path }?.text ?? "" }
}
