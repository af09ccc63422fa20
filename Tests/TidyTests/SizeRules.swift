/// How long things may be (CONTRIBUTING.md, "Style").
enum SizeRules {
    static let file = 400
    static let median = 150
    static let function = 70
    static let ordinaryFunction = 30
    static let line = 120
    static let documentLine = 100

    /// Longer for a reason.
    static let exceptions: [String: String] = [:]

    static func tooLong(_ file: SourceText) -> [String] {
        guard exceptions[file.path] == nil else { return [] }
        var problems: [String] = []
        if file.lines.count - 1 > self.file { problems.append("\(file.path) has \(file.lines.count - 1) lines") }
        for (index, text) in file.lines.enumerated() where text.count > line {
            problems.append("\(file.path):\(index + 1) has \(text.count) characters")
        }
        for found in functions(of: file) where found.length > function {
            problems.append("\(file.path):\(found.line): a function of \(found.length) lines")
        }
        return problems
    }

    /// Tables, examples and links may be as wide as they are.
    static func tooWide(_ document: SourceText) -> [String] {
        var isExample = false
        return document.lines.enumerated().compactMap { index, text in
            if text.hasPrefix("```") { isExample.toggle() }
            let isWide = text.count > documentLine && !isExample && !text.hasPrefix("|") && !text.hasPrefix("    ")
            return isWide && !text.contains("](") ? "\(document.path):\(index + 1) is wider than \(documentLine)" : nil
        }
    }

    /// Functions, initializers and subscripts by their layout: `swift format` puts the last brace under the first word.
    static func functions(of file: SourceText) -> [(line: Int, length: Int)] {
        let pattern =
            #"^\s*(@\w+ )*((package|private|fileprivate|public|static|mutating|override|convenience|final"#
            + #"|nonisolated|consuming|borrowing) )*(func |init[?(<]|deinit |subscript[(<])"#
        return file.lines.indices.compactMap { start in
            guard file.lines[start].matches(pattern), !file.lines[start].hasSuffix("}") else { return nil }
            let indentation = String(file.lines[start].prefix { $0 == " " })
            guard let end = file.lines[(start + 1)...].firstIndex(where: { $0.hasPrefix(indentation + "}") }) else {
                return nil
            }
            return (start + 1, end - start + 1)
        }
    }
}
