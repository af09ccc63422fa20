import CsnapCore

/// The shared snapshot store as far as tenures go: slots by epoch, claimed before anything is read (data-plane.md, taking).
struct SimStore {
    /// Highest tenure any slot shows.
    private(set) var highest: Tenure = .none

    mutating func claim(_ tenure: Tenure) { highest = max(highest, tenure) }
}
