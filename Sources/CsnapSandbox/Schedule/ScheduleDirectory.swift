import CsnapRuntime
import Glibc

/// The schedules of this node: a file `VOLUME` each, of lines `hourly: 24`.
package struct ScheduleDirectory {
    package let path: String

    package static let standard = "/etc/csnap/schedule.d"

    package init(path: String) { self.path = path }

    /// Volumes that have a schedule, sorted.
    package func volumes() -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix("."), !name.hasSuffix("~") { names.append(name) }
        }
        return names.sorted()
    }

    /// Nil: the volume has none. A file that cannot be read whole is refused: what it says behind would count as 0.
    package func read(_ volume: String) throws -> RetentionRule? {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try Files.read(file(volume), limit: 64 << 10)
        } catch {
            if error.code == ENOENT { return nil }
            throw CommandFailure.failed("csnapctl: \(error)")
        }
        return try Self.parse(String(decoding: bytes, as: UTF8.self), file(volume))
    }

    /// Whole on disk, or not at all.
    package func write(_ volume: String, _ rule: RetentionRule) throws {
        if mkdir(path, 0o755) != 0, errno != EEXIST { throw CommandFailure.failed("csnapctl: \(path): \(lastError())") }
        let text = "hourly: \(rule.hourly)\ndaily: \(rule.daily)\nweekly: \(rule.weekly)\n"
        do throws(SystemError) {
            // Hidden, for `volumes`.
            try DurableFile.replace(
                file(volume), with: Array(text.utf8), mode: 0o644, draft: path + "/." + volume + ".new")
        } catch {
            throw CommandFailure.failed("csnapctl: \(error)")
        }
        // Whatever the umask.
        chmod(file(volume), 0o644)
    }

    /// False: there was none.
    package func remove(_ volume: String) throws -> Bool {
        guard unlink(file(volume)) == 0 else {
            if errno == ENOENT { return false }
            throw CommandFailure.failed("csnapctl: \(file(volume)): \(lastError())")
        }
        try? DurableFile.syncDirectory(of: file(volume))
        return true
    }

    private func file(_ volume: String) -> String { path + "/" + volume }

    /// `file` is named in what it throws.
    package static func parse(_ text: String, _ file: String) throws -> RetentionRule {
        var counts: [String: Int] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" }
            guard let first = words.first else { continue }
            let key = String(first.dropLast())
            guard words.count == 2, first.hasSuffix(":"), ["hourly", "daily", "weekly"].contains(key),
                counts[key] == nil, let count = Int(words[1]), (0...RetentionRule.most).contains(count)
            else {
                throw CommandFailure.failed(
                    "csnapctl: \(file):\(index + 1): '\(line)': there may be one line each of hourly, daily and "
                        + "weekly, as `hourly: 24`, with 0 to \(RetentionRule.most)")
            }
            counts[key] = count
        }
        let rule = RetentionRule(
            hourly: counts["hourly"] ?? 0, daily: counts["daily"] ?? 0, weekly: counts["weekly"] ?? 0)
        guard rule.isPossible else {
            throw CommandFailure.failed(
                "csnapctl: \(file): it keeps none; `csnapctl snapshot schedule remove` ends a schedule")
        }
        return rule
    }
}
