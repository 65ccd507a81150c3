"""Builders for the store suite, and the engines it runs on."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import postgres

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Attempt, DeliveryKind, DeliveryState, Replay, Scope
from commerce_event.core.vault import Vault
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted, Claimed, ClaimRequest, NewDelivery, NewEvent, Settlement
from commerce_event.store.port import Store
from commerce_event.store.postgres import PostgresStore
from commerce_event.store.sqlite import SqliteStore

START_MS = 1_800_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class Engine(Protocol):
    """How a test gets stores."""

    clock: FakeClock

    async def open(self) -> Store: ...

    async def damage(self, event_id: int) -> None:
        """Remove an event's deliveries behind the store's back; the store is closed."""
        ...

    async def lose(self, event_id: int) -> None:
        """Remove an event, but not its deliveries, behind the store's back; the store is closed."""
        ...

    async def count_attempts(self) -> int:
        """Return the number of kept attempts."""
        ...

    async def close_all(self) -> None:
        """Close every store that is still open, and let go of the data."""
        ...


class SqliteEngine:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.db"
        self.clock = FakeClock()
        self._opened: list[SqliteStore] = []

    async def open(self) -> SqliteStore:
        store = SqliteStore(self.path, clock=self.clock)
        await store.open()
        self._opened.append(store)
        return store

    async def damage(self, event_id: int) -> None:
        import apsw

        connection = apsw.Connection(str(self.path))
        connection.execute("DELETE FROM delivery WHERE event_id = ?", (event_id,))
        connection.close()

    async def lose(self, event_id: int) -> None:
        import apsw

        connection = apsw.Connection(str(self.path))
        connection.execute("DELETE FROM event WHERE id = ?", (event_id,))
        connection.close()

    async def count_attempts(self) -> int:
        import apsw

        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(connection.execute("SELECT count(*) FROM attempt").get)
        finally:
            connection.close()

    async def close_all(self) -> None:
        for store in self._opened:
            await store.close()


class PostgresEngine:
    def __init__(self, folder: Path) -> None:  # noqa: ARG002
        """The data lies on the server; ``folder`` stays empty."""
        self.clock = FakeClock()
        self.lost_after_s = 5.0
        self._opened: list[PostgresStore] = []
        self._database: str | None = None

    async def url(self) -> str:
        """Return the address of this engine's database, made when it is first asked for."""
        if self._database is None:
            self._database = await postgres.TEMPLATE.copy(self.clock)
        return postgres.in_database(postgres.server_url(), self._database)

    async def open(self) -> PostgresStore:
        store = PostgresStore(await self.url(), clock=self.clock, lost_after_s=self.lost_after_s)
        await store.open()
        self._opened.append(store)
        return store

    async def run(self, statement: str, *values: Any) -> Any:
        """Run SQL behind the store's back; return the first value of the first row."""
        import asyncpg

        connection = await asyncpg.connect(await self.url(), server_settings={"search_path": "commerce_event"})
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    async def damage(self, event_id: int) -> None:
        for table in ("queue", "finished"):
            await self.run(f"DELETE FROM {table} WHERE event_id = $1", event_id)

    async def lose(self, event_id: int) -> None:
        await self.run("DELETE FROM event WHERE id = $1", event_id)

    async def count_attempts(self) -> int:
        return int(await self.run("SELECT count(*) FROM attempt"))

    async def close_all(self) -> None:
        for store in self._opened:
            await store.close()
        if self._database is not None:
            await postgres.drop(self._database)


_NUMBERS = itertools.count(1_000)


def empty_registry(store: Store) -> Registry:
    """Return a directory that nothing was read into."""
    return Registry(store, Vault(bytes(32)), IdMaker())


def new_event(
    *endpoints: int,
    client: int = 1,
    key: str | None = None,
    body: bytes = b'{"ClientId":1}',
    type_: str = "OrderConfirmedEvent",
    order_key: str | None = None,
    lease_until_ms: int | None = None,
    at_ms: int = START_MS,
    application: int | None = None,
    bulk: bool = False,
) -> NewEvent:
    """An event with a delivery to each of the endpoints; ids grow from call to call."""
    event_id = next(_NUMBERS)
    return NewEvent(
        id=event_id,
        client_id=client,
        type=type_,
        application_id=application,
        accepted_ms=at_ms,
        config_version=0,
        idempotency_key=key,
        traceparent=None,
        body=body,
        deliveries=tuple(NewDelivery(next(_NUMBERS), each, order_key, lease_until_ms, bulk) for each in endpoints),
    )


def event_at(ids: IdMaker, now_ms: int, *, client: int = 1, endpoint: int = 7) -> NewEvent:
    """An event as accepting makes it at that time."""
    return NewEvent(
        id=ids.next(now_ms), client_id=client, type="OrderConfirmedEvent", application_id=None, accepted_ms=now_ms,
        config_version=0, idempotency_key=None, traceparent=None, body=b'{"OrderNo":"SO-1"}',
        deliveries=(NewDelivery(ids.next(now_ms), endpoint),),
    )  # fmt: skip


def new_replay(replay_id: int, **fields: Any) -> Replay:
    """A replay that has only begun."""
    given: dict[str, Any] = {
        "client_id": 1, "endpoint_id": 7, "since_ms": 0, "until_ms": START_MS, "types": (), "only": "failed",
        "state": "running", "cursor": 0, "looked_at": 0, "queued": 0, "created_ms": START_MS, "finished_ms": None,
    }  # fmt: skip
    return Replay(id=replay_id, **(given | fields))


def result(
    claimed: Claimed,
    state: DeliveryState = "delivered",
    *,
    due_ms: int | None = None,
    failure_count: int | None = None,
    reason: str | None = None,
    is_internal: bool = False,
    **attempt: Any,
) -> Settlement:
    fields = {"started_ms": START_MS, "duration_ms": 2.5, "status": 200, "error": None} | attempt
    failures = claimed.failure_count + (state == "pending") if failure_count is None else failure_count
    return Settlement(
        delivery_id=claimed.delivery_id,
        endpoint_id=claimed.endpoint_id,
        run_id=claimed.run_id,
        attempt=Attempt(number=claimed.number, **fields),
        state=state,
        failure_count=failures,
        due_ms=due_ms,
        reason=reason,
        is_internal=is_internal,
    )


async def accept_events(
    store: Store, events: Sequence[NewEvent], *, config_version: int | None = None
) -> list[Accepted]:
    """Store the events of one caller; return an answer for each."""
    [result] = await store.journal.accept([events], config_version=config_version)
    return result if isinstance(result, list) else await result


async def attempts_of(store: Store, delivery_id: int) -> list[Attempt]:
    """Return the attempts of a delivery by number; none of a delivery that does not exist."""
    found = await store.history.deliveries_with_attempts([delivery_id], Scope.everyone())
    return [attempt for _, attempts in found for attempt in attempts]


async def claim(
    store: Store,
    endpoint: int,
    *,
    now_ms: int = START_MS,
    limit: int = 100,
    retrying: bool = False,
    bulk: bool = False,
    lease_ms: int = 15_000,
) -> list[Claimed]:
    return await store.queue.claim(
        [ClaimRequest(endpoint, DeliveryKind.of(2 if retrying else 1, bulk=bulk), limit)],
        now_ms=now_ms,
        lease_until_ms=now_ms + lease_ms,
    )
