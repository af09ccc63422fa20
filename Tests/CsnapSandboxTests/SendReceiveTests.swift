import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// `csnapctl snapshot send | csnapctl snapshot receive` from one volume into another: equal bytes, or a clear refusal.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(10)))
struct SendReceiveTests {
    /// A shell's answer: its exit code, and all that it said.
    private func shell(_ line: String) throws -> Program.Run {
        try Program.run("/bin/bash", ["-o", "pipefail", "-c", line])
    }

    private func command(_ words: String, _ volume: LoneVolume) -> String {
        "\(Tool.directory)/csnapctl snapshot \(words) --socket \(volume.socket)"
    }

    private func image(_ volume: LoneVolume, _ export: String) throws -> Data {
        let device = try volume.connect(export)
        var image = Data()
        for offset in stride(from: 0, to: LoneVolume.size, by: 1 << 20) {
            image += try device.read(offset: UInt64(offset), count: 1 << 20)
        }
        device.disconnect()
        return image
    }

    private func received(_ volume: LoneVolume, _ name: String) throws -> Data {
        try waitUntil("snap/\(name) is offered", seconds: 60) { (try? volume.connect("snap/\(name)")) != nil }
        return try image(volume, "snap/\(name)")
    }

    /// Two snapshots and their images: `a`, and `b` with a part overwritten and a part zeroed.
    private func source() throws -> (volume: LoneVolume, images: [String: Data]) {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<3 << 20, (9 << 20) + 512..<(10 << 20), LoneVolume.size - 512..<LoneVolume.size], &model)
        try volume.snapshot("a")
        var images = ["a": model]
        try volume.write([(2 << 20) + 4096..<(2 << 20) + 8192, (20 << 20)..<(21 << 20)], &model)
        let device = try volume.connect()
        try device.writeZeroes(offset: 1 << 20, count: 1 << 20)
        model.resetBytes(in: 1 << 20..<2 << 20)
        device.disconnect()
        try volume.snapshot("b")
        images["b"] = model
        var later = model
        try volume.write([0..<1 << 20], &later)
        return (volume, images)
    }

    @Test func aFullAndAnIncrementalStreamGiveEqualBytes() throws {
        let (from, images) = try source()
        let to = try LoneVolume()
        // Something else was there.
        var old = Data(count: LoneVolume.size)
        try to.write([5 << 20..<11 << 20], &old)
        let full = try shell(command("send a", from) + " | " + command("receive", to))
        #expect(full.code == 0, "\(full.output)")
        #expect(try received(to, "a") == images["a"])
        // While both servers die.
        let file = to.directory + "/stream"
        try from.killServer()
        let sent = try shell(command("send b --from a --json", from) + " >\(file)")
        #expect(sent.code == 0, "\(sent.output)")
        let last = String(sent.output.split(separator: "\n").last ?? "")
        let report = try JSON.decode(JSONValue.self, from: Array(last.utf8))
        #expect(report["base"] == .string("a") && (report["dataBytes"]?.integer ?? 0) < 4 << 20, "\(sent.output)")
        #expect((report["zeroBytes"]?.integer ?? 0) >= 1 << 20)
        let half = (try Data(contentsOf: URL(fileURLWithPath: file)).count) / 2
        let server = try #require(try to.status().serverPid)
        let fed = "{ head -c \(half) \(file); kill -9 \(server); tail -c +\(half + 1) \(file); }"
        let incremental = try shell(fed + " | " + command("receive c", to))
        #expect(incremental.code == 0, "\(incremental.output)")
        #expect(try received(to, "c") == images["b"])
        #expect(try received(to, "a") == images["a"], "the base is untouched")
        let kept = try to.caller.snapshots(LoneVolume.name)
        #expect(kept.map(\.uuid) == (try from.caller.snapshots(LoneVolume.name)).map(\.uuid))
        #expect(try image(to, "origin") == images["b"])
        let again = try shell(command("receive d", to) + " <\(file)")
        #expect(again.code == 4 && again.output.contains("already: 'c'"), "\(again.output)")
    }

    @Test func aBrokenStreamLeavesNoSnapshotAndIsResumed() throws {
        let (from, images) = try source()
        let to = try LoneVolume()
        let file = to.directory + "/stream"
        let sent = try shell(command("send a", from) + " >\(file)")
        #expect(sent.code == 0, "\(sent.output)")
        var stream = try Data(contentsOf: URL(fileURLWithPath: file))
        let length = stream.count
        let cut = try shell("head -c \(length * 2 / 3) \(file) | " + command("receive", to))
        #expect(cut.code == 1 && cut.output.contains("before its end. No snapshot was made"), "\(cut.output)")
        let offset = try #require(cut.output.captures("--resume-from ([0-9]+)").first)
        try waitUntil("other nodes' clients wait", seconds: 60) {
            try to.caller.why().map(\.kind).contains("receiving")
        }
        #expect(try to.caller.snapshots(LoneVolume.name).isEmpty)
        stream[length / 2] ^= 1
        try stream.write(to: URL(fileURLWithPath: file))
        let broken = try shell(command("receive", to) + " <\(file)")
        #expect(broken.code == 1 && broken.output.contains("a checksum is wrong"), "\(broken.output)")
        let foreign = try shell("head -c 4096 /dev/urandom | " + command("receive", to))
        #expect(foreign.code == 1 && foreign.output.contains("this is no stream"), "\(foreign.output)")
        #expect(try to.caller.snapshots(LoneVolume.name).isEmpty)
        let resumed = try shell(
            command("send a --resume-from \(offset)", from) + " | " + command("receive --json", to))
        #expect(resumed.code == 0, "\(resumed.output)")
        let line = String(resumed.output.split(separator: "\n").first { $0.hasPrefix("{") } ?? "")
        let report = try JSON.decode(JSONValue.self, from: Array(line.utf8))
        #expect((report["sameBytes"]?.integer ?? 0) > 0, "\(resumed.output)")
        #expect(try received(to, "a") == images["a"])
        #expect(try !to.caller.why().map(\.kind).contains("receiving"))
    }

    @Test func whatIsNotThereAnyMoreIsNotResumed() throws {
        let (from, _) = try source()
        let to = try LoneVolume()
        let half = try shell(command("send a", from) + " | head -c 2000000 | " + command("receive", to))
        #expect(half.code != 0)
        var ignored = Data(count: LoneVolume.size)
        try to.write([65536..<66048], &ignored)
        let resumed = try shell(command("send a --resume-from 1048576", from) + " | " + command("receive", to))
        #expect(resumed.code == 1 && resumed.output.contains("is not there any more"), "\(resumed.output)")
        #expect(try to.caller.snapshots(LoneVolume.name).isEmpty)
        let other = try shell(command("send b", from) + " | " + command("receive", to))
        #expect(other.code == 4 && other.output.contains("is being reverted or received"), "\(other.output)")
        let abandoned = try shell(command("receive --abandon --json", to))
        #expect(abandoned.code == 0 && abandoned.output.hasPrefix("{\"abandoned\":\""), "\(abandoned.output)")
        #expect(try to.caller.volume(LoneVolume.name).revert == nil)
        #expect(try shell(command("receive --abandon", to)).code == 4)
    }

    /// A header alone: it is refused before anything is read or written.
    @Test func othersMustBeGone() throws {
        let tool = try Tool(["sandbox", "--nodes", "2", "--json"])
        try waitUntil("the group is ready", seconds: 120) { tool.output.hasSuffix("\n") }
        let ready = try JSON.decode(ReadyLine.self, from: Array(tool.lastLine.utf8))
        let header = StreamHeader(
            cluster: .zero, volume: "data", snapshot: Bits128(high: 1, low: 2), name: "monday", created: 0,
            base: .zero, size: SandboxGroup.originSize, chunkSize: 65536, start: 0)
        var bytes: [UInt8] = []
        _ = try StreamWriter(header) { bytes += $0 }
        let file = "/var/tmp/csnap-header-\(getpid())"
        defer { unlink(file) }
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        let socket = try #require(ready.nodes.first).controlSocket
        let refused = try shell("\(Tool.directory)/csnapctl snapshot receive --socket \(socket) <\(file)")
        #expect(refused.code == 4 && refused.output.contains("clients of node 2 are connected"), "\(refused.output)")
        kill(tool.pid, SIGINT)
        #expect(try tool.exitCode(seconds: 60) == 0)
    }

    /// What has left is right, nothing that took its place follows, and there is no end, so no receiver believes it.
    @Test func nothingWrongIsSentOfASnapshotThatIsDeleted() throws {
        let (from, images) = try source()
        let image = try #require(images["b"])
        let sender = Process()
        sender.executableURL = URL(fileURLWithPath: Tool.directory + "/csnapctl")
        sender.arguments = ["snapshot", "send", "b", "--from", "a", "--socket", from.socket]
        let (stream, complaints) = (Pipe(), Pipe())
        sender.standardOutput = stream
        sender.standardError = complaints
        try sender.run()
        // The pipe is full long before the image ends; then the snapshot goes, and what it showed is overwritten.
        var sent = try stream.fileHandleForReading.read(upToCount: 1000) ?? Data()
        let open = try shell(command("delete b", from))
        #expect(open.code == 4 && open.output.contains("b: node 1 has it open"), "\(open.output)")
        try from.caller.command("DeleteSnapshot", ["volume": .string(LoneVolume.name), "name": .string("a")])
        var later = Data(count: LoneVolume.size)
        try from.write([0..<4 << 20, 20 << 20..<22 << 20], &later)
        try from.snapshot("c")
        try from.write([0..<4 << 20, 20 << 20..<22 << 20], &later)
        sent += stream.fileHandleForReading.readDataToEndOfFile()
        let said = String(decoding: complaints.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        sender.waitUntilExit()
        #expect(sender.terminationStatus == 1 && said.contains("'a' was deleted while it was sent"), "\(said)")

        var rest = Array(sent)[...]
        var reader = try StreamReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        var compared = 0
        do {
            while true {
                let frame = try reader.next()
                #expect(frame != .end)
                if frame == .end { break }
                guard case .data(let offset, let bytes) = frame else { continue }
                #expect(image[Int(offset)..<Int(offset) + bytes.count] == Data(bytes), "at byte \(offset)")
                compared += bytes.count
            }
        } catch StreamError.truncated {
            #expect(compared > 0)
        }
    }

    /// "4: nothing has changed" is not said of a volume that was overwritten.
    @Test func whatIsRefusedAfterItWasWrittenHasFailed() throws {
        let (from, _) = try source()
        let to = try LoneVolume()
        let file = to.directory + "/stream"
        #expect(try shell(command("send a", from) + " | " + command("receive", to)).code == 0)
        #expect(try shell(command("send b --from a", from) + " >\(file)").code == 0)
        // More than a pipe holds: it has begun when the name is taken.
        let fed = "{ head -c 1000000 \(file); \(command("rename a c", to)); tail -c +1000001 \(file); }"
        let late = try shell(fed + " | " + command("receive c", to))
        #expect(late.code == 1 && late.output.contains("No snapshot was made"), "\(late.output)")
        #expect(late.output.contains("'c' already") && late.output.contains("--abandon"), "\(late.output)")
        #expect(try to.caller.snapshots(LoneVolume.name).map(\.name) == ["c"])
    }

    @Test func aSnapshotThatWasMadeIsNotDenied() throws {
        let (from, _) = try source()
        let to = try LoneVolume()
        let relay = try CallRelay(to.directory + "/run/relay.sock", to: to.socket)
        let receive = "\(Tool.directory)/csnapctl snapshot receive --socket \(relay.path)"
        // The agent does it, and is gone before it says so.
        relay.cut(afterAnswering: "FinishReceive")
        let made = try shell(command("send a", from) + " | " + receive)
        #expect(made.code == 0, "\(made.output)")
        relay.cut(before: "EndRevert")
        let unended = try shell(command("send b --from a", from) + " | " + receive)
        withExtendedLifetime(relay) {}
        #expect(unended.code == 1 && unended.output.contains("The snapshot 'b' was made"), "\(unended.output)")
        #expect(try to.caller.snapshots(LoneVolume.name).map(\.name) == ["a", "b"])
        #expect(try to.caller.volume(LoneVolume.name).revert != nil)
        let abandoned = try shell(command("receive --abandon", to))
        #expect(abandoned.code == 0, "\(abandoned.output)")
        #expect(try to.caller.volume(LoneVolume.name).revert == nil)
    }

    /// A node whose device was not enlarged with the others'.
    @Test func anImageThatIsSmallerThanTheVolumeIsRefused() throws {
        let small = try LoneVolume(size: LoneVolume.size / 2)
        try small.snapshot("a")
        let to = try LoneVolume()
        let device = to.directory + "/short"
        #expect(try Program.run("/bin/cp", ["--sparse=always", to.origin, device]).code == 0)
        #expect(truncate(device, LoneVolume.size / 2) == 0)
        try to.restartClient(disk: device)
        let received = try shell(command("send a", small) + " | " + command("receive", to))
        #expect(received.code == 4 && received.output.contains("they must be of one size"), "\(received.output)")
        #expect(received.output.contains("the volume \(LoneVolume.size)"), "\(received.output)")
        #expect(try to.caller.volume(LoneVolume.name).revert == nil)
        #expect(try to.caller.snapshots(LoneVolume.name).isEmpty)
    }

    /// A client may not have heard yet that a name means another snapshot now.
    @Test func theBytesAreThoseOfTheNumberThatTheServerSaid() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<4096], &model)
        let number = try volume.snapshot("a").number
        #expect(rename(volume.nbd, volume.nbd + ".away") == 0)
        for words in [["send", "a"], ["revert", LoneVolume.name, "a"]] {
            let client = try AskedClient(volume.nbd)
            let command = Process()
            command.executableURL = URL(fileURLWithPath: Tool.directory + "/csnapctl")
            command.arguments = ["snapshot"] + words + ["--socket", volume.socket]
            command.standardOutput = Pipe()
            command.standardError = Pipe()
            try command.run()
            #expect(client.asked() == "snap#\(number)", "\(words)")
            command.interrupt()
            command.waitUntilExit()
        }
    }

    @Test func anIncrementNeedsItsBaseAndNothingElse() throws {
        let (from, images) = try source()
        let to = try LoneVolume()
        let increment = command("send b --from a", from) + " | " + command("receive", to)
        let without = try shell(increment)
        #expect(without.code == 4 && without.output.contains("does not have"), "\(without.output)")
        #expect(try shell(command("send a", from) + " | " + command("receive", to)).code == 0)
        var model = images["a"] ?? Data()
        try to.write([30 << 20..<(30 << 20) + 512], &model)
        let changed = try shell(increment)
        #expect(changed.code == 4 && changed.output.contains("changed since 'a'"), "\(changed.output)")
        #expect(try to.caller.snapshots(LoneVolume.name).map(\.name) == ["a"])
        var reverted = Program.Run(code: 4, output: "")
        try waitUntil("the connections have ended", seconds: 30) {
            reverted = try shell(command("revert data a", to))
            return reverted.code != 4
        }
        #expect(reverted.code == 0, "\(reverted.output)")
        let after = try shell(increment)
        #expect(after.code == 0, "what was written back is no change: \(after.output)")
        #expect(try received(to, "b") == images["b"])
        let newer = try shell(command("send a --from b", from) + " >/dev/null")
        #expect(newer.code == 4, "\(newer.output)")
        let small = try LoneVolume(size: 16 << 20)
        let tooLong = try shell(command("send a", from) + " | " + command("receive", small))
        #expect(tooLong.code == 4 && tooLong.output.contains("of one size"), "\(tooLong.output)")
    }
}

