package import NBDProtocol
import Synchronization

/// Serves an export whose requests need more than the origin's disk: a snapshot.
///
/// The origin has no backend: its requests go through the gate to the disk.
package protocol ExportBackend: AnyObject, Sendable {
    /// A connection has chosen this export; `closed` follows when it has ended.
    func opened()
    func closed()

    /// Takes a READ, WRITE, FLUSH, TRIM or WRITE_ZEROES of an export that allows it, or a BLOCK_STATUS that asks for
    /// changes.
    ///
    /// It runs on the connection's thread and must not block: what waits for the server or the disk goes to the control
    /// thread or to a `WorkerPool`. Each request is finished exactly once; a connection has at most 128 of them.
    func begin(_ request: ExportRequest)

    /// The peer of this request is gone. It is still to be finished, with any error, and soon: its data is in use
    /// until then.
    func withdraw(_ ticket: UInt32)
}

/// A request in the hands of an `ExportBackend`.
///
/// `@unchecked Sendable` is safe: the connection does not touch `data` between `begin` and `finish`.
package struct ExportRequest: @unchecked Sendable {
    package let command: NBDCommand
    /// `command.length` bytes aligned for O_DIRECT: to be filled by a READ, the payload of a WRITE; room for the reply
    /// of a BLOCK_STATUS; else empty.
    package let data: UnsafeMutableRawBufferPointer
    package let transmission: NBDTransmission
    /// Its number among the client's living requests.
    package let ticket: UInt32
    private let completion: @Sendable (Int32) -> Void

    package init(
        command: NBDCommand, data: UnsafeMutableRawBufferPointer, transmission: NBDTransmission, ticket: UInt32,
        completion: @escaping @Sendable (Int32) -> Void
    ) {
        self.command = command
        self.data = data
        self.transmission = transmission
        self.ticket = ticket
        self.completion = completion
    }

    /// Done (0), or failed with that errno. From any thread, once.
    package func finish(_ error: Int32) { completion(-error) }

    /// The answer to a BLOCK_STATUS: all of it is data, and this is what changed. From any thread, once.
    package func finish(changes: [NBDExtent]) {
        let all = [NBDExtent(length: command.length, isHole: false)]
        let wanted = command.action == .blockStatus(one: true) ? Array(changes.prefix(1)) : changes
        let bytes = transmission.status(command.cookie, extents: all, changes: wanted)
        data.copyBytes(from: bytes)
        completion(Int32(bytes.count))
    }
}

/// An export as clients see it, and what serves it.
package struct ServedExport: Sendable {
    package var export: NBDExport
    /// Nil: the origin.
    package var backend: (any ExportBackend)?

    package init(export: NBDExport, backend: (any ExportBackend)? = nil) {
        self.export = export
        self.backend = backend
    }
}

/// The exports there are now. A handshake sees those of its beginning; a connection keeps the one it chose.
package final class ExportTable: Sendable {
    private let exports: Mutex<[ServedExport]>

    /// The first is also the default, whose name is empty.
    package init(_ exports: [ServedExport]) { self.exports = Mutex(exports) }

    package var current: [ServedExport] { exports.withLock { $0 } }

    /// Adds the export, or replaces the one of its name.
    package func insert(_ served: ServedExport) {
        exports.withLock { exports in
            if let index = exports.firstIndex(where: { $0.export.name == served.export.name }) {
                exports[index] = served
            } else {
                exports.append(served)
            }
        }
    }

    /// Puts these in the place of all but the first, the origin.
    package func replaceSnapshots(_ snapshots: [ServedExport]) {
        exports.withLock { $0 = $0.prefix(1) + snapshots }
    }

    package func remove(_ name: String) {
        exports.withLock { $0.removeAll { $0.export.name == name } }
    }
}
