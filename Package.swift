// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// `make mutants`, the canary and `make failpoints` set this; no other build does (CONTRIBUTING.md, "Mutants").
let mutants: [SwiftSetting] =
    Context.environment["CSNAP_MUTANTS"] == "1" ? [.define("CSNAP_MUTANTS")] : []

let settings = strict + mutants

/// `make fuzz` sets this: the programs need compiler-rt's fuzzer, and modules built for it (docs/testing.md §9).
let fuzzing: [Target] =
    Context.environment["CSNAP_FUZZ"] != "1"
    ? []
    : [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .target(name: "FuzzDriver", dependencies: ["CFuzzer"], path: "Tests/Fuzz/Driver", swiftSettings: settings),
        .executableTarget(
            name: "csnap-fuzz-core", dependencies: ["FuzzCore", "FuzzDriver"], path: "Tests/Fuzz/CoreMain",
            swiftSettings: settings),
        .executableTarget(
            name: "csnap-fuzz-runtime", dependencies: ["FuzzRuntime", "FuzzDriver"], path: "Tests/Fuzz/RuntimeMain",
            swiftSettings: settings),
    ]

/// `make install` puts the Swift run-time libraries there: only the machine that builds needs Swift.
let installed: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/../lib/csnap"])]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
    name: "csnap",
    products: [
        .executable(name: "csnap-agent", targets: ["csnap-agent"]),
        .executable(name: "csnap-server", targets: ["csnap-server"]),
        .executable(name: "csnap-client", targets: ["csnap-client"]),
        .executable(name: "csnapctl", targets: ["csnapctl"]),
        .executable(name: "csnap-sim", targets: ["csnap-sim"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Pure targets: nothing but the standard library (docs/architecture.md).
        .target(name: "CsnapCore", swiftSettings: settings),
        .target(name: "CsnapSession", dependencies: ["CsnapCore"], swiftSettings: settings),
        .target(name: "CsnapStore", dependencies: ["CsnapCore"], swiftSettings: settings),
        .target(name: "NBDProtocol", swiftSettings: settings),

        // The operating system.
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .target(name: "Systemd", dependencies: ["CSystemd"], swiftSettings: settings),
        .target(name: "CShims"),

        // The shells.
        .target(
            name: "CsnapRuntime",
            dependencies: [
                "CsnapCore", "CsnapSession", "CsnapStore", "NBDProtocol", "Systemd", "CShims",
                logging, crypto, deque, nioCore, nioHTTP1, nioPosix, yams,
            ],
            swiftSettings: settings),
        .target(
            name: "CsnapSandbox",
            dependencies: ["CsnapRuntime", "CsnapCore", "CShims", argumentParser, nioCore, nioPosix],
            swiftSettings: settings),
        .target(name: "CsnapSimulation", dependencies: ["CsnapCore"], swiftSettings: settings),
        .target(name: "CsnapStoreSimulation", dependencies: ["CsnapStore", "CsnapCore"], swiftSettings: settings),
        .target(
            name: "CsnapDataSimulation",
            dependencies: [
                "CsnapRuntime", "CsnapSimulation", "CsnapStoreSimulation", "CsnapSession", "CsnapStore", "CsnapCore",
            ],
            swiftSettings: settings),

        .executableTarget(
            name: "csnap-agent", dependencies: ["CsnapRuntime", argumentParser], swiftSettings: settings,
            linkerSettings: installed),
        .executableTarget(
            name: "csnap-server", dependencies: ["CsnapRuntime", argumentParser], swiftSettings: settings,
            linkerSettings: installed),
        .executableTarget(
            name: "csnap-client", dependencies: ["CsnapRuntime", argumentParser], swiftSettings: settings,
            linkerSettings: installed),
        .executableTarget(
            name: "csnapctl", dependencies: ["CsnapRuntime", "CsnapSandbox", argumentParser], swiftSettings: settings,
            linkerSettings: installed),
        .executableTarget(
            name: "csnap-sim",
            dependencies: [
                "CsnapSimulation", "CsnapStoreSimulation", "CsnapDataSimulation", "CsnapStore", "CsnapCore", "CShims",
                argumentParser,
            ],
            swiftSettings: settings),

        .testTarget(name: "TidyTests", swiftSettings: settings),
        .testTarget(name: "CsnapCoreTests", dependencies: ["CsnapCore"], swiftSettings: settings),
        .testTarget(name: "CsnapSessionTests", dependencies: ["CsnapSession", "CsnapCore"], swiftSettings: settings),
        .testTarget(
            name: "CsnapStoreTests",
            dependencies: ["CsnapStore", "CsnapStoreSimulation", "CsnapSession", "CsnapCore"],
            swiftSettings: settings),
        .testTarget(name: "NBDProtocolTests", dependencies: ["NBDProtocol"], swiftSettings: settings),
        .testTarget(
            name: "CsnapRuntimeTests",
            dependencies: [
                "CsnapRuntime", "CsnapCore", "CsnapSession", "CsnapStore", "NBDProtocol", "CShims", "Systemd", logging,
                nioCore, nioPosix,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CsnapSimulationTests", dependencies: ["CsnapSimulation", "CsnapCore"], swiftSettings: settings),
        .testTarget(
            name: "CsnapDataSimulationTests", dependencies: ["CsnapDataSimulation", "CsnapCore"],
            swiftSettings: settings),
        .testTarget(
            name: "CsnapSandboxTests", dependencies: ["CsnapSandbox", "CsnapRuntime", "CsnapSession", "CsnapCore"],
            swiftSettings: settings),
        .testTarget(
            name: "ContainerTests", dependencies: ["CsnapSandbox", "CsnapRuntime", "CsnapCore"],
            swiftSettings: settings),

        // What fuzzing tries; the programs that do are above.
        .target(
            name: "FuzzCore",
            dependencies: ["CsnapCore", "CsnapSession", "CsnapStore", "CsnapStoreSimulation", "NBDProtocol"],
            path: "Tests/Fuzz/Core", swiftSettings: settings),
        .target(
            name: "FuzzRuntime", dependencies: ["CsnapRuntime", "CsnapCore"], path: "Tests/Fuzz/Runtime",
            swiftSettings: settings),
        .testTarget(
            name: "FuzzTests", dependencies: ["FuzzCore", "FuzzRuntime", "CsnapStoreSimulation", "CsnapStore"],
            path: "Tests/Fuzz/Replay", swiftSettings: settings),
    ] + fuzzing,
    swiftLanguageModes: [.v6]
)
