package import CsnapCore

/// What a client process needs to know; all of it comes from the node's configuration.
package struct ClientOptions: Sendable {
    package var runtime: RuntimeDirectory
    package var volume: String
    /// Path of the origin: a block device or a file.
    package var origin: String
    /// Path of the snapshot store; nil, or not to be opened here: the server reads snapshots for this node.
    package var store: String?
    package var node: NodeID
    package var machine: MachineIdentity
    /// The address that sessions come from; its port is ignored.
    package var source: Address?
    /// The cluster's keys.
    package var keys: KeySource
    /// Nil: what fits the origin and this machine.
    package var engine: DiskEngine?

    package init(
        runtime: RuntimeDirectory, volume: String, origin: String, store: String? = nil, node: NodeID,
        machine: MachineIdentity, source: Address?, keys: KeySource, engine: DiskEngine? = nil
    ) {
        self.runtime = runtime
        self.volume = volume
        self.origin = origin
        self.store = store
        self.node = node
        self.machine = machine
        self.source = source
        self.keys = keys
        self.engine = engine
    }

    /// See `ClientToAgent.hello`.
    package var disks: UInt64 { CsnapConfiguration.Volume.digest(origin: origin, store: store ?? "") }

    /// Reads the key file. Throws `ClientError`, for a volume that the file does not name too.
    package init(configuration: CsnapConfiguration, volume name: String) throws(ClientError) {
        guard let volume = configuration.volume(named: name) else {
            throw .unknownVolume(name, known: configuration.volumes.map(\.name))
        }
        let keys: KeySource
        do throws(KeyFileError) {
            keys = try KeySource(configuration)
        } catch {
            throw .key(error)
        }
        let machine: MachineIdentity
        do throws(SystemError) {
            machine = try MachineIdentity.read(stateDirectory: configuration.stateDirectory)
        } catch {
            throw .system(error)
        }
        self.init(
            runtime: configuration.runtime, volume: name, origin: volume.origin, store: volume.store,
            node: configuration.node, machine: machine, source: configuration.listen, keys: keys)
    }
}

/// Why a client cannot start. Nothing was changed.
package enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownVolume(String, known: [String])
    /// Another client of this volume lives on this node; or the lock cannot be taken.
    case lock(FileLockError)
    case key(KeyFileError)
    /// The origin or the socket.
    case system(SystemError)

    /// 2 for what the configuration can mend: systemd does not try again (units/csnap-client@.service). 1 for the rest.
    package var exitCode: Int32 {
        switch self {
        case .unknownVolume, .key: 2
        case .lock, .system: 1
        }
    }

    package var description: String {
        switch self {
        case .unknownVolume(let name, let known):
            "there is no volume '\(name)' in the configuration; it has \(known.joined(separator: ", "))"
        case .lock(let error): error.description
        case .key(let error): error.description
        case .system(let error): error.description
        }
    }
}
