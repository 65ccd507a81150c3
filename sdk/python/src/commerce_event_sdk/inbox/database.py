"""What the inbox needs of a database: sessions with explicit transactions, and inserts of many messages at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

from commerce_event_sdk.connections import Dialect
from commerce_event_sdk.delivery import Delivery

# The signature and static headers are secrets or of no use later.
KEPT_HEADERS: Final = frozenset(
    {
        "commerce-event-attempt", "commerce-event-origin", "commerce-event-replay", "commerce-event-sequence",
        "commerce-event-type", "content-type", "traceparent", "tracestate", "webhook-id", "webhook-timestamp",
    }
)  # fmt: skip


class NewMessage(NamedTuple):
    """A message to store, with the names of its columns."""

    id: str
    event_type: str
    client_id: int | None
    business_key: str | None
    sequence: int | None
    headers: str
    body: bytes
    received_at: float


class Session(Protocol):
    """One connection, used by one thread at a time. Statements name their parameters ``:name``.

    Every method raises InboxUnavailableError when the database is locked or gone.
    """

    raw: Any
    skip_locked: str  # what a SELECT of the alias `m` ends with to lock its rows and skip those that others hold
    positions: str  # what follows a column that must have one of the values of the parameter `:positions`

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def begin(self, wait_s: float = ...) -> None:
        """Begin a transaction that may write; SQLite waits so long for other writers."""
        ...

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """End the open transaction, if any. Raises nothing: a connection that cannot do it is closed."""
        ...

    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]: ...

    def run(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def position_list(self, positions: Sequence[int]) -> Any:
        """Return the value of ``:positions``."""
        ...

    def insert(self, messages: Sequence[NewMessage]) -> set[str]:
        """Store messages durably in a transaction of its own, and return the ids that are no repeats."""
        ...

    def close(self) -> None: ...


class Database(Protocol):
    """Opens sessions."""

    dialect: Dialect
    writer_count: int

    def open(self, *, statement_timeout_s: float | None = None, uses_indexes: bool = False) -> Session:
        """Open a session. Raises InboxUnavailableError.

        Statements take at most ``statement_timeout_s`` seconds. With ``uses_indexes`` they read in the order of an
        index also when the statistics of PostgreSQL are from a time without pending messages.
        """
        ...

    def read_version(self) -> int | None:
        """Return the version of the tables, None without tables, and create nothing. Raises InboxUnavailableError."""
        ...

    def create_tables(self) -> None:
        """Create or upgrade the tables. Raises ValueError when a later version made them."""
        ...


def close_quietly(session: Session | None) -> None:
    """Close a session, if any; an error of a broken connection is ignored."""
    if session is not None:
        with suppress(Exception):
            session.close()


def new_message(delivery: Delivery, business_key: str | None, received_at: float) -> NewMessage:
    """Return the row of a delivery."""
    headers = {name: value for name, value in delivery.headers.items() if name in KEPT_HEADERS}
    return NewMessage(
        id=_storable(delivery.webhook_id),
        event_type=_storable(delivery.event_type),
        client_id=_client_id(delivery.body),
        business_key=None if business_key is None else _storable(business_key),
        sequence=delivery.sequence,
        headers=json.dumps(headers),
        body=delivery.body,
        received_at=received_at,
    )


def _client_id(body: bytes) -> int | None:
    try:
        value = json.loads(body)["ClientId"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if value.__class__ is int and 0 <= value < 2**63 else None


def _storable(text: str) -> str:
    """Escape what PostgreSQL refuses in a text: U+0000 and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
