import CsnapRuntime

/// A new cluster key as the text of its file.
package enum KeyText {
    package static func generate() -> String { ClusterKey.generate().line + "\n" }
}
