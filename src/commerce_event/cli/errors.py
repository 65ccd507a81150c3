"""Errors that end a command: a sentence for standard error, and an exit code."""

from collections.abc import Sequence


class CommandError(Exception):
    """The command failed; the message says what happened and what to do."""

    exit_code = 1
    status: int | None = None  # of the server's answer, if there was one
    faults: Sequence[tuple[str, str]] = ()  # in what was sent: the place of each (a JSON Pointer), and the message


class WorkFailedError(CommandError):
    """The work failed."""


class UsageError(CommandError):
    """The command was used wrongly."""

    exit_code = 2


class InterruptedCommandError(CommandError):
    """A signal ended the command early; the message says how far it got."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
