"""Why a capture stops or waits. Each message is a sentence for people, with the remedy."""


class CaptureError(Exception):
    """A capture cannot continue."""


class NeedsPersonError(CaptureError):
    """A person must correct something in the database, on the server or in the command."""


class UnavailableError(CaptureError):
    """The database or the server cannot be reached now, or another process holds the slot; try again later."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SlotChangedError(UnavailableError):
    """The slot or the publication has changed; check them again."""


class PositionMovedError(CaptureError):
    """The server has another position than this capture expected; continue from the stored one."""


class SlotLostError(CaptureError):
    """Changes may be missing, because the slot no longer has them; the message says from where to where."""