/// In the place of a volume's client: it knows no export, and says which one it was asked for.
private final class AskedClient {
    private let path: String
    private let descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        unlink(path)
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = try #require(sockaddr_un(path: path))
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(descriptor, 4) == 0)
    }

    /// Of the first that asks; nil: nobody does. Nobody else is answered.
    func asked() -> String? {
        defer {
            close(descriptor)
            unlink(path)
        }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 60_000) == 1 else { return nil }
        let peer = FileHandle(fileDescriptor: accept(descriptor, nil, nil), closeOnDealloc: true)
        try? peer.write(contentsOf: Data("NBDMAGICIHAVEOPT".utf8) + [0, 3])
        // The flags, the option's head, the name behind its length, no more questions.
        guard let head = try? peer.read(upToCount: 24), head.count == 24,
            let name = try? peer.read(upToCount: Int(head[23]) + 2)
        else { return nil }
        try? peer.write(
            contentsOf: Data([0, 3, 0xE8, 0x89, 4, 0x55, 0x65, 0xA9, 0, 0, 0, 7, 0x80, 0, 0, 6, 0, 0, 0, 0]))
        return String(decoding: name.dropLast(2), as: UTF8.self)
    }
}

extension String {
    fileprivate func captures(_ pattern: String) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern) else { return [] }
        return expression.matches(in: self, range: NSRange(startIndex..., in: self)).compactMap { match in
            Range(match.range(at: 1), in: self).map { String(self[$0]) }
        }
    }
}
