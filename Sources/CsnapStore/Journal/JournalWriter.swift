/// Where the next group of this tenure's journal goes.
struct JournalWriter: Equatable, Sendable {
    /// This tenure's own piece since the last checkpoint.
    var piece: JournalPiece
    /// The window of `piece` that is being filled.
    var current = 0
    /// In that window, bytes.
    var offset = 0
    /// Of the next group.
    var number: UInt64 = 1
    var predecessor: UInt32 = 0
    /// What a successor would have to read, inherited pieces included.
    var liveBytes = 0

    var window: UInt32 { piece.windows[current] }

    var hasNext: Bool { current + 1 < piece.windows.count }

    /// Nothing is written yet.
    mutating func begin(at place: JournalEnd) {
        piece.windows = [place.window]
        piece.offset = UInt32(place.offset)
        offset = place.offset
    }

    mutating func moveOn() {
        current += 1
        offset = 0
    }

    mutating func wrote(_ count: Int, checksum: UInt32) {
        offset += count
        number += 1
        predecessor = checksum
        liveBytes += count
    }

    /// The piece that begins here.
    var pieceFromHere: JournalPiece {
        JournalPiece(
            tenure: piece.tenure, windows: Array(piece.windows[current...]), offset: UInt32(offset), number: number,
            predecessor: predecessor, cut: nil)
    }

    /// A checkpoint stands: the piece begins there, and `bytes` had been written then.
    mutating func begin(at start: JournalPiece, bytes: Int) {
        let passed = piece.windows.firstIndex(of: start.windows[0]) ?? 0
        var next = start
        next.windows = Array(piece.windows[passed...])
        piece = next
        current -= passed
        liveBytes -= bytes
    }
}
