import CsnapSandbox
import Testing

/// Three nodes that serve, all of them voters, each with verified writes going on; and what must hold after a fault.
final class GroupUnderLoad {
    private let group: ContainerGroup
    /// Loads that go on, by node; `generations` is how many a node has had.
    private var loads: [Int: NodeLoad] = [:]
    private var generations: [Int: Int] = [:]
    /// Of loads that ended, with their nodes.
    private var ended: [(node: Int, record: LoadRecord)] = []
    private var serviceRecords: [ServiceRecordHandle] = []

    /// As a person would: start the units everywhere, found the group on one node, wait until it has grown.
    init(nodes: Int) throws {
        group = try ContainerGroup(nodes: nodes)
        do {
            for number in 1...nodes { try group.boot(number) }
            for number in 1...nodes {
                try node(number).run("systemctl", "enable", "--quiet", "csnap-agent", "csnap-client@data")
                try node(number).run("systemctl", "start", "csnap-agent", "csnap-client@data")
            }
            #expect(try node(1).property("StatusText").hasPrefix("server on") == false, "nobody founded the group yet")
            try node(1).run("csnapctl", "found")
            let all = (1...nodes).map(UInt32.init)
            try wait("all \(nodes) nodes vote and their clients may go on", seconds: 90) {
                try (1...nodes).allSatisfy { number in
                    guard let status = try node(number).status else { return false }
                    return status.voters == all && status.isActive && status.clientsResumed && status.alive == all
                }
            }
            for number in 1...nodes {
                serviceRecords.append(try node(number).openServiceRecord())
                startLoad(number)
            }
            try wait("the loads have filled their regions", seconds: 90) {
                try throwLoadErrors()
                return loads.values.allSatisfy(\.isFilled)
            }
            try waitForWrites(on: Array(1...nodes), after: boottime())
        } catch {
            end()
            throw error
        }
    }

    func end() {
        for load in loads.values { load.stop() }
        loads = [:]
        group.end()
    }

    func node(_ number: Int) throws -> ContainerNode {
        guard let node = group.nodes[number] else { throw ContainerFailure("node \(number) does not run") }
        return node
    }

    // MARK: Faults

    func cutPower(_ number: Int) throws {
        try group.cutPower(number)
        // Its device broke with the machine; that is no error of csnap.
        endLoad(number)
    }

    func bootAgain(_ number: Int) throws {
        try group.boot(number)
        try wait("the server process of node \(number) is loaded", seconds: 60) {
            guard let record = try? node(number).openServiceRecord() else { return false }
            serviceRecords.append(record)
            return true
        }
    }

    /// One machine more, with a copy of a node's state directory; its units are started like any other's.
    func startClone(_ number: Int, of original: Int, wholeMachine: Bool) throws -> ContainerNode {
        let clone = try group.boot(number, cloneOf: original, wholeMachine: wholeMachine)
        try clone.run("systemctl", "start", "csnap-agent", "csnap-client@data")
        return clone
    }

    func shutDown(_ number: Int) throws { try group.shutDown(number) }

    func startLoad(_ number: Int) {
        guard let node = group.nodes[number] else { return }
        loads[number] = node.startLoad(generation: generations[number, default: 0])
        generations[number, default: 0] += 1
    }

    private func endLoad(_ number: Int) {
        guard let load = loads.removeValue(forKey: number) else { return }
        load.stop()
        ended.append((number, load.snapshot))
    }

    private func throwLoadErrors() throws {
        let errors = loads.values.flatMap(\.snapshot.errors)
        guard errors.isEmpty else { throw ContainerFailure("I/O errors: \(errors.joined(separator: "; "))") }
    }

    // MARK: Conditions

    /// Looks until the condition holds; else says how every node is.
    func wait(_ what: String, seconds: Double, _ condition: () throws -> Bool) throws {
        do {
            try waitUntil(what, seconds: seconds, condition)
        } catch {
            let nodes = group.nodes.values.sorted { $0.number < $1.number }
            throw ContainerFailure("\(error)\n" + nodes.map(\.diagnosis).joined(separator: "\n"))
        }
    }

