import CsnapRuntime

/// Formats the snapshot store of a volume.
enum VolumeMaker {
    static func format(origin: String, store: String) throws {
    }
}

/// A new cluster key as the text of its file.
package enum KeyText {
    package static func generate() -> String { ClusterKey.generate().line + "\n" }
}
