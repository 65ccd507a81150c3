"""What the relay does with the table of the outbox. ``sqlite_store`` and ``postgres_store`` do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from commerce_event_sdk.publishing import OutgoingEvent


class OutboxError(Exception):
    """The database of the outbox cannot be used; the message says why."""


@dataclass(frozen=True)
class OutboxMessage(OutgoingEvent):
    """A pending message, with its place in the order."""

    position: int


@dataclass(frozen=True)
class DeadMessage:
    """A message that the server refused. Times are RFC 3339."""

    id: str
    event_type: str
    business_key: str | None
    created_at: str
    dead_at: str
    reason: str


@dataclass(frozen=True)
class OutboxStatus:
    """What is in the outbox, and whether a relay is active."""

    pending: int
    dead: int
    oldest_pending_at: str | None
    relay_is_active: bool
    dead_messages: Sequence[DeadMessage]
    """The oldest ones, at most 100."""


class OutboxStore(Protocol):
    """A connection to the table, of one thread at a time.

    Every method but ``close`` raises OutboxError; open the store again then.
    """

    def acquire(self) -> bool:
        """Become the active relay of this table; False while another one is. Cheap when this one is active already."""
        ...

    def read(self, max_events: int, max_bytes: int) -> list[OutboxMessage]:
        """Return the first pending messages by position, at least one if there are any."""
        ...

    def settle(self, accepted: Sequence[OutboxMessage], dead: Sequence[tuple[OutboxMessage, str]]) -> None:
        """Delete accepted messages and mark others dead, with the reason, in one transaction."""
        ...

    def status(self) -> OutboxStatus:
        """Return what is in the outbox."""
        ...

    def retry(self, message_id: str | None) -> int:
        """Make a dead message pending again, or all of them; return how many."""
        ...

    def discard(self, message_id: str | None) -> int:
        """Delete a message, pending or dead, or all dead ones; return how many."""
        ...

    def close(self) -> None:
        """Close the connection; another relay may become active."""
        ...


def open_store(database: str) -> OutboxStore:
    """Open the outbox of a database: ``sqlite:///path``, a path, or ``postgresql://…``. Raises OutboxError."""
    scheme, separator, rest = database.partition("://")
    if separator and scheme.partition("+")[0] in {"postgresql", "postgres"}:
        from commerce_event_sdk.outbox.postgres_store import PostgresOutboxStore

        return PostgresOutboxStore(database)
    if separator and scheme.partition("+")[0] != "sqlite":
        raise OutboxError(f"{scheme}:// is not supported; give sqlite:///path or postgresql://…")
    from commerce_event_sdk.outbox.sqlite_store import SqliteOutboxStore

    return SqliteOutboxStore(rest.removeprefix("/") if separator else database)
