"""The outbox: events that are committed together with the data they are about, and published afterwards by a relay."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from commerce_event_sdk.connections import Dialect, dialect_of, execute, execute_async
from commerce_event_sdk.event import CommerceEvent, InvalidEventError, UnknownEvent
from commerce_event_sdk.models import MODELS
from commerce_event_sdk.outbox.schema import ADD, STATEMENTS
from commerce_event_sdk.parsing import parse
from commerce_event_sdk.publishing import encode

if TYPE_CHECKING:
    from commerce_event_sdk.outbox.relay import Relay

__all__ = ["Outbox", "Relay"]


class Outbox:
    """Adds events to the table ``commerce_event_outbox`` in transactions of the application.

    >>> outbox = Outbox()
    >>> with sqlite3.connect("shop.db") as connection:
    ...     connection.execute("UPDATE orders SET state = 'confirmed' WHERE id = ?", (884211,))
    ...     outbox.add(connection, OrderConfirmedEvent(ClientId=1, ...))
    """

    def __init__(self, *, max_event_bytes: int = 256 * 1024) -> None:
        """``max_event_bytes`` is the limit of the server (``COMMERCE_EVENT_MAX_BODY``)."""
        self._max_event_bytes = max_event_bytes

    def add(
        self,
        connection: Any,
        type_or_event: str | type[CommerceEvent] | CommerceEvent | UnknownEvent,
        event: CommerceEvent | UnknownEvent | Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> str:
        """Add an event in the open transaction of the connection; return its id, the idempotency key.

        The event is published after that transaction has committed, and never if it rolls back. ``connection`` is one
        of sqlite3, psycopg, SQLAlchemy (``Connection`` or ``Session``) or Django. ``key`` is what the event is about,
        by default its business key.

        Raises InvalidEventError when the event breaks the contract, so that the transaction fails and not the relay;
        TypeError for an unknown kind of connection, ValueError for one in autocommit mode.
        """
        message = self._message(type_or_event, event, key)
        execute(connection, ADD, message)
        return str(message["id"])

    async def add_async(
        self,
        connection: Any,
        type_or_event: str | type[CommerceEvent] | CommerceEvent | UnknownEvent,
        event: CommerceEvent | UnknownEvent | Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> str:
        """Add an event as :meth:`add` does.

        ``connection`` is one of asyncpg, ``psycopg.AsyncConnection``, SQLAlchemy's ``AsyncConnection`` or
        ``AsyncSession``.
        """
        message = self._message(type_or_event, event, key)
        await execute_async(connection, ADD, message)
        return str(message["id"])

    def create_tables(self, connection: Any) -> None:
        """Create the table if it does not exist, in the transaction of the connection. The caller commits."""
        for statement in STATEMENTS[dialect_of(connection)]:
            execute(connection, statement, {})

    async def create_tables_async(self, connection: Any) -> None:
        """Create the table if it does not exist, in the transaction of an async connection. The caller commits."""
        for statement in STATEMENTS[dialect_of(connection)]:
            await execute_async(connection, statement, {})

    @staticmethod
    def schema_sql(dialect: Dialect) -> str:
        """Return the SQL of the table for ``"sqlite"`` or ``"postgres"``, for a migration of the application."""
        return "".join(f"{statement};\n" for statement in STATEMENTS[dialect])

    def _message(
        self,
        type_or_event: str | type[CommerceEvent] | CommerceEvent | UnknownEvent,
        event: CommerceEvent | UnknownEvent | Mapping[str, Any] | None,
        key: str | None,
    ) -> dict[str, Any]:
        event_type, _, body = encode(type_or_event, event)
        if len(body) > self._max_event_bytes:
            raise InvalidEventError([("", f"has {len(body)} bytes; the limit is {self._max_event_bytes}")])
        checked = parse(event_type, body)
        _check_as_server(event_type, checked)
        return {
            "id": str(uuid.uuid4()),
            "event_type": event_type,
            "business_key": checked.business_key if key is None else key,
            "data": body.decode(),
        }


def _check_as_server(event_type: str, event: CommerceEvent | UnknownEvent) -> None:
    """Refuse what the server refuses although the class allows it: U+0000, and names that differ in capitals only."""
    errors = [
        (f"/{name}", "must not contain the character U+0000")
        for name, value in event.to_dict().items()
        if isinstance(value, str) and "\0" in value
    ]
    if isinstance(event, CommerceEvent) and event.extra:
        known = {name.lower(): name for name in MODELS[event_type].__dataclass_fields__ if name != "extra"}
        errors += [
            (f"/{name}", f"is spelled {known[name.lower()]} in the contract")
            for name in event.extra
            if name.lower() in known
        ]
    if errors:
        raise InvalidEventError(errors)


def __getattr__(name: str) -> Any:
    """Import the relay when it is used: programs that only add events do without its modules."""
    if name == "Relay":
        from commerce_event_sdk.outbox.relay import Relay

        return Relay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
