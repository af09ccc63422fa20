package import CsnapCore
package import Logging

/// One thing that csnap-client says: a line of its journal (docs/troubleshooting.md, "What a client says").
package struct ClientNote: Equatable, Sendable {
    package enum Kind: CaseIterable, Sendable {
        case serving
        case stopped
        case agentGone
        case agentChanged
        case sessionRefused
        case sessionLost
        case originUnflushed
        case otherDisks
        /// The agent reports these two as well, under the same identifier.
        case diskHangs
        case diskAnswers
        /// Of interest beside others only.
        case other
    }

    package var kind: Kind
    package var text: String
    /// The tenure it is about, if it is about one.
    package var tenure: Tenure?

    package init(_ kind: Kind, _ text: String, _ tenure: Tenure? = nil) {
        self.kind = kind
        self.text = text
        self.tenure = tenure
    }
}

extension ClientNote.Kind {
    /// 128 random bits as 32 hexadecimal digits; never changed, never reused. Nil: none.
    package var messageID: String? {
        switch self {
        case .serving: "010a4568ab2bd531ecdd04b480d649fa"
        case .stopped: "b76a91cb45efd5c340b7a079bc137f72"
        case .agentGone: "1787d36584a70dd30c59051389d2394d"
        case .agentChanged: "b980586f30595dcc402db1a9307ab03c"
        case .sessionRefused: "05fe3b3716f04e0a86d8da95c743574a"
        case .sessionLost: "6ca37f523f2d25d689a9a5ec4539fa3b"
        case .originUnflushed: "9686d6e67e89fdb17c019900635039f0"
        case .otherDisks: "0b5b98fdb43352fcac777676851b1943"
        case .diskHangs: ReportEntry(.diskHangs(volume: "", requests: 0)).messageID
        case .diskAnswers: ReportEntry(.diskAnswers(volume: "")).messageID
        case .other: nil
        }
    }

    package var level: Logger.Level {
        switch self {
        case .serving, .stopped, .agentChanged, .diskAnswers: .notice
        case .agentGone, .sessionRefused, .sessionLost: .warning
        case .originUnflushed, .otherDisks, .diskHangs: .error
        case .other: .info
        }
    }
}

extension Logger {
    /// One line for one note, with its fields; the volume is the logger's own.
    package func log(_ note: ClientNote) {
        var metadata: Logger.Metadata = [:]
        if let identifier = note.kind.messageID { metadata[LogField.messageID] = "\(identifier)" }
        if let tenure = note.tenure {
            metadata[LogField.epoch] = "\(tenure.epoch.value)"
            if tenure.round != .none { metadata[LogField.round] = "\(tenure.round.value)" }
        }
        log(level: note.kind.level, "\(note.text)", metadata: metadata)
    }
}

extension ClientCore {
    mutating func note(_ kind: ClientNote.Kind, _ text: String, _ tenure: Tenure? = nil) {
        actions.append(.note(ClientNote(kind, text, tenure)))
    }
}
