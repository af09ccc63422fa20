import CsnapRuntime
import Glibc
import Testing

/// State, sockets, program or logs on a volume that csnap serves: it would wait for itself.
@Suite struct VolumePlacementTests {
    private func configuration(_ origin: String, _ directory: String) throws -> CsnapConfiguration {
        try ConfigurationFixture(
            """
            cluster: a
            node: 1
            listen: 127.0.0.1:7411
            insecure: true
            state-directory: \(directory)/not/made/yet
            runtime-directory: /proc
            volumes:
              data: { origin: \(origin), store: /nowhere }
            """
        ).load()
    }

    private func number(of path: String) -> String {
        var status = stat()
        stat(path, &status)
        return VolumePlacement.number(status.st_dev)
    }

    @Test func anOrdinaryDiskIsFine() throws {
        let directory = try TemporaryDirectory()
        try directory.write("origin", "x")
        let placement = VolumePlacement(try configuration(directory.path + "/origin", directory.path))
        #expect(placement.refusals == [])
    }

    /// A file system on a loop device whose file is the origin, behind a device mapper; as /sys/dev/block shows it.
    @Test func theStateDirectoryOnTheOriginIsRefused() throws {
        let directory = try TemporaryDirectory()
        let blocks = try TemporaryDirectory()
        try directory.write("origin", "x")
        let number = number(of: directory.path)
        for name in [number, number + "/slaves", number + "/slaves/loop9", "7:9", "7:9/loop"] {
            try Files.ensureDirectory(blocks.path + "/" + name)
        }
        try blocks.write(number + "/slaves/loop9/dev", "7:9\n")
        try blocks.write("7:9/loop/backing_file", directory.path + "/origin\n")
        let placement = VolumePlacement(
            try configuration(directory.path + "/origin", directory.path), blockDevices: blocks.path)
        #expect(placement.refusals.count >= 1, "\(placement)")
        #expect(placement.refusals.first?.contains("state-directory") == true)
        #expect(placement.refusals.first?.contains("volumes.data.origin") == true)
        #expect(!placement.refusals.contains { $0.contains("runtime-directory") }, "/proc is on no disk")
    }

    @Test func oneDiskUnderTwoNamesIsRefused() throws {
        let directory = try TemporaryDirectory()
        try directory.write("origin", "x")
        #expect(link(directory.path + "/origin", directory.path + "/store") == 0)
        let text = """
            cluster: a
            node: 1
            listen: 127.0.0.1:7411
            insecure: true
            volumes:
              data: { origin: \(directory.path)/origin, store: \(directory.path)/store }
            """
        let placement = VolumePlacement(try ConfigurationFixture(text).load())
        #expect(
            placement.refusals == [
                "volumes.data.store and volumes.data.origin are on one disk: give each its own device"
            ])
        #expect {
            _ = try VolumeFormatter.create(
                path: directory.path + "/store", origin: directory.path + "/origin", force: true)
        } throws: { error in
            if case VolumeFormatterError.isOrigin = error { true } else { false }
        }
    }

    @Test func aRingOfDevicesEnds() throws {
        let directory = try TemporaryDirectory()
        let blocks = try TemporaryDirectory()
        let number = number(of: directory.path)
        for name in [number, number + "/slaves", number + "/slaves/again"] {
            try Files.ensureDirectory(blocks.path + "/" + name)
        }
        try blocks.write(number + "/slaves/again/dev", number)
        let placement = VolumePlacement(try configuration("/elsewhere", directory.path), blockDevices: blocks.path)
        #expect(placement.refusals == [])
    }
}
