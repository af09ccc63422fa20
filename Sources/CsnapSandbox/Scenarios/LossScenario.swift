/// Packets are lost at random for some seconds: nothing moves.
struct LossScenario: Scenario {
    let name = "loss"
    let summary = "30 % of the packets are lost for 10 s (--loss, --seconds): nothing moves"

    func play(_ stage: Stage) throws {
        let percent = stage.options.lossPercent > 0 ? stage.options.lossPercent : 30
        try stage.fault("\(Int(percent)) % of the packets are lost") {
            stage.group.faults.setLoss(percent: percent)
        }
        stage.settle(seconds: stage.options.seconds ?? 10)
        try stage.waitForWrites()
        try stage.expectUnmoved()
        stage.also("no packet is lost any more") { stage.group.faults.setLoss(percent: 0) }
    }
}
