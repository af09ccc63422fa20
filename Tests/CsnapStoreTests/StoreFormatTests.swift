import CsnapCore
import CsnapStore
import Testing

@Suite("Format of a store")
struct StoreFormatTests {
    @Test("impossible sizes are refused by name")
    func sizes() {
        func error(_ geometry: StoreGeometry) -> StoreFormatError? {
            do throws(StoreFormatError) {
                _ = try StoreFormat(store: .zero, geometry: geometry)
                return nil
            } catch {
                return error
            }
        }
        let size = StoreLayout.minimumStoreSize
        #expect(error(StoreGeometry(originSize: 1, storeSize: size)) == nil)
        #expect(error(StoreGeometry(originSize: 1, storeSize: size - 1)) == .storeTooSmall(size - 1))
        #expect(error(StoreGeometry(originSize: 0, storeSize: size)) == .originSize(0))
        #expect(error(StoreGeometry(originSize: .max, storeSize: size)) == .originSize(.max))
        for chunk in [0, 2048, 4097, 2 << 20] as [UInt32] {
            #expect(error(StoreGeometry(originSize: 1, storeSize: size, chunkSize: chunk)) == .chunkSize(chunk))
        }
    }

    @Test("a formatting that power interrupts leaves no store, or a whole one")
    func interrupted() throws {
        let requests = try Sample.format().format()
        // Over an older store of the same place, which had been taken.
        var old = try Sample.device()
        _ = take(Sample.claim(3), &old)
        for seed in 0..<40 as Range<UInt64> {
            for steps in 0...requests.count {
                var generator = Generator(seed: seed * 100 + UInt64(steps))
                var device = old
                for request in requests.prefix(steps) { _ = device.perform(request) }
                device.crash(&generator)
                switch take(Sample.claim(4, lastActive: 0), &device) {
                case .taken, .refused(.blank), .refused(.notAStore): break
                case let other: Issue.record("after \(steps) steps: \(String(describing: other))")
                }
            }
        }
    }

    @Test("garbage is never a store and never traps")
    func garbage() throws {
        var generator = Generator(seed: 1)
        let good = try Sample.device()
        guard
            case .bytes(let format) = {
                var device = good; return device.perform(.read(offset: 0, count: 8192))
            }(),
            case .store(let expected) = StoreFormat.read(format)
        else {
            Issue.record("no format")
            return
        }
        for _ in 0..<2000 {
            var bytes = format
            for _ in 0...generator.next(below: 3) {
                bytes[generator.next(below: bytes.count)] = UInt8(truncatingIfNeeded: generator.next())
            }
            if generator.next(below: 4) == 0 { bytes.removeLast(generator.next(below: bytes.count)) }
            if case .store(let store) = StoreFormat.read(bytes) { #expect(store == expected) }
        }
        #expect(StoreFormat.read([]) == .blank)
    }
}
