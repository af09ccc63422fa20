package import Glibc

/// Whether what csnap needs to live lies on a volume that csnap serves: then it would wait for itself. And whether two
/// volumes, or origin and store, are one disk under two names: the second would overwrite the first.
package struct VolumePlacement: Sendable {
    /// Reasons not to start.
    package private(set) var refusals: [String] = []
    package private(set) var warnings: [String] = []

    /// Deeper stacks of devices do not exist; a ring of links must end.
    private static let depth = 8
    private static let networkBlockDevice = 43

    private let blockDevices: String
    private let volumes: [(use: String, identity: Identity)]

    /// A block device by its number, or a file by its place.
    private enum Identity: Equatable {
        case device(String)
        case file(device: UInt64, number: UInt64)
    }

    /// `blockDevices`: the kernel's directory of block devices by number, or a test's.
    package init(_ configuration: CsnapConfiguration, blockDevices: String = "/sys/dev/block") {
        self.blockDevices = blockDevices
        volumes = configuration.volumes.flatMap { volume in
            [("origin", volume.origin), ("store", volume.store)].compactMap { use, path in
                Self.identity(of: path).map { ("volumes.\(volume.name).\(use)", $0) }
            }
        }
        refuseOneDiskTwice()
        judge("state-directory", configuration.stateDirectory, isVital: true)
        judge("runtime-directory", configuration.runtimeDirectory, isVital: true)
        if let program = Files.ownExecutable { judge("the program", program, isVital: true) }
        judge("the system's logs", "/var/log", isVital: false)
    }

    private mutating func refuseOneDiskTwice() {
        for (index, one) in volumes.enumerated() {
            for other in volumes[..<index] where shareDisk(one.identity, other.identity) {
                refusals.append("\(one.use) and \(other.use) are on one disk: give each its own device")
            }
        }
    }

    private func shareDisk(_ one: Identity, _ other: Identity) -> Bool {
        func all(_ identity: Identity) -> [Identity] {
            switch identity {
            case .device(let number): identities(under: number, depth: Self.depth)
            case .file: [identity]
            }
        }
        return all(one).contains(other) || all(other).contains(one)
    }

    /// Whether two paths name one device or file.
    static func isOne(_ path: String, _ other: String) -> Bool {
        identity(of: path).map { $0 == identity(of: other) } ?? false
    }

    private mutating func judge(_ what: String, _ path: String, isVital: Bool) {
        guard let device = Self.device(holding: path) else { return }
        for identity in identities(under: device, depth: Self.depth) {
            guard let volume = volumes.first(where: { $0.identity == identity }) else { continue }
            let text = "\(what) (\(path)) lies on \(volume.use), for which csnap would wait: move it to another disk"
            if isVital { refusals.append(text) } else { warnings.append(text) }
            return
        }
        if device.hasPrefix("\(Self.networkBlockDevice):") {
            warnings.append("\(what) (\(path)) lies on a network block device: it must not be one of csnap's volumes")
        }
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        if status.st_mode & S_IFMT == S_IFBLK { return .device(number(status.st_rdev)) }
        return .file(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }

    /// The device of the file system that holds the path, or will hold it.
    private static func device(holding path: String) -> String? {
        var place = path
        var status = stat()
        while stat(place, &status) != 0 {
            guard place != "/", place != "." else { return nil }
            place = ConfigurationReader.parentDirectory(place)
        }
        return number(status.st_dev)
    }

    /// `major:minor`, as the kernel names it (makedev(3)).
    package static func number(_ device: dev_t) -> String {
        let device = UInt64(device)
        let major = device >> 8 & 0xfff | device >> 32 & ~0xfff
        let minor = device & 0xff | device >> 12 & ~0xff
        return "\(major):\(minor)"
    }

    /// The device itself, what it is a part of or is made of, and the file behind a loop device.
    private func identities(under device: String, depth: Int) -> [Identity] {
        var found = [Identity.device(device)]
        guard depth > 0 else { return found }
        let directory = "\(blockDevices)/\(device)"
        if access(directory + "/partition", F_OK) == 0, let whole = text(directory + "/../dev") {
            found += identities(under: whole, depth: depth - 1)
        }
        for slave in (try? Files.names(in: directory + "/slaves")) ?? [] {
            guard let number = text("\(directory)/slaves/\(slave)/dev") else { continue }
            found += identities(under: number, depth: depth - 1)
        }
        if let file = text(directory + "/loop/backing_file") {
            if let identity = Self.identity(of: file) { found.append(identity) }
            if let below = Self.device(holding: file), below != device {
                found += identities(under: below, depth: depth - 1)
            }
        }
        return found
    }

    private func text(_ path: String) -> String? {
        guard let bytes = try? Files.read(path, limit: Int(PATH_MAX)) else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).prefix { !$0.isNewline }
        return line.isEmpty ? nil : String(line)
    }
}
