"""What a command ends with: a plain sentence on standard error and an exit code."""


class CommandError(Exception):
    """The command cannot do it; the message says what happened and what to do."""

    exit_code = 1


class WorkFailedError(CommandError):
    """The work was tried and failed."""


class UsageError(CommandError):
    """The command was given something it cannot use."""

    exit_code = 2


class CutOffError(CommandError):
    """The command was asked to stop before it was done; the message says how far it got."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
