import CsnapCore
import CsnapRuntime
import Dispatch
import Testing

@Suite struct ThreadsTests {
    @Test func whoHangsIsNotWaitedFor() {
        let never = DispatchSemaphore(value: 0)
        let hanging = Threads.ask { never.wait() }
        let quick = Threads.ask { 7 }
        #expect(quick.wait(until: BootClock.now() + .seconds(30)) == 7)
        #expect(hanging.wait(until: BootClock.now() + .milliseconds(20)) == nil)
        never.signal()
        #expect(hanging.wait(until: BootClock.now() + .seconds(30)) != nil)
    }
}
