extension CsnapConfiguration {
    /// What SIGHUP takes from a new configuration while the agent runs.
    package static let reloadable = ["log-level", "peers"]

    /// The keys in which the two differ, in the order of the manual.
    package func differences(from other: CsnapConfiguration) -> [String] {
        let isEqual: [(key: String, equal: Bool)] = [
            ("cluster", cluster == other.cluster), ("node", node == other.node), ("listen", listen == other.listen),
            ("advertise", advertise == other.advertise), ("service-port", servicePort == other.servicePort),
            ("peers", peers == other.peers), ("profile", profile == other.profile),
            ("timers", profile != other.profile || timing == other.timing), ("key-file", keyFile == other.keyFile),
            ("insecure", insecure == other.insecure), ("serve", serve == other.serve),
            ("max-voters", maximumVoters == other.maximumVoters),
            ("state-directory", stateDirectory == other.stateDirectory),
            ("runtime-directory", runtimeDirectory == other.runtimeDirectory),
            ("log-level", logLevel == other.logLevel),
            ("metrics-listen", metricsListen == other.metricsListen), ("volumes", volumes == other.volumes),
        ]
        return isEqual.filter { !$0.equal }.map(\.key)
    }
}
