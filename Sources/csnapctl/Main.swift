import CsnapSandbox
import Glibc

@main
struct Main {
    static func main() {
        exit(ControlCommandLine.execute(Array(CommandLine.arguments.dropFirst())))
    }
}
