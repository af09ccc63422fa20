/// Why a sandbox could not do what was asked; the text names the thing and the remedy. Everything it started is
/// ended when one is thrown out of it.
package enum SandboxError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(String)
    case missingBinary(String)
    case noAddress
    case timeout(String)
    case notBlock(String)
    case nbd(String)
    /// This export.
    case notOffered(String)
    case cancelled
    case scenario(String)

    package var description: String {
        switch self {
        case .system(let what): what
        case .missingBinary(let path): "\(path) is missing: build all products (`swift build`), then try again"
        case .noAddress: "no free pair of loopback networks 127.77 to 127.116: are many sandboxes running?"
        case .timeout(let what): "waited too long: \(what)"
        case .notBlock(let what): what
        case .nbd(let what): "NBD: \(what)"
        case .notOffered(let export):
            "the volume's client does not offer \(export): it has no session now (`csnapctl why`), the snapshot is "
                + "gone, or it is older than csnapctl and must be restarted"
        case .cancelled: "cancelled"
        case .scenario(let what): what
        }
    }
}
