import CsnapRuntime
import Glibc
import Testing

@Suite struct AlignedBufferTests {
    /// madvise refuses locked pages in its ordinary way; what is written as zeroes must not be what was read before.
    @Test(arguments: [false, true]) func whatIsReleasedReadsAsZeroes(locked: Bool) throws {
        let buffer = try AlignedBuffer(size: 16384)
        // 64 KiB may be locked by anybody.
        if locked { #expect(mlock(buffer.bytes.baseAddress, buffer.bytes.count) == 0) }
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0xA5)
        buffer.release(from: 4096)
        #expect(buffer.bytes[..<4096].allSatisfy { $0 == 0xA5 })
        #expect(buffer.bytes[4096...].allSatisfy { $0 == 0 })
    }
}
