import CsnapRuntime
import CsnapSandbox
import Foundation
import Synchronization
import Testing

private final class Stop: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}

/// A throw at the end of an initializer runs `deinit`: what closes in both closes a number twice, and the second time
/// it may be another thread's.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct DescriptorTests {
    private static let nowhere = "/tmp/csnap-nobody-listens-here"

    /// Opens and looks again, while another thread fails to connect; returns how often a descriptor was stolen.
    private func stolen(while fails: @escaping @Sendable () -> Void) -> Int {
        let stop = Stop()
        let group = DispatchGroup()
        DispatchQueue.global().async(group: group) {
            while !stop.isSet { fails() }
        }
        var stolen = 0
        for _ in 0..<20_000 {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            sched_yield()
            if fcntl(descriptor, F_GETFD) < 0 { stolen += 1 } else { close(descriptor) }
        }
        stop.set()
        group.wait()
        return stolen
    }

    @Test func aFailedNBDConnectionClosesOnce() {
        #expect(
            stolen { _ = try? NBDClient(path: DescriptorTests.nowhere, export: "origin", cancelled: { false }) } == 0)
    }

    @Test func aFailedControlConnectionClosesOnce() {
        #expect(stolen { _ = try? VarlinkClient(path: DescriptorTests.nowhere) } == 0)
    }
}
