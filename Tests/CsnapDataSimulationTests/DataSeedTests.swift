import CsnapCore
import CsnapDataSimulation
import Testing

/// Many seeds are `make data-sim`, in release: here they would hold the threads of all other tests for minutes.
@Suite("The data path in virtual time")
struct DataSeedTests {
    @Test("one seed, one trace; another seed, another")
    func deterministic() {
        let first = DataRun(seed: 3, seconds: 1).run()
        #expect(DataRun(seed: 3, seconds: 1).run().hash == first.hash)
        #expect(DataRun(seed: 4, seconds: 1).run().hash != first.hash)
    }

    @Test("two and three nodes without any fault: no refusal but a busy one, no takeover", arguments: [2, 3])
    func peace(nodes: Int) {
        var plan = DataPlan()
        plan.nodes = nodes
        plan.patience = 1000
        let result = DataRun(seed: 1, seconds: 3, plan: plan).run()
        #expect(result.violation?.text == nil)
        #expect(result.statistics[.takeovers] == 1)
        #expect(result.statistics[.failedWrites] == 0)
        #expect(result.statistics[.lateClients] == 0)
    }
}
