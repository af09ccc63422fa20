import FuzzDriver
import FuzzRuntime

@main
enum RuntimeMain {
    static func main() { FuzzDriver.run(RuntimeTargets.all) }
}
