import FuzzCore
import FuzzDriver

@main
enum CoreMain {
    static func main() { FuzzDriver.run(CoreTargets.all) }
}
