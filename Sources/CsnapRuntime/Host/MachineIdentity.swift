package import CsnapCore
import Glibc

/// What tells this machine and this run of its kernel from all others (docs/protocol.md §1).
package struct MachineIdentity: Equatable, Sendable {
    package var machineID: Bits128
    package var kernelBootID: Bits128
    /// The machine has no /etc/machine-id, and one was drawn into the state directory.
    package var isSubstitute: Bool
    /// The substitute that was drawn before the machine got an id of its own.
    package var formerID: Bits128?

    package init(machineID: Bits128, kernelBootID: Bits128, isSubstitute: Bool = false) {
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.isSubstitute = isSubstitute
    }

    package static func read(
        stateDirectory: String, machineFile: String = "/etc/machine-id"
    ) throws(SystemError) -> MachineIdentity {
        let boot = "/proc/sys/kernel/random/boot_id"
        guard let kernel = try bits(of: boot) else { throw SystemError("no identifier in", boot, code: EINVAL) }
        let substitute = substituteFile(stateDirectory)
        // A file that cannot be read now says nothing: under another id this node would lose its vote.
        if let machine = try bits(of: machineFile) {
            var identity = MachineIdentity(machineID: machine, kernelBootID: kernel)
            identity.formerID = (try? bits(of: substitute)) ?? nil
            return identity
        }
        if let machine = try bits(of: substitute) {
            return MachineIdentity(machineID: machine, kernelBootID: kernel, isSubstitute: true)
        }
        let drawn = RandomBits.draw()
        try DurableFile.replace(substitute, with: Array((drawn.hex + "\n").utf8))
        return MachineIdentity(machineID: drawn, kernelBootID: kernel, isSubstitute: true)
    }

    /// The state carries the machine's own id now; a copy of this directory is to be seen as one again.
    package static func forgetSubstitute(stateDirectory: String) { unlink(substituteFile(stateDirectory)) }

    private static func substituteFile(_ stateDirectory: String) -> String { stateDirectory + "/machine-id" }

    /// Nil if the file is missing, empty, or as a first boot finds it (machine-id(5)).
    private static func bits(of path: String) throws(SystemError) -> Bits128? {
        guard let text = try Files.word(path, limit: 128), !text.isEmpty, text != "uninitialized" else { return nil }
        guard let bits = Bits128(hex: text) else { throw SystemError("no identifier in", path, code: EINVAL) }
        return bits
    }
}

/// Random bits of the kernel (getrandom, by way of the standard library's generator).
package enum RandomBits {
    package static func draw() -> Bits128 {
        var generator = SystemRandomNumberGenerator()
        return Bits128(high: generator.next(), low: generator.next())
    }

    package static func word() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
