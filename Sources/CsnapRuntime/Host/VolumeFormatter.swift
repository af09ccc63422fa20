import CShims
package import CsnapCore
package import CsnapStore
import Glibc

/// Why no store was made. Unless it says otherwise, nothing was written.
package enum VolumeFormatterError: Error, Sendable, CustomStringConvertible {
    case system(SystemError)
    case format(StoreFormatError)
    /// There is something already.
    case notBlank(path: String, isStore: Bool)
    case isOrigin(path: String, origin: String)
    /// A server of this machine has it open.
    case inUse(path: String)
    /// The store may be half made; it is refused by servers until it is made again.
    case write(path: String, code: Int32)

    package var description: String {
        switch self {
        case .system(let error): error.description
        case .format(let error): error.description
        case .notBlank(let path, let isStore):
            "\(path) holds \(isStore ? "a snapshot store" : "data") already; nothing was written. "
                + "Give another path, or --force to lose what is there"
        case .isOrigin(let path, let origin):
            "\(path) is the origin \(origin) itself; nothing was written. Give the store a device or file of its own"
        case .inUse(let path): "\(path) is in use by a server on this node; stop csnap first"
        case .write(let path, let code):
            "\(path) cannot be written: \(String(cString: strerror(code))); it is no store now, make it again"
        }
    }
}

/// Makes snapshot stores, offline: `csnapctl volume create`.
package enum VolumeFormatter {
    /// A store was made; its uuid and sizes.
    package struct Outcome: Equatable, Sendable {
        package var store: Bits128
        package var geometry: StoreGeometry
    }

    /// Makes an empty store for the snapshots of `origin`, at `path`: a block device, an existing file, or a new
    /// (sparse) file of `storeSize` bytes; by default a tenth of the origin, at least 64 MiB.
    ///
    /// Refuses what is not blank unless forced, and what a server of this node has open in any case.
    package static func create(
        path: String, origin: String, storeSize: UInt64? = nil, chunkSize: UInt32 = StoreLayout.defaultChunkSize,
        force: Bool = false
    ) throws(VolumeFormatterError) -> Outcome {
        if VolumePlacement.isOne(path, origin) { throw .isOrigin(path: path, origin: origin) }
        let originSize = try device(origin, writable: false).size
        let wanted = (storeSize ?? max(64 << 20, originSize / 10)) / 4096 * 4096
        let isNew = try makeFile(path, size: wanted)
        let file = try device(path, writable: true)
        do {
            try file.lock(exclusively: true)
        } catch {
            throw error.code == EAGAIN || error.code == EACCES ? .inUse(path: path) : .system(error)
        }
        // Another run may have found the new file, and made the store by now.
        if isNew || !force { try expectBlank(file) }
        do {
            return try format(file, originSize: originSize, chunkSize: chunkSize)
        } catch {
            // Still locked: what is in the file is this run's.
            if isNew { withExtendedLifetime(file) { _ = unlink(path) } }
            throw error
        }
    }

    private static func format(
        _ device: StoreDevice, originSize: UInt64, chunkSize: UInt32
    ) throws(VolumeFormatterError) -> Outcome {
        let geometry = StoreGeometry(
            originSize: originSize, storeSize: device.size / 4096 * 4096, chunkSize: chunkSize)
        let store = random()
        let requests: [StoreRequest]
        do {
            requests = try StoreFormat(store: store, geometry: geometry).format()
        } catch {
            throw .format(error)
        }
        for request in requests {
            if case .failed(let code) = device.perform(request) { throw .write(path: device.path, code: code) }
        }
        return Outcome(store: store, geometry: geometry)
    }

    /// Blank: the part before the data holds zeros only.
    private static func expectBlank(_ device: StoreDevice) throws(VolumeFormatterError) {
        switch device.perform(.read(offset: 0, count: Int(StoreLayout.dataOffset))) {
        case .failed(let code): throw .system(SystemError("cannot read", device.path, code: code))
        case .done: break
        case .bytes(let bytes):
            guard !bytes.allSatisfy({ $0 == 0 }) else { return }
            let isStore =
                switch StoreFormat.read(Array(bytes.prefix(2 * StoreLayout.blockSize))) {
                case .store, .version: true
                case .blank, .other: false
                }
            throw .notBlank(path: device.path, isStore: isStore)
        }
    }

    /// Whether the file was made now.
    private static func makeFile(_ path: String, size: UInt64) throws(VolumeFormatterError) -> Bool {
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST { return false }
            throw .system(SystemError("cannot make the store", path))
        }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(clamping: size)) == 0, DaemonUser.own(descriptor) else {
            let error = SystemError("cannot make the store", path)
            unlink(path)
            throw .system(error)
        }
        return true
    }

    private static func device(_ path: String, writable: Bool) throws(VolumeFormatterError) -> StoreDevice {
        do {
            return try StoreDevice(path: path, writable: writable)
        } catch {
            throw .system(error)
        }
    }

    private static func random() -> Bits128 {
        var generator = SystemRandomNumberGenerator()
        return Bits128(high: generator.next(), low: generator.next())
    }
}
