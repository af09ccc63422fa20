import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// Whoever overwrites a volume sees the program that uses it, by whatever path.
@Suite struct SocketUseTests {
    /// A directory with a space in its name, a link to it, and a socket in it that was bound beside its name.
    private final class Place {
        let directory: String
        private var descriptors: [Int32] = []

        var real: String { directory + "/a b" }

        init() throws {
            var template = Array("/var/tmp/csnap-use-XXXXXX".utf8CString)
            directory = String(cString: try #require(mkdtemp(&template)))
            try #require(mkdir(real, 0o755) == 0 && symlink("a b", directory + "/link") == 0)
            let listener = try unixSocket(real + "/data.nbd.new") { bind($0, $1, $2) }
            try #require(listen(listener, 1) == 0 && rename(real + "/data.nbd.new", real + "/data.nbd") == 0)
        }

        deinit {
            for descriptor in descriptors { close(descriptor) }
            try? FileManager.default.removeItem(atPath: directory)
        }

        func connectOne() throws {
            _ = try unixSocket(real + "/data.nbd") { connect($0, $1, $2) }
        }

        private func unixSocket(
            _ path: String, _ act: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
        ) throws -> Int32 {
            let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            descriptors.append(descriptor)
            var address = try #require(sockaddr_un(path: path))
            let result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    act(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(result == 0)
            return descriptor
        }
    }

    @Test func aProgramIsSeenByWhateverPath() throws {
        let place = try Place()
        // Up to the root, from wherever the tests run.
        let up = FileManager.default.currentDirectoryPath.split(separator: "/").map { _ in "../" }.joined()
        let paths = [place.real, place.directory + "/link", up + place.real.dropFirst(), place.directory + "/./link/"]
        for path in paths { #expect(try SocketUse.connected(to: path + "/data.nbd") == nil) }
        try place.connectOne()
        for path in paths {
            #expect(try SocketUse.connected(to: path + "/data.nbd") == place.real + "/data.nbd.new", "\(path)")
        }
        #expect(try SocketUse.connected(to: place.real + "/other.nbd") == nil)
        #expect(try SocketUse.connected(to: place.directory + "/data.nbd") == nil)
    }

    @Test func whatCannotBeReadIsNotUnused() throws {
        let place = try Place()
        #expect(throws: SandboxError.self) {
            try SocketUse.connected(to: place.real + "/data.nbd", list: place.directory + "/nothing")
        }
        #expect(throws: SandboxError.self) { try SocketUse.connected(to: place.directory + "/nothing/data.nbd") }
    }
}
