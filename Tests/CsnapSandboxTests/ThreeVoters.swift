import CsnapSandbox

/// Tells a story of three nodes, all of them voters, in `fast`; afterwards nothing of them runs.
func withThreeVoters(_ story: (SandboxGroup, Stage) throws -> Void) throws {
    let group = try SandboxGroup(SandboxOptions(nodes: 3, profile: "fast", binaries: Tool.binaries))
    defer { group.end() }
    let stage = Stage(group: group) { _ in }
    defer { stage.stopFollowers() }
    try stage.found(1)
    try stage.join([2, 3])
    try stage.waitForVoters()
    try story(group, stage)
}
