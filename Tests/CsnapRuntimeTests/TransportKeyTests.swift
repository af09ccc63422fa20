import CsnapCore
import CsnapRuntime
import Dispatch
import Glibc
import Synchronization
import Testing

@Suite struct TransportKeyTests {
    private func withFile(
        _ text: String, mode: mode_t = 0o600, _ body: (String) throws -> Void
    ) throws {
        var template = Array("/tmp/csnap-key-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            close(descriptor)
            unlink(path)
        }
        let bytes = Array(text.utf8)
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
        #expect(fchmod(descriptor, mode) == 0)
        try body(path)
    }

    private func problem(_ path: String) -> KeyFileError.Problem? {
        do throws(KeyFileError) {
            _ = try KeyRing.load(path)
            return nil
        } catch {
            #expect(error.description.contains(path))
            return error.problem
        }
    }

    @Test func fileComesBack() throws {
        let first = ClusterKey.generate(id: 200)
        let second = ClusterKey.generate(id: 3)
        #expect(first.bytes != second.bytes)
        try withFile("# our keys\n\n\(first.line)\n\(second.line)\n") { path in
            let ring = try KeyRing.load(path)
            #expect(ring == KeyRing(first, other: second))
        }
        try withFile(first.line) { path in
            let ring = try KeyRing.load(path)
            #expect(ring == KeyRing(first))
        }
    }

    @Test func aKeyIsChangedInThreeStepsAndNoneIsLost() throws {
        let old = ClusterKey.generate(id: 255)
        try withFile(old.line) { path in
            #expect(throws: KeyRotationError.self) { try KeyRotation.switch.apply(to: path) }
            #expect(throws: KeyRotationError.self) { try KeyRotation.finish.apply(to: path) }
            try KeyRotation.begin.apply(to: path)
            let begun = try KeyRing.load(path)
            #expect(begun.sealing == old && begun.other?.id == 0)
            #expect(throws: KeyRotationError.self) { try KeyRotation.begin.apply(to: path) }
            try KeyRotation.switch.apply(to: path)
            let switched = try KeyRing.load(path)
            #expect(switched.sealing == begun.other && switched.other == old)
            try KeyRotation.finish.apply(to: path)
            #expect(try KeyRing.load(path) == KeyRing(switched.sealing))
            #expect(KeyRing(old).mayBecome(begun) && begun.mayBecome(switched))
            #expect(!KeyRing(old).mayBecome(KeyRing(.generate(id: 255))), "one id, two keys")
            #expect(!KeyRing(old).mayBecome(.insecure))
        }
    }

    @Test func aStepIsNotDoneTwiceAndNoneIsLeftOut() throws {
        try withFile(ClusterKey.generate(id: 7).line) { path in
            func refusal(_ step: KeyRotation) throws -> String? {
                let before = try KeyRing.load(path)
                let error = #expect(throws: KeyRotationError.self) { try step.apply(to: path) }
                #expect(try KeyRing.load(path) == before)
                return error?.description
            }
            try KeyRotation.begin.apply(to: path)
            #expect(try refusal(.finish)?.contains("key 7, the older one, still seals: `switch` first") == true)
            try KeyRotation.switch.apply(to: path)
            #expect(try refusal(.switch)?.contains("go on with `finish`") == true)
            try KeyRotation.finish.apply(to: path)
            #expect(try KeyRing.load(path).sealing.id == 8)
        }
    }

