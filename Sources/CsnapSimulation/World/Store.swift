import CsnapCore

/// The shared snapshot store as far as tenures go: claimed before anything is read (docs/data-plane.md, "Taking").
struct SimStore {
    /// Highest tenure any slot shows.
    private(set) var highest: Tenure = .none

    mutating func claim(_ tenure: Tenure) { highest = max(highest, tenure) }
}
