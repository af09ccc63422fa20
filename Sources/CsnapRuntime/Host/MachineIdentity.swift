package import CsnapCore
import Glibc

/// What tells this machine and this run of its kernel from all others (docs/protocol.md §1).
package struct MachineIdentity: Equatable, Sendable {
    package var machineID: Bits128
    package var kernelBootID: Bits128
    /// The machine has no /etc/machine-id, and one was drawn into the state directory.
    package var isSubstitute: Bool

    package init(machineID: Bits128, kernelBootID: Bits128, isSubstitute: Bool = false) {
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.isSubstitute = isSubstitute
    }

    package static func read(stateDirectory: String) throws(SystemError) -> MachineIdentity {
        let boot = "/proc/sys/kernel/random/boot_id"
        guard let kernel = try bits(of: boot) else { throw SystemError("no identifier in", boot, code: EINVAL) }
        if let machine = try? bits(of: "/etc/machine-id") {
            return MachineIdentity(machineID: machine, kernelBootID: kernel, isSubstitute: false)
        }
        let path = stateDirectory + "/machine-id"
        if let machine = try? bits(of: path) {
            return MachineIdentity(machineID: machine, kernelBootID: kernel, isSubstitute: true)
        }
        let drawn = RandomBits.draw()
        try DurableFile.replace(path, with: Array((drawn.hex + "\n").utf8))
        return MachineIdentity(machineID: drawn, kernelBootID: kernel, isSubstitute: true)
    }

    private static func bits(of path: String) throws(SystemError) -> Bits128? {
        let text = String(decoding: try Files.read(path, limit: 128), as: UTF8.self)
        return Bits128(hex: text.filter { !$0.isWhitespace })
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
