import CFuzzer
import Foundation

/// Tries what `CSNAP_FUZZ_TARGET` names with each input that libFuzzer makes: nothing may trap, hang or grow, and what
/// was understood must be understood again.
package enum FuzzDriver {
    package typealias Target = ([UInt8]) -> Void

    /// Set once, before the first input, by the only thread.
    nonisolated(unsafe) fileprivate static var target: Target = { _ in }

    package static func run(_ targets: [String: Target]) -> Never {
        let name = ProcessInfo.processInfo.environment["CSNAP_FUZZ_TARGET"] ?? ""
        guard let chosen = targets[name] else {
            print("CSNAP_FUZZ_TARGET is one of \(targets.keys.sorted())")
            exit(2)
        }
        target = chosen
        var count = CommandLine.argc
        var words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        exit(LLVMFuzzerRunDriver(&count, &words) { tryInput($0, $1) })
    }
}

/// libFuzzer has a `main` too, which is not used but wants this name.
@_cdecl("LLVMFuzzerTestOneInput")
func tryInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    FuzzDriver.target(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
}
