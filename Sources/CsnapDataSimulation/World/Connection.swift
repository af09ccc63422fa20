import CsnapCore
import CsnapSession

/// A stream between a client and a server: in order, each direction at its own speed, and broken at any moment.
final class Connection {
    /// One direction.
    private struct Lane {
        var last: Int64 = 0
        /// Nothing arrives until then: its segments are sent again and again.
        var stalledUntil: Int64 = 0
        /// What is under way never arrives.
        var isCut = false
    }

    let id: ConnectionID
    let server: ServerShell
    private unowned let world: DataWorld
    private var toServer = Lane()
    private var toClient = Lane()
    private(set) var isOver = false
    private var received: ((ServerFrame) -> Void)?
    private var lost: (() -> Void)?

    /// To a server; `opened` or `lost` is called, then `received` for each frame.
    init(
        to server: ServerShell, _ world: DataWorld, opened: @escaping () -> Void,
        received: @escaping (ServerFrame) -> Void, lost: @escaping () -> Void
    ) {
        self.server = server
        self.world = world
        self.received = received
        self.lost = lost
        id = world.nextConnection()
        world.after(world.latency()) { [self] in
            guard !server.isDead, server.isListening, !isOver else { return loseAtClient() }
            server.accept(self)
            world.after(world.latency()) { [self] in if !isOver, !toClient.isCut { opened() } }
        }
    }

    func send(_ frame: ClientFrame) {
        guard !isOver else { return }
        toServer.last = max(toServer.last, world.now + world.latency())
        world.after(toServer.last - world.now) { [self] in arrive(frame) }
    }

    private func arrive(_ frame: ClientFrame) {
        if toServer.isCut { return }
        guard world.now >= toServer.stalledUntil else {
            return world.after(toServer.stalledUntil - world.now) { [self] in arrive(frame) }
        }
        server.receive(frame, on: self)
    }

    /// The client is killed: its kernel still delivers what it sent, sometimes after a while.
    func outlive() {
        if world.chance(1, in: 3) { toServer.stalledUntil = world.now + world.milliseconds(0, 2000) }
        close()
    }

    func send(_ frame: ServerFrame) {
        toClient.last = max(toClient.last, world.now + world.latency())
        world.after(toClient.last - world.now) { [self] in
            if !toClient.isCut, !isOver { received?(frame) }
        }
    }

    /// The client closes it: what it sent still arrives.
    func close() {
        guard !isOver else { return }
        isOver = true
        end(max(toServer.last, toServer.stalledUntil)) { [self] in server.lost(self) }
        received = nil
        lost = nil
    }

    /// The server closes it, or its process is gone: what it sent still arrives, and then its end, unless it is cut.
    func closeAtServer() {
        toServer.isCut = true
        if toClient.isCut { return }
        end(toClient.last) { [self] in loseAtClient() }
    }

    /// It breaks. A half-open one is not noticed by the server for long; a silent one not by the client either. If it
    /// broke behind what the client sent, that still arrives.
    func cut(isHalfOpen: Bool, isSilent: Bool = false, stillArrives: Bool = false) {
        toServer.isCut = !stillArrives
        toClient.isCut = true
        world.after(isSilent ? world.milliseconds(300, 3000) : world.milliseconds(0, 20)) { [self] in loseAtClient() }
        world.after(isHalfOpen ? world.milliseconds(300, 3000) : world.milliseconds(0, 20)) { [self] in
            server.lost(self)
        }
    }

    private func end(_ last: Int64, _ body: @escaping () -> Void) {
        world.after(max(last - world.now, 0) + world.milliseconds(0, 2), body)
    }

    private func loseAtClient() {
        guard !isOver else { return }
        isOver = true
        let lost = lost
        received = nil
        self.lost = nil
        lost?()
    }
}
