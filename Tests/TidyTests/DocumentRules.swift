import Foundation

/// What documents, manuals and the catalog must say of the code, and what they say that must be there.
enum DocumentRules {
    /// Relative links, their headings, and §s that sources name.
    static func broken(_ document: SourceText) -> [String] {
        let folder = URL(fileURLWithPath: "/" + document.path).deletingLastPathComponent()
        return document.text.captures(#"\]\(([^)\s]+)\)"#).filter { !$0.contains("://") }.compactMap { link in
            let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let path = parts[0].isEmpty ? "/" + document.path : folder.appending(path: parts[0]).standardized.path
            guard exists(String(path.dropFirst())) else { return "\(document.path): no such file: \(link)" }
            guard parts.count == 2 else { return nil }
            let anchors = Repository.text(String(path.dropFirst())).captures(#"^#+ (.*)$"#).map(anchor)
            return anchors.contains(parts[1]) ? nil : "\(document.path): no such heading: \(link)"
        }
    }

    private static func exists(_ path: String) -> Bool {
        path.isEmpty || FileManager.default.fileExists(atPath: Repository.root + "/" + path)
    }

    private static func anchor(_ heading: String) -> String {
        heading.lowercased().replacing(" ", with: "-").filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
    }

    /// `docs/protocol.md §5.8` in a comment needs that section.
    static func missingSections(_ file: SourceText) -> [String] {
        let pattern = #"(docs/[\w-]+\.md,? §[0-9]+(?:\.[0-9]+)?)"#
        return file.text.captures(pattern).compactMap { citation in
            let document = citation.prefix { $0 != " " && $0 != "," }
            let section = citation.drop { $0 != "§" }.dropFirst()
            let headings = Repository.text(String(document)).captures(#"^#+ §?([0-9.]+)"#)
            return headings.contains { $0 == section || $0 == section + "." }
                ? nil : "\(file.path): \(citation) is not there"
        }
    }

    /// `Folder/File.swift` in a document, from wherever it begins.
    static func missingFiles(_ document: SourceText) -> [String] {
        document.text.captures(#"`([\w+-]+(?:/[\w+.-]+)+\.(?:swift|md|txt|yaml|c|h))`"#)
            .filter { name in !Repository.paths.contains { $0 == name || $0.hasSuffix("/" + name) } }
            .map { "\(document.path) names \($0), which is not there" }
    }

    /// Each of `wanted` must stand in `text` between backquotes.
    static func undocumented(_ wanted: [String], in path: String, _ what: String) -> [String] {
        let text = Repository.text(path)
        return wanted.filter { !text.contains("`\($0)`") }.map { "\(what) \($0) is not in \(path)" }
    }

    /// Exit codes by program, from the table that begins with `| program | code |`.
    static func exitCodes(in troubleshooting: String) -> [String: Set<Int>] {
        var codes: [String: Set<Int>] = [:]
        var program = ""
        for row in troubleshooting.captures(#"^\| ((?:`[\w-]+`)? ?\| [0-9]+) \|"#) {
            let cells = row.split(separator: "|", omittingEmptySubsequences: false)
            let name = cells[0].filter { $0 != "`" && $0 != " " }
            if !name.isEmpty { program = String(name) }
            if let code = Int(cells[1].filter { $0 != " " }) { codes[program, default: []].insert(code) }
        }
        return codes
    }
}
