/// The interface as `GetInterfaceDescription` serves it (varlink.org, "Interface Definition").
package enum InterfaceDescription {
    package static let agent = """
        # One csnap agent: what it knows, what it waits for, what a person can ask of it.
        interface io.csnap.Agent

        type Member (
          node: int, boot: int, address: string, state: string, voter: bool, eligible: bool,
          localHealth: int, stateSeconds: ?float, suspectedBy: []int
        )
        type Admission (node: int, boot: int, epoch: int, status: string)
        type Client (
          volume: string, pid: int, suspended: bool, connected: bool, writesInFlight: int,
          hangingRequests: int, hangingSeconds: ?float
        )
        type Volume (name: string, origin: string, store: string)
        type Wait (kind: string, seconds: float, nodes: []int, text: string, remedy: string, warning: bool)
        type Promise (epoch: int, node: int, boot: int, released: bool, remaining: float)
        type Status (
          cluster: string, clusterUUID: ?string, node: int, boot: int, agentPid: int, serverPid: ?int,
          role: string, mayVote: bool, enabled: bool, epoch: int, round: int, phase: string,
          server: ?int, serverBoot: ?int, serviceAddress: ?string, leaseRemaining: ?float,
          adoptedEpoch: int, adoptedRound: int, clientsResumed: bool,
          fencing: string, configurationVersion: int, voters: []int, pendingVoters: ?[]int, quorum: int,
          members: []Member, admissions: []Admission, clients: []Client, volumes: []Volume,
          waits: []Wait, promise: ?Promise
        )
        type Event (
          cursor: int, at: int, node: int, kind: string, epoch: ?int, round: ?int,
          peer: ?int, peerBoot: ?int, text: string
        )

        # `base`: of a branch, the number of the snapshot that it began as.
        type Snapshot (
          number: int, uuid: string, name: string, size: int, created: int, priority: int, damaged: bool, base: ?int
        )
        type Range (offset: int, length: int)
        type Changes (size: int, chunkSize: int, ranges: []Range, nextChunk: ?int)
        type VolumeSnapshot (volume: string, snapshot: Snapshot)
        type Hold (node: int, reads: int, chunks: int)
        type LostWriter (node: int, boot: ?int, seconds: float)
        type Making (name: string, seconds: float, missing: []int)
        # `receiving`: what a stream brings, not a snapshot.
        type Revert (uuid: string, number: int, snapshot: string, receiving: bool, node: int, cursor: int)
        type VolumeReport (
          name: string, generation: int, snapshots: int, originSize: int, storeSize: int, storeUsed: int,
          quarantined: int, percent: int, sessions: int, waitingWrites: int, heldSeconds: ?float,
          fullSeconds: ?float, holds: []Hold, lostWriters: []LostWriter, strangers: []int, making: ?Making,
          revert: ?Revert
        )

        type Problem (code: string, text: string)
        type VolumeCheck (
          name: string, done: bool, online: bool, entries: int, total: int, nodes: int, snapshots: int,
          problems: []Problem, hasMore: bool
        )

        # Everything on one screen.
        method GetStatus() -> (status: Status)
        # What is waited for, with the remedy; empty if nothing.
        method Why() -> (waits: []Wait)
        method GetMembers() -> (members: []Member)
        method GetSessions() -> (clients: []Client, admissions: []Admission)
        # In Prometheus' text form.
        method GetMetrics() -> (text: string)
        # Events after `since`, oldest first, a page at a time; `follow` needs `more` and never ends.
        method Events(since: ?int, follow: ?bool) -> (events: []Event, hasMore: bool)

        # Snapshots with numbers above `after`, a page at a time.
        method ListSnapshots(volume: string, after: ?int) -> (snapshots: []Snapshot, hasMore: bool)
        # What may differ between the snapshots of these numbers, or between `from` and the origin, a page at a time.
        method DiffSnapshots(volume: string, from: int, to: ?int, firstChunk: ?int) -> (changes: Changes)
        method GetVolume(volume: string) -> (volume: VolumeReport)

        # Root and group csnap only, from here.
        method Found() -> ()
        # `note`: what a person should know; the node remains a voter if nobody could take its place.
        method Leave() -> (note: ?string)
        method Transfer(node: int) -> ()
        method Strike(node: int, fenced: ?bool) -> ()
        method Disable() -> ()
        method Enable() -> ()
        # Answered when a majority of the new voters has stored the change.
        method SetVoters(voters: []int) -> ()
        method AddVoters(voters: []int) -> ()
        method ReplaceVoter(old: int, new: int) -> ()
        # With the same uuid again: the snapshot that the first call made.
        # `priority`: the lowest goes first when a full store drops snapshots.
        method CreateSnapshot(volume: string, name: string, uuid: ?string, priority: ?int) -> (snapshot: Snapshot)
        # Of all these volumes at one instant, or of none.
        method CreateSnapshots(volumes: []string, name: string, uuid: ?string, priority: ?int) -> (
          snapshots: []VolumeSnapshot
        )
        # Begins, or goes on, to write a snapshot back; only this node's client has the volume until EndRevert.
        method BeginRevert(volume: string, name: string, uuid: ?string) -> (revert: Revert)
        # The same for a stream that brings the snapshot of that uuid.
        method BeginReceive(volume: string, uuid: string) -> (revert: Revert)
        # All of it is written: makes the snapshot, unless the receive was given up meanwhile.
        method FinishReceive(volume: string, name: string, uuid: string) -> (snapshot: Snapshot)
        # Chunks below `cursor` are written back, durably.
        method MoveRevert(volume: string, uuid: string, cursor: int) -> (revert: Revert)
        # Ends the one or the other.
        method EndRevert(volume: string, uuid: string) -> ()
        # A writable image that begins as the snapshot `name`; `uuid` as in CreateSnapshot.
        method BranchSnapshot(volume: string, name: string, branch: string, uuid: ?string) -> (snapshot: Snapshot)
        method DeleteSnapshot(volume: string, name: string) -> ()
        method RenameSnapshot(volume: string, name: string, newName: string) -> ()
        # Takes the origin's new size; it only grows.
        method ResizeVolume(volume: string) -> ()
        # Begins a check; with the same uuid again: how far it is.
        method CheckVolume(volume: string, uuid: string) -> (check: VolumeCheck)

        # Nobody serves, or the quorum is missing.
        error NoServer (message: string)
        # The command was not carried out; nothing changed.
        error Refused (code: string, message: string)
        error Malformed (message: string)
        error Busy ()
        """

    package static let service = """
        # The Varlink service itself.
        interface org.varlink.service

        method GetInfo() -> (
          vendor: string, product: string, version: string, url: string, interfaces: []string
        )
        method GetInterfaceDescription(interface: string) -> (description: string)

        error InterfaceNotFound (interface: string)
        error MethodNotFound (method: string)
        error MethodNotImplemented (method: string)
        error InvalidParameter (parameter: string)
        error PermissionDenied ()
        error ExpectedMore ()
        """
}
