import CsnapCore
import Glibc
import Logging
import NIOCore
import NIOPosix

/// The agent's end of its clients' connections. On the loop only.
///
/// A broken connection does not prove the process gone; the core waits for the end of the lease it was told (§6).
final class AgentClients {
    private struct Client {
        var volume: String
        var uuid: Bits128
        var hasOtherDisks: Bool
        let since = BootClock.now()
        var channel: any Channel
    }

    private let runtime: RuntimeDirectory
    private let volumes: [CsnapConfiguration.Volume]
    private let loop: any EventLoop
    private let logger: Logger
    var onMessage: (ClientID, ClientToAgent) -> Void = { _, _ in }
    var onGone: (ClientID) -> Void = { _ in }
    /// Learns which volumes have no client; set before `listen`.
    var ends: ClientEnds?

    private var clients: [ClientID: Client] = [:]
    private var nextID: UInt32 = 1
    private var connections = 0
    private var listener: (any Channel)?

    init(configuration: CsnapConfiguration, loop: any EventLoop, logger: Logger) {
        runtime = configuration.runtime
        volumes = configuration.volumes
        self.loop = loop
        self.logger = logger
    }

    /// Binds data.sock, replacing a socket left there; `agent.lock` keeps a second agent from it.
    func listen() -> EventLoopFuture<Void> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let path = runtime.dataSocket
        return ServerBootstrap(group: loop)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: LocalLimits.waitingBytes / 2, high: LocalLimits.waitingBytes)
            )
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 2048))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.accept(channel) }
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true)
            .map { listener in
                SocketAccess.shareWithGroup(path)
                bound.value.listener = listener
            }
    }

    func close() {
        ends?.stop()
        listener?.close(promise: nil)
        listener = nil
    }

    func send(_ message: AgentToClient, to id: ClientID) {
        guard let client = clients[id] else { return }
        if !client.channel.sendLocalFrame(LocalCodec.encode(message)) {
            logger.warning("the client of \(client.volume) does not read: its connection is closed")
            client.channel.close(promise: nil)
        }
    }

    /// Volumes whose client was started with another configuration than this agent; the oldest since that instant.
    var withOtherDisks: (volumes: [String], since: Instant)? {
        let others = clients.values.filter(\.hasOtherDisks)
        return others.map(\.since).min().map { (others.map(\.volume).sorted(), $0) }
    }

    private func accept(_ channel: any Channel) throws {
        guard connections < LocalLimits.clients else {
            logger.warning("more than \(LocalLimits.clients) connections to \(runtime.dataSocket): one is refused")
            channel.close(promise: nil)
            return
        }
        connections += 1
        let connection = Connection()
        let handler = LocalFrameHandler(
            onFrame: { [unowned self] in received($0, connection, channel) },
            onEnd: { [unowned self] in ended(connection, $0) })
        try channel.addLocalFrames(handler, limit: 4096)
    }

    /// What a connection is: nothing before its hello.
    private final class Connection {
        var id: ClientID?
    }

    private func received(_ frame: [UInt8], _ connection: Connection, _ channel: any Channel) {
        do {
            let message = try LocalCodec.clientToAgent(from: frame)
            switch (message, connection.id) {
            case (.hello(let uuid, let name, _, let disks), nil):
                guard let volume = volumes.first(where: { $0.name == name }) else {
                    logger.warning("a client of volume '\(name)' is refused: there is no such volume here")
                    channel.close(promise: nil)
                    return
                }
                let hasOthers = disks != CsnapConfiguration.Volume.digest(origin: volume.origin, store: volume.store)
                let client = Client(volume: name, uuid: uuid, hasOtherDisks: hasOthers, channel: channel)
                hello(message, client, connection)
            case (.hello, _?), (_, nil):
                logger.warning("a client does not begin with one hello: its connection is closed")
                channel.close(promise: nil)
            case (_, let id?):
                onMessage(id, message)
            }
        } catch {
            logger.warning("a client says what cannot be understood, its connection is closed: \(error)")
            channel.close(promise: nil)
        }
    }

    /// One with other disks is a client like others, lest this node wait for it, but is never served.
    private func hello(_ message: ClientToAgent, _ client: Client, _ connection: Connection) {
        let id = ClientID(nextID)
        nextID += 1
        connection.id = id
        // A volume has one client; an older connection is the same one's, or a dead one's.
        let earlier = clients.filter { $0.value.volume == client.volume }.sorted { $0.key < $1.key }
        clients[id] = client
        if client.hasOtherDisks {
            let name = client.volume
            ends?.isElsewhere(name)
            logger.error("the client of \(name) has other disks than this agent: `csnapctl why` says what to do")
            send(.otherDisks, to: id)
        } else {
            ends?.isHere(client.volume)
        }
        onMessage(id, message)
        for (old, client) in earlier {
            forget(old)
            client.channel.close(promise: nil)
        }
    }

    private func ended(_ connection: Connection, _ error: (any Error)?) {
        connections -= 1
        if let error { logger.warning("the connection of a client broke: \(error)") }
        if let id = connection.id { forget(id) }
    }

    private func forget(_ id: ClientID) {
        guard let client = clients.removeValue(forKey: id) else { return }
        onGone(id)
        if !client.hasOtherDisks, !clients.values.contains(where: { $0.volume == client.volume && !$0.hasOtherDisks }) {
            ends?.isGone(client.volume, client: client.uuid)
        }
    }
}

/// Who may connect to our sockets.
enum SocketAccess {
    /// Owner and group; the group is csnap where it exists and we may give it.
    static func shareWithGroup(_ path: String) {
        chmod(path, 0o660)
        if let group = getgrnam(DaemonUser.name) { _ = chown(path, uid_t.max, group.pointee.gr_gid) }
    }
}
