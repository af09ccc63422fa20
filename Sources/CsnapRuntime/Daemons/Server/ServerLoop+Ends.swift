import CsnapCore
import Logging

/// What the agent is told, and how the process ends.
extension ServerLoop {
    func tell(_ message: ServerToAgent) {
        if !agent.send(message) { exitWithoutAgent("the agent does not read") }
    }

    func fail(
        _ failure: ServerFailure, _ reason: String, volume: String = "", epochSeen: Epoch = .none
    ) -> Never {
        logger.error("\(reason)", metadata: volume.isEmpty ? nil : [LogField.volume: "\(volume)"])
        tell(.failed(failure, volume: volume, epochSeen: epochSeen))
        ServerExit.failed.now()
    }

    func exitAtHardDeadline() -> Never {
        logger.error("the lease is past its hard deadline")
        ServerExit.hardDeadline.now()
    }

    func exitWithoutAgent(_ reason: String) -> Never {
        logger.error("\(reason): the server ends")
        ServerExit.agentGone.now()
    }
}