    /// All these nodes agree on a server of a newer epoch, and their clients go on.
    func waitForServer(on numbers: [Int], after epoch: UInt64) throws -> ContainerNode.Status {
        var found: ContainerNode.Status?
        try wait("a server of an epoch after \(epoch) on nodes \(numbers)", seconds: 60) {
            try throwLoadErrors()
            let all = try numbers.compactMap { try node($0).status }
            guard all.count == numbers.count, let first = all.first,
                all.allSatisfy({ $0.isActive && $0.clientsResumed && $0.epoch == first.epoch && $0.epoch > epoch })
            else { return false }
            found = first
            return true
        }
        guard let found else { throw ContainerFailure("no server") }
        return found
    }

    /// Requests issued after that instant were completed on each of these nodes.
    func waitForWrites(on numbers: [Int], after instant: Int64) throws {
        try wait("writes on nodes \(numbers)", seconds: 90) {
            try throwLoadErrors()
            return numbers.allSatisfy { number in
                guard let record = loads[number]?.snapshot else { return false }
                return record.requests.filter { $0.issued >= instant && $0.completed != nil }.count >= 10
            }
        }
    }

    // MARK: Expectations

    /// `systemctl status` tells the truth on each of these nodes, as soon as systemd has heard it.
    func expectTrueStatusLine(on numbers: [Int], server: UInt32, epoch: UInt64) throws {
        for number in numbers {
            let line = "Status: \"server on node \(server), epoch \(epoch), active; \(numbers.count) of "
            try wait("node \(number) shows \(line)", seconds: 20) {
                try node(number).run("systemctl", "status", "--no-pager", "csnap-agent").contains(line)
            }
        }
    }

    /// The new server's journal tells the fail-over in order, found by the epoch alone.
    func expectStory(of status: ContainerNode.Status) throws {
        let epoch = status.epoch
        guard let server = status.server else { throw ContainerFailure("epoch \(epoch) has no server") }
        let story = try node(Int(server)).story(ofEpoch: epoch)
        var rest = story[...]
        for beginning in [
            "claim of epoch \(epoch)", "epoch \(epoch) granted by", "recovering into epoch \(epoch)",
            "server on node \(server) active, epoch \(epoch)", "clients resumed in epoch \(epoch)",
        ] {
            let place = rest.firstIndex { $0.hasPrefix(beginning) }
            #expect(place != nil, "'\(beginning)' is missing or out of order in \(story)")
            if let place { rest = rest[(place + 1)...] }
        }
    }

    /// Ends the loads, then reads all that was ever acknowledged through every running node; nothing failed meanwhile,
    /// and at no instant two servers served.
    func expectEverythingReadable() throws {
        try wait("each load has written each of its blocks", seconds: 90) {
            try throwLoadErrors()
            return loads.values.allSatisfy(\.isFilled)
        }
        for number in loads.keys.sorted() {
            #expect(loads[number]?.snapshot.errors == [])
            endLoad(number)
        }
        for (number, reader) in group.nodes.sorted(by: { $0.key < $1.key }) {
            for (writer, record) in ended {
                let verified = try reader.verify(record, of: writer)
                #expect(verified.faults == [], "node \(number) reads what node \(writer) wrote")
                #expect(verified.bytes >= 4 << 20, "node \(number) reads what node \(writer) wrote")
            }
        }
        let intervals = try serviceRecords.flatMap { try $0.intervals() }
        #expect(intervals.count >= 2, "the evidence of both servers")
        #expect(ServiceOverlap.atOnce(intervals) == 1)
    }
}

extension ContainerNode {
    func activeStatus() throws -> Status {
        guard let status, status.isActive else { throw ContainerFailure("node \(number): no active server") }
        return status
    }
}
