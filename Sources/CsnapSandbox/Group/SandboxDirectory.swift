package import CsnapRuntime
import FoundationEssentials
import Glibc

/// The files of one sandbox, below $TMPDIR or /var/tmp: state files lie on a disk, as in real life.
package struct SandboxDirectory: Sendable {
    package let path: String

    package init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
        var template = Array("\(parent)/csnap-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw SandboxError.system("\(parent): \(lastError()). Set TMPDIR to a directory on a disk.")
        }
        path = String(cString: made)
    }

    /// Of the volume that every group has.
    package var origin: String { origin(of: SandboxGroup.volume) }
    package var store: String { store(of: SandboxGroup.volume) }
    package var key: String { path + "/cluster.key" }

    package func origin(of volume: String) -> String { "\(path)/\(volume).origin" }
    package func store(of volume: String) -> String { "\(path)/\(volume).store" }
    package func node(_ node: Int) -> String { "\(path)/n\(node)" }
    package func state(_ node: Int) -> String { "\(path)/n\(node)/state" }
    package func runtime(_ node: Int) -> String { "\(path)/n\(node)/run" }
    package func configuration(_ node: Int) -> String { "\(path)/n\(node)/csnap.yaml" }
    package func log(_ node: Int, _ process: String) -> String { "\(path)/n\(node)/\(process).log" }
    package func controlSocket(_ node: Int) -> String { runtime(node) + "/agent.sock" }
    package func volumeSocket(_ node: Int, _ volume: String = SandboxGroup.volume) -> String {
        "\(runtime(node))/\(volume).nbd"
    }
    package func serviceRecord(_ node: Int) -> String { runtime(node) + "/service.record" }

    /// What is wrong with a volume's store, when nobody uses it any more.
    package func checkStore(_ volume: String = SandboxGroup.volume) throws -> VolumeCheck {
        try VolumeChecker(path: store(of: volume), origin: origin(of: volume)).check(volume, progress: { _, _ in })
    }

    /// Makes the directories and the configuration of one node.
    package func prepare(
        _ node: Int, of options: SandboxOptions, addresses: SandboxAddresses, serves: Bool = true,
        volumes: [String] = [SandboxGroup.volume]
    ) throws {
        for directory in [self.node(node), state(node), runtime(node)] where mkdir(directory, 0o755) != 0 {
            guard errno == EEXIST else { throw SandboxError.system("\(directory): \(lastError())") }
        }
        let peers = (1...SandboxAddresses.maximumNodes).filter { $0 != node && $0 <= options.nodes }
            .map { "\(addresses.advertise($0)):\(SandboxAddresses.port)" }
        let text = """
            cluster: sandbox-\(addresses.network)
            node: \(node)
            listen: \(addresses.listen(node)):\(SandboxAddresses.port)
            advertise: \(addresses.advertise(node)):\(SandboxAddresses.port)
            service-port: \(SandboxAddresses.servicePort)
            peers: [\(peers.joined(separator: ", "))]
            profile: \(options.profile)
            serve: \(serves)
            key-file: \(key)
            state-directory: \(state(node))
            runtime-directory: \(runtime(node))
            volumes:
            \(volumes.map { "  \($0): { origin: \(origin(of: $0)), store: \(store(of: $0)) }" }.joined(separator: "\n"))

            """
        try SandboxDirectory.write(text, to: configuration(node), mode: 0o644)
    }

    package static func write(_ text: String, to path: String, mode: UInt32) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw SandboxError.system("\(path): \(lastError())") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw SandboxError.system("\(path): \(lastError())")
        }
    }

    /// A file of that size without a byte in it.
    package static func makeSparse(_ path: String, size: UInt64) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SandboxError.system("\(path): \(lastError())") }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw SandboxError.system("\(path): \(lastError())")
        }
    }

    /// Empties a node's runtime directory, as a reboot does; only the evidence of its servers is kept.
    package func forgetRuntime(_ node: Int) {
        let files = FileManager.default
        for name in (try? files.contentsOfDirectory(atPath: runtime(node))) ?? [] where name != "service.record" {
            try? files.removeItem(atPath: runtime(node) + "/" + name)
        }
    }

    /// Removes everything; what cannot be removed is left.
    package func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }
}
