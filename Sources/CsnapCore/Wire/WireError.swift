/// Why bytes were refused. Nothing was changed by them; the sender, the file or the network is at fault.
package enum WireError: Error, Equatable, Sendable {
    /// The bytes end inside a value.
    case truncated
    /// A value is outside its bounds or not in its only form.
    case malformed
    /// A count or a length exceeds its limit.
    case tooLarge
    /// Bytes follow where none may.
    case trailingBytes
    /// A kind that this version does not know, where it cannot be skipped.
    case unknownKind(UInt8)
    /// Not a packet of csnap.
    case foreign
    /// A wire version that this version does not speak.
    case version(UInt8)
    /// A mandatory flag that this version does not know.
    case mandatoryFlag(UInt16)
}

extension WireError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .truncated: "the bytes end inside a value"
        case .malformed: "a value is out of its bounds"
        case .tooLarge: "a count or length exceeds its limit"
        case .trailingBytes: "bytes follow the last value"
        case .unknownKind(let kind): "kind \(kind) is unknown; the sender may be a newer csnap, upgrade this one"
        case .foreign: "this is no packet of csnap"
        case .version(let version): "wire version \(version) is not spoken here; run one csnap version on all nodes"
        case .mandatoryFlag(let flags): "mandatory flags \(flags) are unknown; upgrade csnap on this node"
        }
    }
}
