import CsnapSandbox
import Testing

struct ConsoleTests {
    private func parse(_ line: String) -> ConsoleCommand? {
        ConsoleCommand(line.split(separator: " ").map(String.init), nodes: 3)
    }

    @Test func theCommandsAreUnderstood() {
        #expect(parse("nodes") == .nodes)
        #expect(parse("traffic") == .traffic)
        #expect(parse("hold 3") == .hold(3))
        #expect(parse(" free  1 ") == .free(1))
    }

    @Test(arguments: ["", "hold", "hold 0", "hold 4", "hold -1", "hold one", "hold 1 2", "nodes 1", "kill 1", "HOLD 1"])
    func everythingElseIsRefused(line: String) {
        #expect(parse(line) == nil)
    }
}
