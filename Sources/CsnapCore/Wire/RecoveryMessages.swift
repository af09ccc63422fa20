/// A node asks the holder to let its clients go on.
package struct ClientLease: Equatable, Sendable {
    package var nonce: UInt64
    package var tenure: Tenure
    package var clients: UInt32
    package var suspended: Bool
    /// The answer may come with the next Renew: the lease that runs will do until then.
    package var mayWait: Bool

    package init(nonce: UInt64, tenure: Tenure, clients: UInt32, suspended: Bool, mayWait: Bool = false) {
        self.nonce = nonce
        self.tenure = tenure
        self.clients = clients
        self.suspended = suspended
        self.mayWait = mayWait
    }
}

package struct ClientLeaseAck: Equatable, Sendable {
    package var nonce: UInt64
    package var tenure: Tenure
    /// What was left of the holder's own lease when the request came; the client lease never outlives it.
    package var remaining: Interval

    package init(nonce: UInt64, tenure: Tenure, remaining: Interval) {
        self.nonce = nonce
        self.tenure = tenure
        self.remaining = remaining
    }
}

/// Tells a boot that it is no longer admitted; final for that boot.
package struct Evicted: Equatable, Sendable {
    package var tenure: Tenure
    package var process: NodeBoot
    package var cause: EvictionCause

    package init(tenure: Tenure, process: NodeBoot, cause: EvictionCause) {
        self.tenure = tenure
        self.process = process
        self.cause = cause
    }
}

/// Admissions and evictions for the voters' disks (Admit, Evict and Table of §4 in one message).
package struct Table: Equatable, Sendable {
    package var epoch: Epoch
    package var sequence: UInt64
    package var entries: [AdmissionEntry]

    package init(epoch: Epoch, sequence: UInt64, entries: [AdmissionEntry]) {
        self.epoch = epoch
        self.sequence = sequence
        self.entries = entries
    }
}

/// That sequence, and so all it said, is on this voter's disk. A refusal is silent.
package struct TableAck: Equatable, Sendable {
    package var epoch: Epoch
    package var sequence: UInt64

    package init(epoch: Epoch, sequence: UInt64) {
        self.epoch = epoch
        self.sequence = sequence
    }
}

/// Close the gates, drop connections of older tenures, adopt this one, answer Ready (§6).
package struct Recover: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64

    package init(tenure: Tenure, setHash: UInt64) {
        self.tenure = tenure
        self.setHash = setHash
    }
}

package struct Ready: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var clients: UInt32
    package var writesInFlight: UInt32

    package init(tenure: Tenure, setHash: UInt64, clients: UInt32, writesInFlight: UInt32) {
        self.tenure = tenure
        self.setHash = setHash
        self.clients = clients
        self.writesInFlight = writesInFlight
    }
}

package struct Started: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var address: Address

    package init(tenure: Tenure, setHash: UInt64, address: Address) {
        self.tenure = tenure
        self.setHash = setHash
        self.address = address
    }
}

package struct Reconnected: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var clients: UInt32

    package init(tenure: Tenure, setHash: UInt64, clients: UInt32) {
        self.tenure = tenure
        self.setHash = setHash
        self.clients = clients
    }
}

/// Only this resumes clients, never gossip. It names the service address, for a node admitted after the recovery.
package struct Resume: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var address: Address
    /// The boot that was Ready or admitted; a later boot of that node asks anew.
    package var process: NodeBoot

    package init(tenure: Tenure, setHash: UInt64, address: Address, process: NodeBoot) {
        self.tenure = tenure
        self.setHash = setHash
        self.address = address
        self.process = process
    }
}

package struct ResumeAck: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64

    package init(tenure: Tenure, setHash: UInt64) {
        self.tenure = tenure
        self.setHash = setHash
    }
}