    @Test func aDraftThatOthersMayReadBecomesNoKey() throws {
        try withFile(ClusterKey.generate().line) { path in
            let draft = path + ".new"
            let descriptor = open(draft, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            defer { close(descriptor) }
            #expect(fchmod(descriptor, 0o644) == 0)
            try KeyRotation.begin.apply(to: path)
            #expect(try KeyRing.load(path).other != nil, "its mode is that of the key")
            #expect(lseek(descriptor, 0, SEEK_END) == 0, "who had the draft open sees nothing")
        }
    }

    @Test func ofTwoRunsAtOnceOneIsRefused() throws {
        for _ in 1...20 {
            try withFile(ClusterKey.generate().line) { path in
                let refused = Atomic(0)
                DispatchQueue.concurrentPerform(iterations: 2) { _ in
                    do {
                        try KeyRotation.begin.apply(to: path)
                    } catch {
                        #expect(error is KeyRotationError, "\(error)")
                        refused.add(1, ordering: .relaxed)
                    }
                }
                let ring = try KeyRing.load(path)
                #expect(refused.load(ordering: .relaxed) == 1 && ring.other != nil)
            }
        }
    }

    /// Who opens connections sees a change of key without a restart, and outlives a file that is half written.
    @Test func aKeySourceFollowsItsFile() throws {
        let old = ClusterKey.generate(id: 1)
        try withFile(old.line) { path in
            let fixture = try ConfigurationFixture(
                "cluster: a\nnode: 1\nlisten: 127.0.0.1:7411\nkey-file: \(path)\n")
            let source = try KeySource(fixture.load())
            #expect(source.current == KeyRing(old))
            try KeyRotation.begin.apply(to: path)
            #expect(source.current == KeyRing(old), "nothing is read unless a seal failed or a person asks")
            let start = BootClock.now()
            source.refresh(at: start)
            let new = source.current
            let switchedTo = try #require(new.other)
            #expect(new.sealing == old && new.other != nil)
            #expect(chmod(path, 0o644) == 0)
            source.refresh(at: start + .seconds(2))
            #expect(source.current == new, "a file that is refused leaves the last keys")
            #expect(chmod(path, 0o600) == 0)
            try KeyRotation.switch.apply(to: path)
            source.refresh(at: start + .milliseconds(2_500))
            #expect(source.current == new, "a stranger cannot make it read all the time")
            source.refresh(at: start + .seconds(4))
            #expect(source.current.other == old)
            try KeyRotation.finish.apply(to: path)
            source.reload()
            #expect(source.current == KeyRing(switchedTo), "a person does not wait")
        }
    }

    @Test(arguments: [mode_t(0o640), 0o604, 0o660, 0o601]) func openFilesAreRefused(mode: mode_t) throws {
        try withFile(ClusterKey.generate().line, mode: mode) { path in #expect(problem(path) == .mode(mode)) }
    }

    @Test(.enabled(if: geteuid() == 0)) func filesOfOthersAreRefused() throws {
        try withFile(ClusterKey.generate().line) { path in
            #expect(chown(path, 12345, 0) == 0)
            #expect(problem(path) == .owner(12345))
        }
    }

    @Test func impossibleFilesAreRefused() throws {
        let key = ClusterKey.generate(id: 1)
        let zero = KeyRing.insecure.sealing.line
        let cases: [(String, KeyFileError.Problem)] = [
            ("", .count(0)), ("1:AAAA", .format(key: 1)), ("nonsense", .format(key: 1)),
            ("256:" + key.line.dropFirst(2), .format(key: 1)), (zero, .format(key: 1)),
            (key.line + "\n" + ClusterKey.generate(id: 1).line, .sameID(1)),
            ([1, 2, 3].map { ClusterKey.generate(id: $0).line }.joined(separator: "\n"), .count(3)),
            (String(repeating: "#", count: 5000), .tooLong),
        ]
        for (text, expected) in cases { try withFile(text) { path in #expect(problem(path) == expected) } }
        #expect(problem("/nonexistent/key") == .system(ENOENT))
        #expect(problem("/tmp") == .notRegular)
    }

    @Test func insecureSaysSo() {
        #expect(KeyRing.insecure.isInsecure)
        #expect(!KeyRing(.generate()).isInsecure)
        #expect(KeyRing.insecure.sealing.tag(cluster: "a") != KeyRing.insecure.sealing.tag(cluster: "b"))
    }
}
