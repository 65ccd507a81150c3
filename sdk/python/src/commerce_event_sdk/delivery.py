"""One event on its way to this receiver, and what a handler may raise to steer the sender."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_YEAR_S: Final = 31_536_000
NAME: Final = re.compile(r"[!-~]{1,256}")  # an id or an event type: visible ASCII, which every log and database takes


@dataclass(frozen=True)
class Delivery:
    """What came with an event.

    ``message_id`` recognises repeats: the ``webhook-id``, else the content key of the event; None without either.
    ``attempt`` counts from 1; ``sequence`` is the position among the events of the client. Both are None when the
    sender does not say. ``headers`` have names in lower case, and lack those that prove who sent the request.
    """

    event_type: str
    message_id: str | None
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    attempt: int | None = None
    sequence: int | None = None
    is_replay: bool = False
    open_connection: Callable[[], Any] | None = field(repr=False, compare=False, default=None)

    @property
    def webhook_id(self) -> str:
        """The id that a repeat has too. Raises LookupError for a sender without ids whose event has no content key."""
        if self.message_id is None:
            raise LookupError(f"this {self.event_type} came without webhook-id and has no content key")
        return self.message_id

    @property
    def connection(self) -> Any:
        """The connection of the inbox, in the transaction that also marks the event as done.

        The transaction begins when a handler first asks for the connection. It is committed when the handler returns
        and rolled back when it raises. Raises RuntimeError outside a worker of an inbox.
        """
        if self.open_connection is None:
            raise RuntimeError("only a worker of an inbox has a connection; call inbox.accept with one of your own")
        return self.open_connection()


class RetryLater(Exception):  # noqa: N818 - an instruction to the sender, not an error
    """Raised by a handler: answer 503 with Retry-After, or try again from the inbox after that time."""

    def __init__(self, after_s: float, reason: str = "the handler asks for a later attempt") -> None:
        """Raises ValueError unless ``after_s`` is from 0 to a year."""
        if not 0 <= after_s <= _YEAR_S:
            raise ValueError(f"after_s must be from 0 to {_YEAR_S} seconds, not {after_s}")
        super().__init__(reason)
        self.after_s = after_s


class Gone(Exception):  # noqa: N818
    """Raised by a handler: answer 410, which switches the endpoint off at the sender."""


class DeadLetter(Exception):  # noqa: N818
    """Raised by a handler: no repeat will help. An inbox keeps the event as a dead letter; otherwise it is an error."""
