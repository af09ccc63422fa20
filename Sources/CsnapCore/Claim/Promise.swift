/// A voter's word to one holder: while it lasts, the voter grants no other epoch. On disk before the Grant leaves.
package struct Promise: Equatable, Sendable {
    package var epoch: Epoch
    package var holder: NodeBoot
    package var released: Bool

    package init(epoch: Epoch, holder: NodeBoot, released: Bool) {
        self.epoch = epoch
        self.holder = holder
        self.released = released
    }
}

/// What a voter's last promise was when it granted a new one.
package enum PromiseEnd: UInt8, Sendable {
    /// It had never promised.
    case none = 0
    case expired = 1
    case released = 2
    /// It belonged to the very (node, boot) that asks.
    case same = 3
}
