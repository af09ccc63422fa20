import Glibc
import NBDProtocol

/// The memory of one connection, allocated once: what was received and not understood yet, headers of replies, and
/// pages for the data of requests.
///
/// Only what was used is resident. A request longer than all pages gets them alone, with more behind them that is given
/// back afterwards.
package final class ConnectionMemory {
    static let pageSize = 4096
    /// Requests at once.
    static let maximumRequests = 128
    /// The data of all requests at once, except for one longer request.
    static let maximumData = 8 << 20
    static let streamSize = 256 << 10
    private static let headerSize = 64
    private static let dataOffset = streamSize + maximumRequests * headerSize
    /// What is pinned for a ring, where the limit allows it: the pages that small requests use.
    static let fixedSize = 1 << 20

    let buffer: AlignedBuffer
    private let base: UnsafeMutableRawPointer
    private var pages = PageMap(pages: maximumData / pageSize)

    package init() throws(SystemError) {
        buffer = try AlignedBuffer(size: Self.dataOffset + Int(NBD.maximumPayload))
        guard let base = buffer.bytes.baseAddress else { throw SystemError("cannot get", "memory", code: ENOMEM) }
        self.base = base
    }

    var stream: UnsafeMutableRawPointer { base }

    /// May be pinned.
    var fixed: UnsafeMutableRawPointer { base + Self.dataOffset }

    func header(_ request: Int) -> UnsafeMutableRawPointer { base + Self.streamSize + request * Self.headerSize }

    func data(_ pages: Pages) -> UnsafeMutableRawPointer { base + Self.dataOffset + pages.first * Self.pageSize }

    /// A run of pages that a request has.
    struct Pages {
        var first: Int
        var count: Int
        static let none = Pages(first: 0, count: 0)
    }

    /// Nil: not now.
    func take(_ length: Int) -> Pages? {
        let count = min((length + Self.pageSize - 1) / Self.pageSize, pages.pages)
        if count == 0 { return Pages.none }
        return pages.take(count).map { Pages(first: $0, count: count) }
    }

    func release(_ taken: Pages) {
        guard taken.count > 0 else { return }
        pages.release(taken.first, taken.count)
        if taken.count == pages.pages { buffer.release(from: Self.dataOffset + Self.maximumData) }
    }
}
