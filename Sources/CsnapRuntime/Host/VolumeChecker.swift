package import CsnapCore
import CsnapSession
package import CsnapStore
import Glibc

/// Why a store was not checked. Nothing was written.
package enum VolumeCheckerError: Error, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// A server of this machine has it open.
    case inUse(path: String)
    case refused(StoreRefusal, path: String)
    /// Somebody wrote to it while it was read.
    case changed(path: String)

    package var description: String {
        switch self {
        case .system(let error): error.description
        case .inUse(let path):
            "\(path) is in use by a server on this node: check it online (without --offline), or stop csnap first"
        case .refused(let refusal, let path): refusal.sentence(path)
        case .changed(let path):
            "\(path) was written to while it was read: a server of another node uses it. Stop csnap on all nodes, or "
                + "check it online (without --offline)"
        }
    }
}

/// Checks and repairs a store that nobody serves: `csnapctl volume check --offline`.
package struct VolumeChecker {
    private let path: String
    private let store: StoreDevice
    private let origin: StoreDevice

    /// Opens the store and locks it against the servers of this machine.
    package init(path: String, origin: String) throws(VolumeCheckerError) {
        self.path = path
        do throws(SystemError) {
            store = try StoreDevice(path: path)
            self.origin = try StoreDevice(path: origin, writable: false)
        } catch {
            throw .system(error)
        }
        do throws(SystemError) {
            try store.lock(exclusively: true)
        } catch {
            throw error.code == EAGAIN || error.code == EACCES ? .inUse(path: path) : .system(error)
        }
    }

    /// Reads everything. `progress` is told of entries done, and of about how many there are.
    package func check(
        _ name: String, progress: (UInt64, UInt64) -> Void
    ) throws(VolumeCheckerError) -> VolumeCheck {
        let (report, isSteady): (CheckReport, Bool)
        do throws(StoreRefusal) {
            var inspected = try SnapshotStore.inspect(device: device(store), origin: device(origin))
            do throws(StoreError) {
                report = try inspected.check(data: true, progress: progress)
            } catch {
                throw StoreRefusal(error, base: .none)
            }
            isSteady = try SnapshotStore.inspect(device: device(store), origin: device(origin)).isSame(as: inspected)
        } catch {
            throw .refused(error, path: path)
        }
        guard isSteady else { throw .changed(path: path) }
        return VolumeCheck(name, CheckState(report, total: report.entries, isDone: true), online: false)
    }

    /// Mends what can be mended and says what is lost. `node`: this node's id, 0 without a configuration. Unless
    /// `force` says that no server runs anywhere, the last one must have been on this machine. `fenced` says that no
    /// dead server can write any more: what is kept away because of them is made free first.
    package func repair(
        _ name: String, node: NodeID, machine: MachineIdentity, force: Bool, fenced: Bool = false,
        progress: (UInt64, UInt64) -> Void
    ) throws(VolumeCheckerError) -> VolumeCheck {
        let owner = StoreOwner(
            process: NodeBoot(node: node, boot: Boot(0)), machineID: machine.machineID,
            kernelBootID: machine.kernelBootID)
        let outcome: RepairReport
        let names: [Snapshot]
        var settled: [Tenure] = []
        do throws(StoreRefusal) {
            let before = try SnapshotStore.inspect(device: device(store), origin: device(origin))
            names = before.images
            if !force, let last = before.lastOwner,
                last.machineID != owner.machineID || last.kernelBootID != owner.kernelBootID
            {
                throw .ownedElsewhere(last.process)
            }
            if fenced {
                settled = try SnapshotStore.settleAll(device: device(store), origin: device(origin), owner: owner)
            }
            outcome = try SnapshotStore.repair(
                device: device(store), origin: device(origin), owner: owner, progress: progress)
        } catch {
            throw .refused(error, path: path)
        }
        var check = VolumeCheck(
            name, CheckState(outcome.before, total: outcome.before.entries, isDone: true), online: false)
        check.repaired = outcome.isChanged
        check.settled = fenced ? settled.count : nil
        check.generation = outcome.generation
        check.losses = outcome.losses.map { VolumeCheck.Loss($0, names) }
        return check
    }

    private func device(_ device: StoreDevice) -> GatedDevice { GatedDevice(device: device, gate: nil) }
}

extension VolumeCheck.Loss {
    fileprivate init(_ loss: RepairLoss, _ all: [Snapshot]) {
        let names = loss.snapshots.map { number in
            all.first { $0.number == number }?.about.name ?? "\(number.value)"
        }
        let whom = names.isEmpty ? "no snapshot" : names.joined(separator: ", ")
        switch loss {
        case .chunks(let first, let end, _):
            let rest = end.map { "to \($0 - 1)" } ?? "on"
            let place = end == first + 1 ? "chunk \(first)" : "chunks from \(first) \(rest)"
            self.init(snapshots: names, firstChunk: first, endChunk: end, text: "\(place) of \(whom) may be wrong")
        case .journal(let epoch, let group, _):
            self.init(
                snapshots: names, firstChunk: nil, endChunk: nil,
                text: "what epoch \(epoch) recorded from group \(group) on is gone: snapshots made since are lost, and "
                    + "chunks overwritten since may be wrong in \(whom)")
        }
    }
}
