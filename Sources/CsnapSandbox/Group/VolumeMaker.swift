/// Formats the snapshot store of a volume.
enum VolumeMaker {
    static func format(origin: String, store: String) throws {
    }
}

/// The cluster key as text: 64 hexadecimal digits, from the operating system's generator.
package enum KeyText {
    package static func generate() -> String {
        var random = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef")
        return String((0..<64).map { _ in digits[Int(random.next() & 15)] }) + "\n"
    }
}
