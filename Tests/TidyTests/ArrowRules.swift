/// Who may import whom (docs/architecture.md, "Folders"): arrows point down only.
enum ArrowRules {
    static let pure = ["CsnapCore", "CsnapSession", "CsnapStore", "NBDProtocol"]

    static let allowed: [String: Set<String>] = [
        "CsnapCore": [],
        "CsnapSession": ["CsnapCore"],
        "CsnapStore": ["CsnapCore"],
        "NBDProtocol": [],
        "Systemd": ["CSystemd", "Glibc"],
        "CsnapRuntime": [
            "CsnapCore", "CsnapSession", "CsnapStore", "NBDProtocol", "Systemd", "CShims", "Crypto", "Logging",
            "DequeModule", "NIOConcurrencyHelpers", "NIOCore", "NIOHTTP1", "NIOPosix", "Yams", "Dispatch", "Foundation",
            "FoundationEssentials", "Glibc", "Synchronization",
        ],
        "CsnapSandbox": [
            "CsnapRuntime", "CsnapCore", "CShims", "ArgumentParser", "FoundationEssentials", "Glibc",
            "Synchronization",
        ],
        "CsnapSimulation": ["CsnapCore"],
        "CsnapStoreSimulation": ["CsnapStore", "CsnapCore"],
        "CsnapDataSimulation": [
            "CsnapRuntime", "CsnapSimulation", "CsnapStoreSimulation", "CsnapSession", "CsnapStore", "CsnapCore",
        ],
        "csnap-agent": main, "csnap-server": main, "csnap-client": main,
        "csnapctl": ["CsnapSandbox", "Glibc"],
        "csnap-sim": [
            "CsnapSimulation", "CsnapStoreSimulation", "CsnapDataSimulation", "CsnapStore", "CsnapCore", "CShims",
            "ArgumentParser", "Foundation",
            "Glibc",
        ],
    ]

    private static let main: Set<String> = [
        "CsnapRuntime", "ArgumentParser", "Foundation", "FoundationEssentials", "Glibc",
    ]

    static func wrongImports(_ file: SourceText) -> [String] {
        guard let allowed = allowed[file.target] else {
            return ["\(file.path): target \(file.target) has no place in the picture: add it here and there"]
        }
        let imported = file.text.captures(#"^(?:package |public |internal |private )?import (?:\w+ )?(\w+)"#)
        return imported.filter { !allowed.contains($0) }.map { "\(file.path) imports \($0)" }
    }
}
