package import CsnapCore
package import Logging

/// What the journal knows of each kind of report besides its sentence: a stable MESSAGE_ID (its entry in
/// units/csnap.catalog explains it), a severity and fields.
package struct ReportEntry: Sendable {
    /// 128 random bits as 32 hexadecimal digits; never changed, never reused.
    package var messageID: String
    package var level: Logger.Level

    private init(_ messageID: String, _ level: Logger.Level = .info) {
        self.messageID = messageID
        self.level = level
    }

    package init(_ report: Report) {
        switch report {
        case .founded: self.init("013bf0c72aa963d7c5f516c03d4582c7", .notice)
        case .joinedGroup: self.init("220be966d964b1edb077b86e51354d76", .notice)
        case .memberJoined: self.init("24bbec9c419f12c68839eabe3f074508")
        case .memberSuspected: self.init("8075f43a1d45028c61d74a48927fa7ad")
        case .memberAlive: self.init("006dfb3932692e2e6a5bf7f4ee3311a8")
        case .memberUnreachable: self.init("93e78e484288570eeb6a952fcbf4f02e", .warning)
        case .memberLeft: self.init("49f752292f447b9126cc8199ce7886c7", .notice)
        case .foreignGroup: self.init("61e002f40e44531b5c72a9321fa5db1e", .error)
        case .idConflict: self.init("ffc3fd5f4454d206fecf978735912902", .critical)
        case .votersChanging: self.init("f3bd8bade7603222c69a4882975da78c")
        case .votersChanged: self.init("307d696aa3b4c652ccc600a0cc0de5a4", .notice)
        case .voteLost: self.init("29579041097083d25b1b6d090b241a2e", .critical)
        case .voteRestored: self.init("06a4200401c97ed2554ca4b809d9befe", .notice)
        case .claiming: self.init("789f3f6e0ea234706df4d9f2a847d188")
        case .claimFailed: self.init("eb095e2c8c5cf274d83f8a7bbaa03822")
        case .elected: self.init("faac0aafbc5e65422826d4d9cff14136", .notice)
        case .promised: self.init("f02311894dbb56ad9b136d41b6add4d0")
        case .leaseSoft: self.init("d48b3a56e1d08836b96dd16fb51b0a63", .warning)
        case .leaseRegained: self.init("9d145a807e2ca4887865d886cd6be730")
        case .leaseLost: self.init("25c4eaa4d3285d50c67f3fc40635d32c", .error)
        case .released: self.init("d2c02ffd1d43f2489756ff2508bc66c2")
        case .recovering: self.init("dab2c2dbe0f4250d3bacb47671f5b475")
        case .serverActive: self.init("3f1b34f189ef2566de05c3b6d4c8e7fe", .notice)
        case .serverDown: self.init("907acae514f2d0ddb1aee26ccd24e732", .warning)
        case .serverFailed: self.init("ef1c6d49f4e5bdff34e459b1206d0b8f", .error)
        case .storeSpace(_, let percent, let isHolding):
            let isUrgent = isHolding || percent >= FillingStore.urgent
            self.init(
                "5d0e3a7c1f4b4e0f9a66c1b7e2d84953",
                isUrgent ? .error : percent >= FillingStore.warning ? .warning : .notice)
        case .snapshotDropped: self.init("a17c94e06b2d4f38b5f08d3c6e91725b", .warning)
        case .waitingFor: self.init("8bac65bd7ab139f0e79d1f90e0350cf3")
        case .nodeReady: self.init("b2671a0e3bf075ab75acd65e91e167f2")
        case .serverStarted: self.init("3b3eb5702195b80d2442a6d43387381b")
        case .nodeReconnected: self.init("ad72e5a0603c535d96de2527d987af02")
        case .admitted: self.init("537a52862af8fd405e988f3b3804df5c")
        case .admissionRefused: self.init("5b0c3a9e7d1f46a28e64c1f0927bd835", .error)
        case .evicted: self.init("3a6dd1460d1630f7c1030e7d8f45ef7c", .warning)
        case .clientsSuspended: self.init("77ce8435f810749d8c14cb18353c9cdb")
        case .clientsResumed: self.init("243ecb79a824bd98243b6f3fd725aaaa")
        case .clientAttached: self.init("11d1094134a914bb7ecf2f5e616e6dd4")
        case .clientGone: self.init("6fbd6929379cd377c0deeb720bea5e74")
        case .diskHangs: self.init("7a05928d80497870fcbe6eb980e95c49", .error)
        case .diskAnswers: self.init("38bd2c49f7930528df72dc960bb6bb00", .notice)
        case .stateWriteFailed: self.init("b6873dd52762a5c7093f2a3bf62f44d2", .error)
        }
    }
}

extension Report {
    /// Where the group stands after this report; nil if it does not say.
    var phase: String? {
        switch self {
        case .claiming, .claimFailed, .elected: "claiming"
        case .recovering, .waitingFor, .nodeReady, .serverStarted, .nodeReconnected: "recovering"
        case .serverActive: "active"
        case .serverDown, .leaseLost, .released: "down"
        default: nil
        }
    }

    var volume: String? {
        switch self {
        case .clientAttached(_, let volume), .diskHangs(let volume, _), .diskAnswers(let volume): volume
        case .storeSpace(let volume, _, _), .snapshotDropped(let volume, _): volume
        case .serverFailed(_, let volume): volume.isEmpty ? nil : volume
        default: nil
        }
    }
}

extension Logger {
    /// One line for one report, with its fields (docs/operations.md, "Journal").
    package func log(_ report: Report, cluster: Bits128?) {
        let entry = ReportEntry(report)
        let words = EventWords(report)
        var metadata: Logger.Metadata = [LogField.messageID: "\(entry.messageID)"]
        if let tenure = words.tenure {
            metadata[LogField.epoch] = "\(tenure.epoch.value)"
            if tenure.round != .none { metadata[LogField.round] = "\(tenure.round.value)" }
        }
        if let peer = words.peer { metadata[LogField.peer] = "\(peer.node.value)" }
        if let phase = report.phase { metadata[LogField.phase] = "\(phase)" }
        if let volume = report.volume { metadata[LogField.volume] = "\(volume)" }
        if let cluster { metadata[LogField.clusterUUID] = "\(cluster.hex)" }
        log(level: entry.level, "\(words.text)", metadata: metadata)
    }
}
