import CsnapCore
import CsnapSession

/// The reads of snapshots that run, as their frames tell: what nobody may write or use again meanwhile.
struct HoldLedger {
    private struct Read {
        var process: NodeBoot
        var client: Bits128
        var request: UInt64
        var chunks: [ChunkRange]
        /// Of the store, in bytes.
        var places: [Range<UInt64>]
    }

    private var reads: [Read] = []
    private var dead: Set<Bits128> = []

    /// A client that greets, or goes, has thrown away what it was reading; nobody before it reads any more.
    mutating func anew(_ hello: SessionHello) {
        reads.removeAll { $0.process.node == hello.process.node && $0.client <= hello.client }
    }

    mutating func mapped(_ hello: SessionHello, _ request: UInt64, _ ranges: [ChunkRange], _ pieces: [MapPiece]) {
        var read = Read(process: hello.process, client: hello.client, request: request, chunks: [], places: [])
        var chunks = ranges.flatMap { Array($0.first..<$0.end) }[...]
        for piece in pieces {
            let part = chunks.prefix(Int(piece.count))
            chunks = chunks.dropFirst(Int(piece.count))
            switch piece.place {
            case .origin: read.chunks += part.map { ChunkRange(first: $0, count: 1) }
            // The answer may come after the death.
            case .store where dead.contains(hello.client): break
            case .store(let address):
                read.places.append(address..<address + UInt64(piece.count) * UInt64(DataWorld.chunkSize))
            case .zero: break
            }
        }
        reads.append(read)
    }

    mutating func ended(_ hello: SessionHello, _ request: UInt64) {
        reads.removeAll { $0.client == hello.client && $0.process == hello.process && $0.request == request }
    }

    /// The agent of that boot has proven this client gone, those before it, and those of earlier boots.
    mutating func gone(_ process: NodeBoot, _ client: Bits128) {
        reads.removeAll { read in
            guard read.process.node == process.node else { return false }
            return read.process.boot == process.boot ? read.client <= client : read.process.boot < process.boot
        }
    }

    mutating func struck(_ process: NodeBoot) {
        reads.removeAll { $0.process.node == process.node && $0.process.boot <= process.boot }
    }

    /// Holds end with their server. Who reads from the store goes on until it hears of the next one.
    mutating func serverGone() { for index in reads.indices { reads[index].chunks = [] } }

    /// Nobody looks any more at what it read.
    mutating func died(_ client: Bits128) {
        dead.insert(client)
        for index in reads.indices where reads[index].client == client { reads[index].places = [] }
    }

    /// D6: who reads one of these chunks from the origin.
    func holder(of ranges: [ChunkRange]) -> String? {
        for read in reads {
            for chunk in read.chunks where ranges.contains(where: { $0.first <= chunk.first && chunk.first < $0.end }) {
                return "node \(read.process.node.value)"
            }
        }
        return nil
    }

    /// Who reads from the store.
    var readers: [NodeID] { reads.filter { !$0.places.isEmpty }.map { $0.process.node } }

    /// D9: a place that somebody may look at is free.
    func freed(_ isUsed: (UInt64) -> Bool) -> String? {
        for read in reads {
            for place in read.places {
                for address in stride(from: place.lowerBound, to: place.upperBound, by: DataWorld.chunkSize)
                where !isUsed(address) {
                    return "byte \(address) of the store is free, and node \(read.process.node.value) reads there"
                }
            }
        }
        return nil
    }

    /// D9: a place that somebody may look at was written.
    func overwritten(by writes: [Range<UInt64>]) -> String? {
        for read in reads {
            for place in read.places where writes.contains(where: { $0.overlaps(place) }) {
                return "byte \(place.lowerBound) of the store is used again, and node "
                    + "\(read.process.node.value) reads there"
            }
        }
        return nil
    }
}
