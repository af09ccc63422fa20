import CsnapRuntime
import Glibc

/// A directory of one test, removed with all it holds when the last reference goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/csnap-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("cannot make", "/tmp/csnap-test-XXXXXX") }
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    func write(_ name: String, _ text: String) throws {
        try write(name, Array(text.utf8))
    }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let target = path + "/" + name
        let descriptor = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError("cannot create", target) }
        defer { close(descriptor) }
        try Files.writeAll(bytes, descriptor: descriptor, path: target)
    }

    private static func remove(_ path: String) {
        for name in (try? Files.names(in: path)) ?? [] { remove(path + "/" + name) }
        if rmdir(path) != 0 { unlink(path) }
    }
}
