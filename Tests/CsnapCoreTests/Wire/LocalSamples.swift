import CsnapCore

extension Samples {
    mutating func startServer() -> StartServer {
        StartServer(
            tenure: tenure(), cluster: bits(), process: process(), machineID: bits(), kernelBootID: bits(),
            startBits: bits(), lastActiveEpoch: epoch(),
            volumeEpochs: list(upTo: 4) { VolumeEpoch(volume: $0.volume(), epoch: $0.epoch()) }, soft: instant(),
            hard: instant(),
            admitted: list(upTo: 20) { $0.process() })
    }

    mutating func agentToServer() -> [AgentToServer] {
        [
            .start(startServer()), .lease(soft: instant(), hard: instant()), .admit(process()),
            .strike(process(), cause()), .activate(tenure()), .stop, .keys,
        ]
    }

    mutating func serverToAgent() -> [ServerToAgent] {
        let failures: [ServerFailure] = [
            .storeUnreachable, .storeForeign, .storeStale, .storeTenure, .storeIO, .storeFormat, .listen, .hardDeadline,
            .storeVersion, .storeTruncated, .storeDamaged, .storeInUse, .originTruncated,
            .storeUnsettled, .originIO,
        ]
        return [
            .inert, .started(tenure(), port: port()), .started(tenure(), port: port(), volumes: volumes()),
            .sessions(process(), count: word32()), .struck(process()),
            .failed(pick(failures), volume: pick(["", "größe"]), epochSeen: epoch()),
            .store(StoreNotice(volume: "größe", kind: .space(percent: 95, isHolding: true))),
            .store(StoreNotice(volume: "data", kind: .dropped(snapshot: "monday"))),
        ]
    }

    mutating func agentToClient() -> [AgentToClient] {
        [
            .identity(process()), .suspend(tenure()), .server(tenure(), address()), .resume(tenure()),
            .lease(tenure(), until: instant()), .part(tenure()), .otherDisks,
        ]
    }

    mutating func clientToAgent() -> [ClientToAgent] {
        [
            .hello(
                client: bits(), volume: pick(["", "data", "größe", String(repeating: "v", count: 255)]),
                processID: word32(), disks: UInt64(word32())),
            .suspended(tenure(), writesInFlight: word32()), .connected(tenure()), .lostServer(tenure()),
            .notServed(tenure()), .bye,
            .disk(hanging: word32(), since: instant()),
        ]
    }
}
