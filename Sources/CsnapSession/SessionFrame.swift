package import CsnapCore

/// What a client says to the server over its TCP session (docs/data-plane.md).
package enum ClientFrame: Equatable, Sendable {
    case hello(SessionHello)
    /// May I write these chunks? Idempotent by `request`.
    case queryWrite(request: UInt64, epoch: Epoch, ranges: [ChunkRange])
    case ping(epoch: Epoch)
    case bye
}

package struct SessionHello: Equatable, Sendable {
    package var versions: ClosedRange<UInt16>
    package var process: NodeBoot
    package var client: Bits128
    package var volume: String
    package var image: String
    package var tenure: Tenure

    package init(
        versions: ClosedRange<UInt16>, process: NodeBoot, client: Bits128, volume: String, image: String,
        tenure: Tenure
    ) {
        self.versions = versions
        self.process = process
        self.client = client
        self.volume = volume
        self.image = image
        self.tenure = tenure
    }
}

/// `count` chunks from `first`; count is at least 1.
package struct ChunkRange: Equatable, Sendable {
    package var first: UInt64
    package var count: UInt32

    package init(first: UInt64, count: UInt32) {
        self.first = first
        self.count = count
    }
}

package enum ServerFrame: Equatable, Sendable {
    case welcome(SessionWelcome)
    case refused(SessionRefusal, tenure: Tenure)
    case grant(request: UInt64, epoch: Epoch, generation: UInt64)
    case error(request: UInt64, epoch: Epoch, code: UInt16)
    case pong(epoch: Epoch)
    /// Another tenure has begun, or this boot was struck.
    case goAway(tenure: Tenure)
}

package struct SessionWelcome: Equatable, Sendable {
    package var session: UInt64
    package var tenure: Tenure
    package var storeUUID: Bits128
    /// Bytes.
    package var originSize: UInt64
    package var chunkSize: UInt32
    /// Raised by each snapshot; unshared bitmaps are tagged with it.
    package var generation: UInt64

    package init(
        session: UInt64, tenure: Tenure, storeUUID: Bits128, originSize: UInt64, chunkSize: UInt32,
        generation: UInt64
    ) {
        self.session = session
        self.tenure = tenure
        self.storeUUID = storeUUID
        self.originSize = originSize
        self.chunkSize = chunkSize
        self.generation = generation
    }
}

/// Why a session was refused; each has its own sentence for a person.
package enum SessionRefusal: UInt16, Sendable {
    case notAdmitted = 1
    case struck = 2
    case lowerTenure = 3
    case higherTenure = 4
    case unknownVolume = 5
    case version = 6
    case tooManySessions = 7
    case unknownImage = 8
    case notServing = 9
}
