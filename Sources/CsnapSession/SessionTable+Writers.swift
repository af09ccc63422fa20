import CsnapCore

/// What an agent says of its node: no client of the volume has anything at the disk, since nobody holds the lock that
/// lives as long as their requests (docs/decisions/0059-an-agent-proves-its-client-gone.md).
struct ClientProof: Equatable, Sendable {
    var volume: String
    /// The client that it knew last; zero: none since its agent began.
    var client: Bits128
    /// The agent's own boot and kernel.
    var process: NodeBoot
    var writer: SessionWriter

    /// Whether it speaks of this client: it was sent when the named one, those before it, which have lower ids
    /// (`SessionHello.client`) on the same kernel, and those of earlier boots had ended. A proof that comes late says
    /// nothing of a client that came after it.
    func covers(_ owner: ReadOwner) -> Bool {
        guard owner.process.node == process.node else { return false }
        return owner.process.boot == process.boot ? owner.client <= client : owner.process.boot < process.boot
    }
}

/// Who may still write the origin, and when that is over (docs/data-plane.md, "Server").
extension SessionTable {
    /// Nothing of this client is at the disk. If no other of its writer is here, the writer is cleared.
    mutating func byeOf(_ session: Session) -> [SessionAction] {
        let volume = session.volume
        volumes[volume].strangers.removeAll { $0 == session.owner.process.node }
        if !SessionMutants.active(.holdsKeptAtBye) { volumes[volume].holds.drop(clientOf: session.owner.process.node) }
        let woken = holdsChanged(volume)
        return woken + (hasConnection(of: session.writer, volume) ? [] : clear(session.writer, volume))
    }

    mutating func clear(_ writer: SessionWriter, _ volume: Int) -> [SessionAction] {
        guard volumes[volume].writers.clear(writer) else { return [] }
        return [order(.clearWriter(writer), volume, for: .writer(writer, volume: volume))]
    }

    mutating func clearWriters(of node: NodeID, _ volume: Int) -> [SessionAction] {
        var actions: [SessionAction] = []
        for writer in volumes[volume].writers.uncleared where writer.node == node && !isHere(writer, volume) {
            actions += clear(writer, volume)
        }
        return actions
    }

    /// Whether a session of this writer is open.
    func isHere(_ writer: SessionWriter, _ volume: Int) -> Bool {
        connections.values.contains { connection in
            if case .session(let session) = connection {
                session.volume == volume && session.writer == writer
            } else {
                false
            }
        }
    }

    /// The holds of the client end, and its writer is cleared. Those of its machine's earlier kernels, and servers of
    /// those, are settled by time, which begins now unless a client of this kernel was here: until then the agent is to
    /// ask again, since a server that takes over would not know.
    mutating func clientGone(_ proof: ClientProof, _ answer: CommandAnswer) -> [SessionAction] {
        guard isActive else { return refusal(.notActive, "", answer) }
        guard let volume = index(proof.volume) else { return refusal(of: proof.volume, answer) }
        // A session that is there is the client's that came after, or the dead one's whose end we have not seen yet.
        let isOpen = hasConnection(of: proof.writer, volume)
        guard !isOpen, volumes[volume].writers.lastClient(of: proof.writer).map(proof.covers) ?? true else {
            return refusal(.busy, proof.volume, answer)
        }
        volumes[volume].strangers.removeAll { $0 == proof.process.node }
        volumes[volume].holds.drop { proof.covers($0) }
        let actions = holdsChanged(volume)
        runs(proof.writer, volume)
        guard volumes[volume].writers.contains(proof.writer) else {
            return actions + self.answer(answer, outcome(ofGone: proof.writer, volume))
        }
        guard volumes[volume].writers.clear(proof.writer) else {
            return actions + refusal(.busy, proof.volume, answer)
        }
        let whom = Order.gone(proof.writer, answer, volume: volume)
        return actions + [order(.clearWriter(proof.writer), volume, for: whom)]
    }

    /// This machine runs this kernel: what clients and servers sent on its others is not sent again.
    mutating func runs(_ writer: SessionWriter, _ volume: Int) {
        volumes[volume].writers.runs(writer, at: now)
        volumes[volume].servers.runs(writer, at: now)
        // A repair without a configuration.
        let repair = SessionWriter(node: NodeID(0), machineID: writer.machineID, kernelBootID: writer.kernelBootID)
        volumes[volume].servers.runs(repair, at: now)
    }

    /// When the store has no record of the writer any more.
    func outcome(ofGone writer: SessionWriter, _ volume: Int) -> CommandOutcome {
        let isLast =
            volumes[volume].writers.otherKernels(of: writer).isEmpty
            && volumes[volume].servers.otherKernels(of: writer).isEmpty
        return isLast ? .done : .refused(.busy, culprit: volumes[volume].about.name)
    }

    private func hasConnection(of writer: SessionWriter, _ volume: Int) -> Bool {
        connections.values.contains { connection in
            switch connection {
            case .greeting(let hello, volume): hello.writer == writer
            case .session(let other): other.volume == volume && other.writer == writer
            case .stranger, .greeting, .commander: false
            }
        }
    }
}
