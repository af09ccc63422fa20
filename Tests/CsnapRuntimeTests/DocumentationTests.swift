import CsnapCore
import CsnapRuntime
import Foundation
import Testing

/// What people read says what the programs do: every name that is promised to be stable stands in the documents.
@Suite struct DocumentationTests {
    private static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func text(_ path: String) throws -> String {
        try String(contentsOf: Self.repository.appendingPathComponent(path), encoding: .utf8)
    }

    /// The first cells of the tables of one section, without their back quotes and marks.
    private func names(_ section: String, in text: String) throws -> [String] {
        let start = try #require(text.range(of: "## \(section)\n"), "no section \(section)")
        let rest = text[start.upperBound...]
        let body = rest[..<(rest.range(of: "\n## ")?.lowerBound ?? rest.endIndex)]
        return body.matches(of: #/(?m)^\| ([^|]+) \|/#).flatMap { match in
            match.1.matches(of: #/`([A-Za-z0-9]+)`/#).map { String($0.1) }
        }
    }

    @Test func everyWaitHasItsEntry() throws {
        let known = try names("Waits", in: text("docs/troubleshooting.md"))
        let kinds = (UInt8(0)...255).compactMap { Wait.Kind(rawValue: $0) }.map { "\($0)" }
        let peers = ["wrongKey", "timers", "wireVersion"]
        let volumes = [
            "reverting", "receiving", "writerLost", "originDiffers", "barrier", "heldWrites", "storeFull",
            "volumeNotServed", "volumeLeftOut", "serverSilent", "storeHangs",
        ]
        #expect(Set(known) == Set(kinds + peers + ["serverProgram", "otherDisks"] + volumes))
        #expect(Set(known).count == known.count)
    }

    @Test func everyServerFailureHasItsEntry() throws {
        let known = try names("Server failures", in: text("docs/troubleshooting.md"))
        #expect(known == (UInt8(0)...255).compactMap { ServerFailure(rawValue: $0) }.map { "\($0)" })
    }

    @Test func everyRefusalHasItsEntry() throws {
        let known = try names("Refused commands", in: text("docs/troubleshooting.md"))
        for code in (UInt8(0)...255).compactMap({ RefusalCode(rawValue: $0) }) {
            #expect(known.contains("\(code)"), "\(code) has no entry")
        }
    }

    @Test func everyReasonForADropHasItsWords() throws {
        let section = try #require(text("docs/troubleshooting.md").components(separatedBy: "## Packets dropped").last)
        for reason in DropReason.allCases {
            #expect(section.contains(reason.words), "'\(reason.words)' has no entry")
        }
    }

    /// The document, the catalog and the program know the same kinds under the same identifiers.
    @Test func everyEventHasItsEntryAndItsCatalogText() throws {
        let document = try text("docs/troubleshooting.md")
        let rows = document.matches(of: #/(?m)^\| `([A-Za-z]+)` \|.*`([0-9a-f]{32})` \|$/#)
        let documented = Dictionary(uniqueKeysWithValues: rows.map { (String($0.1), String($0.2)) })
        let catalog = try text("units/csnap.catalog").matches(of: #/(?m)^-- ([0-9a-f]{32})$/#).map { String($0.1) }
        #expect(Set(catalog) == Set(documented.values))
        #expect(Set(catalog).count == catalog.count)
        for report in Report.samples {
            let kind = EventWords(report).kind
            #expect(kind != "other")
            #expect(documented[kind] == ReportEntry(report).messageID, "\(kind)")
        }
        let reports = Set(Report.samples.map { ReportEntry($0).messageID })
        let notes = ClientNote.Kind.allCases.filter { $0.messageID.map { !reports.contains($0) } ?? false }
        for kind in notes { #expect(documented["\(kind)"] == kind.messageID, "\(kind)") }
        #expect(Report.samples.count + notes.count == documented.count, "a sample of each kind")
    }

    @Test func everyCatalogEntrySaysWhatIsDoneAndWhatYouCanDo() throws {
        let entries = try text("units/csnap.catalog").components(separatedBy: "\n-- ").dropFirst()
        #expect(entries.count > 30)
        for entry in entries {
            for part in ["\nSubject: csnap: ", "\nDefined-By: csnap\n", "What csnap does: ", "What you can do: "] {
                #expect(entry.contains(part), "\(entry.prefix(32)) lacks '\(part)'")
            }
        }
    }

    @Test func everyKeyOfTheConfigurationIsInTheManual() throws {
        let manual = try text("docs/man/csnap.yaml.5")
        for key in CsnapConfiguration.keys { #expect(manual.contains(".It Ic \(key) :"), "\(key)") }
    }

    /// The keys of `--json`, as the interface describes them, stand in the manual of csnapctl.
    @Test func everyKeyOfTheJSONIsInTheManual() throws {
        let manual = try text("docs/man/csnapctl.1")
        let section = try #require(manual.components(separatedBy: ".Sh JSON\n").dropFirst().first)
        let words = Set(section.split { !$0.isLetter && !$0.isNumber }.map(String.init))
        let types = InterfaceDescription.agent.components(separatedBy: "# Everything on one screen.")[0]
        for match in types.matches(of: #/([A-Za-z]+): /#) {
            #expect(words.contains(String(match.1)), "\(match.1) is not described")
        }
    }
}

extension Report {
    /// One of each kind.
    static let samples: [Report] = {
        let tenure = Tenure(epoch: Epoch(1), round: Round(1))
        let process = NodeBoot(node: NodeID(1), boot: Boot(1))
        let address = Address.ipv4(127, 0, 0, 1, port: 7411)
        let voters = VoterSet(version: 1, voters: [NodeID(1)])
        return [
            .founded(cluster: .zero), .joinedGroup(cluster: .zero), .memberJoined(process, address),
            .memberSuspected(process, by: NodeID(2)), .memberAlive(process), .memberUnreachable(process),
            .memberLeft(process), .foreignGroup(cluster: .zero, from: NodeID(2)),
            .idConflict(NodeID(1), other: address),
            .voteLost, .voteRestored,
            .votersChanging(voters), .votersChanged(voters), .claiming(Epoch(1), .noHolder),
            .claimFailed(Epoch(1)),
            .elected(Epoch(1), by: [NodeID(1)]),
            .promised(Promise(epoch: Epoch(1), holder: process, released: false)), .leaseSoft(Epoch(1)),
            .leaseRegained(Epoch(1)), .leaseLost(Epoch(1)), .released(Epoch(1)), .recovering(tenure, server: process),
            .serverActive(tenure, server: process), .serverDown(Epoch(1)), .serverFailed(.storeIO, volume: "a"),
            .waitingFor(tenure, [process]), .nodeReady(tenure, process, writesInFlight: 0),
            .serverStarted(tenure, address), .nodeReconnected(tenure, process), .admitted(tenure, process),
            .evicted(tenure, process, .left), .clientsSuspended(tenure), .clientsResumed(tenure),
            .storeSpace(volume: "a", percent: 95, isHolding: false), .snapshotDropped(volume: "a", name: "b"),
            .clientAttached(ClientID(1), volume: "a"), .clientGone(ClientID(1)), .stateWriteFailed,
            .admissionRefused(process),
            .diskHangs(volume: "a", requests: 1), .diskAnswers(volume: "a"),
        ]
    }()
}
