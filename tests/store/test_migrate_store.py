"""A store that was moved to PostgreSQL behaves as it did, however often the move was interrupted."""

import asyncio
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import msgspec
import postgres
import pytest
from stores import START_MS, FakeClock, SqliteEngine, accept_events, attempts_of, claim, new_event, new_replay, result

from commerce_event.core.changes.model import Change, ChangeSource, EventSetting, SourceState
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import (
    AttemptDetails,
    AuditEntry,
    DeliveryKind,
    Endpoint,
    FieldChange,
    Key,
    Refusal,
    Scope,
    Secret,
    ValidationEntry,
)
from commerce_event.core.problems import Fault
from commerce_event.core.signatures import new_secret
from commerce_event.core.vault import Vault, new_key, parse_key
from commerce_event.registry.registry import Registry
from commerce_event.registry.sealed_rows import check_secret_key
from commerce_event.store.migrate_store import target as target_module
from commerce_event.store.migrate_store.move import Move, MoveDiffersError, MovedTable, Step
from commerce_event.store.migrate_store.source import open_source
from commerce_event.store.migrate_store.tables import TABLES
from commerce_event.store.migrate_store.target import open_target
from commerce_event.store.model import (
    Activity,
    ChangeBatch,
    ChangeQuery,
    ClaimRequest,
    DeliveryQuery,
    EndpointRow,
    EventQuery,
    NewChange,
    NewDelivery,
    NewEvent,
    OwnTypeRow,
    Page,
    PositionWrite,
    RaisedEvent,
    RefusalQuery,
    RowWrite,
    WaitingNotification,
)
from commerce_event.store.port import SettingExistsError, Store, StoreRefusedError
from commerce_event.store.postgres import PostgresStore
from commerce_event.store.sqlite import SqliteStore

EVERYONE = Scope.everyone()
ALL = Page(limit=10_000)
WEEK_MS = 7 * 86_400_000
CLIENTS = {1: (7, 8), 2: (9,)}  # and their endpoints
ENDPOINTS = (7, 8, 9)
DETAILS = AttemptDetails(address="192.0.2.1:443")
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'commerce-event'
"""
COMMAND = (sys.executable, "-m", "commerce_event", "migrate-store")


class InterruptedMoveError(Exception):
    pass


class Shop:
    """Writes random contents through the store port: five weeks of them, up to START_MS."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._ids = IdMaker()
        self._now_ms = START_MS - 5 * WEEK_MS
        self._numbers = itertools.count(1)
        self._deliveries: list[int] = []
        self._events: dict[int, list[int]] = {client_id: [] for client_id in CLIENTS}

    async def work(self, steps: int) -> None:
        chores = [self.publish] * 4 + [self.deliver] * 4 + [self.requeue, self.cancel, self.replay]
        chores += [self.change_endpoint, self.change_key, self.change_validation, self.count, self.index, self.refuse]
        chores += [self.change_data] * 2 + [self.change_setting]
        for _ in range(steps):
            self._now_ms += 5 * WEEK_MS // (steps + 1)
            await self._random.choice(chores)()

    async def publish(self) -> None:
        await accept_events(self._store, [self._event() for _ in range(self._random.randint(1, 9))])

    def _event(self) -> NewEvent:
        number = next(self._numbers)
        leased = self._random.random() < 0.1
        client_id = self._random.choice(list(CLIENTS))
        endpoints = CLIENTS[client_id]
        chosen = self._random.sample(endpoints, self._random.randint(0, len(endpoints)))
        event_id = self._id(self._events[client_id])
        return NewEvent(
            id=event_id,
            client_id=client_id,
            type=self._random.choice(["OrderConfirmedEvent", "OrderCancelledEvent"]),
            application_id=self._random.choice([None, 3]),
            accepted_ms=self._now_ms,
            config_version=0,
            idempotency_key=self._random.choice([None, f"key-{number}"]),
            traceparent=self._random.choice([None, f"00-{number:032x}-00f067aa0ba902b7-01"]),
            body=f'{{"ClientId":1,"OrderNo":"SO-{number}","Note":"Grüße {number % 5}"}}'.encode(),
            deliveries=tuple(self._delivery(endpoint_id, leased=leased) for endpoint_id in chosen),
            warnings=self._random.choice([(), (Fault("/OrderNo", "must be text"),)]),
        )

    def _delivery(self, endpoint_id: int, *, leased: bool) -> NewDelivery:
        order_key = self._random.choice([None, "basket 1", "basket 2"])
        lease_until_ms = self._now_ms + 15_000 if leased and order_key is None else None
        bulk = self._random.random() < 0.3
        return NewDelivery(self._id(self._deliveries), endpoint_id, order_key, lease_until_ms, bulk)

    def _id(self, kept: list[int]) -> int:
        kept.append(self._ids.next(self._now_ms))
        return kept[-1]

    async def deliver(self) -> None:
        wants = [ClaimRequest(each, kind, 6) for each in ENDPOINTS for kind in DeliveryKind]
        claimed = await self._store.queue.claim(wants, now_ms=self._now_ms, lease_until_ms=self._now_ms + 15_000)
        settled = []
        for each in claimed[: self._random.randint(0, len(claimed))]:
            state = self._random.choice(["delivered", "delivered", "pending", "dead"])
            due_ms = self._now_ms + self._random.randint(1, WEEK_MS) if state == "pending" else None
            failed = {} if state == "delivered" else {"status": 500, "error": "answered 500", "details": DETAILS}
            reason = "gave up" if state == "dead" else None
            attempt: dict[str, Any] = {"response_headers": (("X-N", "é"),), "response_body": b"\x00\xff", **failed}
            made = result(each, state, due_ms=due_ms, reason=reason, **attempt)  # type: ignore[arg-type]
            settled.append(made)
        await self._store.queue.settle(settled)

    async def requeue(self) -> None:
        await self._store.queue.requeue(self._some(self._deliveries), now_ms=self._now_ms)

    async def cancel(self) -> None:
        await self._store.queue.cancel(self._some(self._deliveries), reason="asked to", now_ms=self._now_ms)

    def _some(self, kept: list[int]) -> list[int]:
        return self._random.sample(kept, min(3, len(kept)))

    async def replay(self) -> None:
        event_ids = self._some(self._events[1])
        replay = new_replay(
            self._id([]), types=self._random.choice([(), ("OrderConfirmedEvent",)]), queued=len(event_ids)
        )
        again = [NewDelivery(self._id(self._deliveries), 7) for _ in event_ids]
        await self._store.queue.add_deliveries(again, event_ids, replay=replay, now_ms=self._now_ms)

    async def change_endpoint(self) -> None:
        row = EndpointRow(
            id=self._random.choice(ENDPOINTS),
            client_id=1,
            revision=0,
            created_ms=self._now_ms,
            updated_ms=self._now_ms,
            deleted_ms=self._random.choice([None, None, self._now_ms]),
            config=b'{"url":"https://shop.example/%d"}' % next(self._numbers),
            sealed=b"",
        )
        await self._store.registry.put_endpoint(row)

    async def change_key(self) -> None:
        key = Key(
            id=self._id([]),
            role="read",
            client_ids=self._random.choice([None, (1, 2)]),
            name="Büro",
            digest=self._random.randbytes(32),
            created_ms=self._now_ms,
            revoked_ms=self._random.choice([None, self._now_ms]),
            expires_ms=self._random.choice([None, self._now_ms]),
        )
        await self._store.registry.put_key(key)
        await self._store.registry.note_key_uses({key.id: self._now_ms})
        await self._store.registry.put_client_name(self._random.choice([1, 2]), self._random.choice(["Büro", None]))
        changes = self._random.choice([(), (FieldChange("name", None, "Büro\0"),)])
        entry = AuditEntry(self._id([]), self._now_ms, 1, 0, "", "createKey", "key_1", None, "Büro", changes)
        await self._store.audit_log.add(entry)

    async def change_validation(self) -> None:
        entry = ValidationEntry(client_id=self._random.choice([1, 2]), event_type="Order", mode="warn", updated_ms=5)
        await self._store.contract.put_validation(entry)
        row = OwnTypeRow(
            name=self._random.choice(["B", "a", "ExportDelivered"]), category="Export", kind="event", description="Ü",
            schema="{}", example="{}", revision=0, created_ms=1, updated_ms=2,
        )  # fmt: skip
        await self._store.contract.put_own_type(row)

    async def count(self) -> None:
        start_ms = START_MS - START_MS % 60_000
        counted = Activity(
            start_ms=start_ms, client_id=1, endpoint_id=7, accepted=0, delivered=3, failed=1, dead=1,
            latency=(1,) * 11, pending=4, dead_letters=2, oldest_ms=5,
        )  # fmt: skip
        await self._store.activity.add([counted], now_ms=START_MS)

    async def refuse(self) -> None:
        known = self._random.choice([1, None])
        refused = Refusal(
            id=self._id([]),
            at_ms=self._now_ms,
            client_id=known,
            owner="client 1" if known else "key 3",
            type=self._random.choice(["OrderConfirmedEvent", None]),
            key_id=3,
            key_name="Büro",
            status=422,
            detail="It breaks the contract.",
            faults=(Fault("/A\0", "is required"),),
            body=b"\x00\xff",
            size=2,
        )
        await self._store.refusals.add([refused])
        if self._random.random() < 0.5:
            await self._store.refusals.discard(refused.id, "a test", now_ms=self._now_ms)

    async def change_data(self) -> None:
        """Store a change that writes a row, and mostly raises a notification, at once or later."""
        change_id, number, event = self._id([]), self._random.randint(1, 9), self._event()
        client_id, subject = self._random.choice([1, 2]), self._random.choice(["s", "Büro", "x" * 600])
        change = Change(
            client_id=self._random.choice([client_id, None]), entity=self._random.choice(["Skus", None]),
            operation="update", key={"SkuId": number}, after={"Name": "Büro\0"}, source=self._random.choice(["erp", None]),
            idempotency_key=self._random.choice([None, f"key-{change_id}"]),
        )  # fmt: skip
        key = (client_id, f'["{self._random.choice(["Skus", "Customers"])}",null,{{"SkuId":{number}}}]')
        known = (await self._store.changes.known_rows([key])).get(key)
        row = RowWrite(
            client_id=client_id, key=key[1], values=self._random.choice([{"n": number}, {"n": number}, None]),
            change_id=change_id, updated_ms=self._now_ms, expected_change_id=None if known is None else known.change_id,
        )  # fmt: skip
        waiting = WaitingNotification(
            setting_id=5, subject=subject, client_id=client_id, application_id=self._random.choice([None, 3]),
            event_type="SkuChangedNotification", body=b"\x00\xff", due_ms=self._now_ms, first_change_id=change_id,
            change_id=change_id,
        )  # fmt: skip
        raised = RaisedEvent(
            event_id=event.id, client_id=client_id, setting_id=5, subject=subject, first_change_id=change_id,
            change_id=change_id,
        )  # fmt: skip
        position = (await self._store.change_settings.source_states()).get("erp", SourceState()).position
        batch = ChangeBatch(
            changes=[NewChange(
                id=change_id, change=change, known=None if known is None else known.values, accepted_ms=self._now_ms, config_version=0
            )],
            rows=[row],
            waiting=self._random.choice([[], [waiting]]),
            raised=[raised],
            fields=[(client_id, "Skus", f"Größe {number}")],
            positions=[PositionWrite(source="erp", position=f"0/{change_id}", expected=position)],
        )  # fmt: skip
        await self._store.changes.accept(batch, self._random.choice([[], [event]]))

    async def change_setting(self) -> None:
        setting = EventSetting(
            id=self._random.choice([5, 6]), client_id=1, event_type="SkuChangedNotification", entity="Skus",
            application_id=self._random.choice([None, 3]), fields=self._random.choice([None, ("Größe",)]),
            deleted_ms=self._random.choice([None, self._now_ms]),
        )  # fmt: skip
        with suppress(SettingExistsError):
            await self._store.change_settings.put_setting(setting)
        name = self._random.choice(["erp", "Büro", "b", "A"])
        await self._store.change_settings.put_source(ChangeSource(name=name, client_id=None, tables={}))
        await self._store.change_settings.report_source(name, "{}", now_ms=self._now_ms)

    async def index(self) -> None:
        await self._store.maintenance.index_text(5)


async def view(store: Store) -> dict[str, Any]:
    """What a store answers to every question of the port, without changing it."""
    events = await store.history.events(EventQuery(scope=EVERYONE), ALL)
    deliveries = await store.history.deliveries(DeliveryQuery(scope=EVERYONE), ALL)
    replays = await store.history.replays(EVERYONE, ALL)
    refusals = await store.refusals.refusals(RefusalQuery(scope=EVERYONE), ALL)
    changes = await store.changes.changes(ChangeQuery(scope=EVERYONE), ALL)
    return {
        "last id": await store.last_id(),
        "config version": await store.registry.config_version(),
        "events": events,
        "each event": [await store.history.event(event.id, EVERYONE) for event in events],
        "by sequence": [await store.history.events_after(client, 0, 10_000) for client in CLIENTS],
        "by time": await store.history.events(EventQuery(scope=EVERYONE, since_ms=START_MS - 2 * WEEK_MS), ALL),
        "by type": await store.history.events(EventQuery(scope=EVERYONE, types=("OrderCancelledEvent",)), ALL),
        "dead": await store.history.events(EventQuery(scope=EVERYONE, state="dead"), ALL),
        "text": [
            await store.history.events(EventQuery(scope=EVERYONE, text=text), ALL) for text in ("SO-7", "grüße 3")
        ],
        "deliveries": deliveries,
        "attempts": [await attempts_of(store, each.id) for each in deliveries],
        "recent attempts": [len(await store.history.recent_attempts(each, 100)) for each in ENDPOINTS],
        "dead groups": await store.history.dead_groups(EVERYONE, endpoint_id=None, limit=10_000),
        "books": await store.history.delivery_counts(EVERYONE),
        "recount": await store.history.delivery_counts(EVERYONE, recount=True),
        "endpoints": await store.registry.endpoints(),
        "revisions": [await store.registry.endpoint_revisions(1, version) for version in range(1, 6)],
        "keys": await store.registry.keys(),
        "key uses": await store.registry.key_uses(),
        "client names": await store.registry.client_names(),
        "audit log": await store.audit_log.entries(EVERYONE, ALL),
        "health": await store.history.endpoint_health(EVERYONE),
        "validation": await store.contract.validation(),
        "own types": await store.contract.own_types(["B", "a", "ExportDelivered"]),
        "replays": replays,
        "refusals": [await store.refusals.refusal(each.id, EVERYONE) for each in refusals],
        "changes": changes,
        "unmapped": await store.changes.count_unmapped(EVERYONE, limit=10_000),
        "first changes": await store.changes.first_changes(
            [(1, each.change.idempotency_key) for each in changes if each.change.idempotency_key]
        ),
        "raised by": [await store.changes.raised_by(each.id) for each in changes],
        "raised": [await store.changes.raised(event.id) for event in events],
        "row entities": await store.changes.row_entities(),
        "known rows": await store.changes.known_rows(
            [
                (client, f'["{entity}",null,{{"SkuId":{number}}}]')
                for client in CLIENTS
                for entity in ("Skus", "Customers")
                for number in range(10)
            ]
        ),
        "fields": [await store.changes.fields(client, "Skus") for client in CLIENTS],
        "waiting notifications": await store.changes.due(now_ms=2 * START_MS, limit=10_000),
        "settings": await store.change_settings.settings(),
        "settings at": [await store.change_settings.settings_at(1, version) for version in range(1, 20)],
        "sources": await store.change_settings.sources(),
        "source states": await store.change_settings.source_states(),
        "replay states": [await store.history.replay_states(each.id) for each in replays],
        "activity": [await store.activity.by_step(EVERYONE, step_s=step, since_ms=0) for step in (60, 3_600)],
        "audit": await store.maintenance.verify_counts(after_id=0, limit=10_000),
        "waiting": sorted(await store.queue.backlog(), key=msgspec.structs.astuple),
    }


async def use(store: Store) -> dict[str, Any]:
    """What a store answers when work goes on: claims, order keys that are released, sequences, repeated keys."""
    wants = [ClaimRequest(each, kind, 1_000) for each in ENDPOINTS for kind in DeliveryKind]
    claimed = []
    for turn in range(3):
        now_ms = START_MS + WEEK_MS + turn
        some = await store.queue.claim(wants, now_ms=now_ms, lease_until_ms=now_ms + 15_000)
        some.sort(key=lambda each: each.delivery_id)
        claimed.append(some)
        await store.queue.settle([result(each) for each in some])
    keyed = [event for event in await store.history.events(EventQuery(scope=EVERYONE), ALL) if event.idempotency_key][
        :5
    ]
    again = [
        NewEvent(
            id=await store.last_id() + 1 + number,
            client_id=event.client_id,
            type=event.type,
            application_id=event.application_id,
            accepted_ms=START_MS,
            config_version=0,
            idempotency_key=key,
            traceparent=None,
            body=event.body,
            deliveries=(),
        )
        for number, (event, key) in enumerate((each, key) for each in keyed for key in (each.idempotency_key, None))
    ]
    return {
        "claimed": claimed,
        "accepted": await accept_events(store, again),
        "books": await store.history.delivery_counts(EVERYONE),
    }


@pytest.fixture
async def database() -> AsyncIterator[str]:
    """The address of an empty database."""
    name = await postgres.empty_database()
    yield postgres.in_database(postgres.server_url(), name)
    await postgres.drop(name)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    made = SqliteEngine(tmp_path)
    yield made
    await made.close_all()


async def filled(engine: SqliteEngine, seed: int = 1, steps: int = 60) -> Path:
    store = await engine.open()
    await Shop(store, seed).work(steps)
    await store.close()
    return engine.path


def nothing(_: Step) -> None:
    pass


async def move(path: Path, url: str, *, batch: int = 50, on_step: Callable[[Step], None] = nothing) -> list[MovedTable]:
    with open_source(path) as source:
        async with open_target(url) as target:
            return await Move(source, target, batch_rows=batch, on_step=on_step).run()


async def ask(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url, server_settings={"search_path": "commerce_event"})
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def tell(url: str, statement: str) -> None:
    await ask(url, statement)


def run_command(path: Path, url: str, *more: str, **environment: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    return subprocess.Popen(
        [*COMMAND, "--from", f"sqlite:///{path}", "--to", url, *more],
        env={**kept, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("seed", range(5))
async def test_moved_store_behaves_as_it_did_however_often_the_move_was_interrupted(
    engine: SqliteEngine, database: str, seed: int
) -> None:
    rng = random.Random(seed)
    path = await filled(engine, seed)
    before = path.read_bytes()
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)

    def interrupt(_: Step) -> None:
        if rng.random() < 0.05:
            raise InterruptedMoveError

    for _ in range(4):
        try:
            await move(path, database, batch=rng.choice([1, 7, 50]), on_step=interrupt)
        except InterruptedMoveError:
            continue
    moved = await move(path, database)

    assert all(table.equal for table in moved)
    assert path.read_bytes() == before
    old, new = SqliteStore(copy, clock=engine.clock), PostgresStore(database, clock=engine.clock, lost_after_s=0)
    await old.open()
    await new.open()
    try:
        assert await view(new) == await view(old)
        assert new.run_id == old.run_id
        assert await use(new) == await use(old)
    finally:
        await old.close()
        await new.close()


async def test_those_of_an_order_key_keep_their_order_with_replays_between_them(
    engine: SqliteEngine, database: str
) -> None:
    store = await engine.open()
    first, second = (new_event(7, order_key="a") for _ in range(2))
    other = new_event(9, client=2, order_key="a")
    await accept_events(store, [first, second])
    again = new_event().id
    await store.queue.add_deliveries(
        [NewDelivery(again, 7, "a")], [first.id], replay=new_replay(new_event().id), now_ms=START_MS
    )
    third = new_event(7, order_key="a")
    await accept_events(store, [third, other])
    await store.close()
    await move(engine.path, database)
    moved = PostgresStore(database, clock=engine.clock)
    await moved.open()

    sent = []
    for _ in range(4):
        [claimed] = await claim(moved, 7, now_ms=START_MS + 60_000)
        sent.append(claimed.delivery_id)
        await moved.queue.settle([result(claimed)])
    await moved.close()
    assert sent == [first.deliveries[0].id, second.deliveries[0].id, again, third.deliveries[0].id]


async def test_finished_move_tells_the_same_when_it_is_asked_again(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)

    first = await move(path, database)

    assert await move(path, database) == first


async def test_every_table_and_column_of_the_source_is_moved(engine: SqliteEngine) -> None:
    path = await filled(engine, steps=1)
    with closing(apsw.Connection(str(path))) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main'")}
        columns = {
            (table, column)
            for table in tables
            for _, column, *_ in connection.execute(f"SELECT * FROM pragma_table_info('{table}')")
            if not table.startswith(("sqlite_", "event_text"))  # the text index is made anew
        }
    moved = {
        (table.source.split()[0], expression.split(".")[-1].split(",")[0])
        for table in TABLES
        for expression in table.columns.values()
    } | {(table.source.split()[0], column) for table in TABLES for column in table.columns}

    assert columns - moved == set()


@pytest.mark.parametrize("end", ["killed", "cut off"])
async def test_process_that_ended_in_the_middle_is_continued_by_the_same_command(
    engine: SqliteEngine, database: str, end: str
) -> None:
    path = await filled(engine)
    with pytest.raises(InterruptedMoveError):
        await move(path, database, on_step=_stop_at_table("event"))
    holder = await asyncpg.connect(database)
    holding = holder.transaction()
    await holding.start()
    await holder.execute("LOCK TABLE commerce_event.attempt IN ACCESS EXCLUSIVE MODE")
    process = run_command(path, database, "--batch", "20")
    try:
        async with asyncio.timeout(60):
            while not await ask(database, "SELECT done FROM move_table WHERE name = 'finished'"):
                await asyncio.sleep(0.05)
        if end == "killed":
            process.send_signal(signal.SIGKILL)
        else:
            await tell(database, CUT)
        _, err = await asyncio.to_thread(process.communicate)
    finally:
        process.kill()
        await holding.rollback()
        await holder.close()
    if end == "cut off":
        assert process.returncode == 1
        assert re.fullmatch(r"commerce-event: The move stopped .* run the same command again to continue\.\n", err), err
    assert await ask(database, "SELECT finished_ms IS NULL FROM move")
    again = run_command(path, database, "--json")
    out, err = await asyncio.to_thread(again.communicate)

    assert again.returncode == 0, err
    told = msgspec.json.decode(out)
    assert told["complete"] is True
    assert all(table["equal"] for table in told["tables"])
    assert {table["table"]: table["rows"] for table in told["tables"]} == _rows_in(path)


def _stop_at_table(name: str) -> Callable[[Step], None]:
    def stop(step: Step) -> None:
        if step.table == name:
            raise InterruptedMoveError

    return stop


def _rows_in(path: Path) -> dict[str, int]:
    with open_source(path) as source:
        return {table.name: source.count(table) for table in TABLES}


async def test_server_refuses_a_target_that_holds_only_a_part(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)
    with pytest.raises(InterruptedMoveError):
        await move(path, database, on_step=_stop_at_table("queue"))

    with pytest.raises(StoreRefusedError, match=r"holds only a part of events\.db.*run commerce-event migrate-store"):
        await PostgresStore(database).open()

    await move(path, database)
    store = PostgresStore(database)
    await store.open()
    await store.close()


async def test_old_events_lie_in_their_weeks_and_retention_drops_them_whole(
    engine: SqliteEngine, database: str
) -> None:
    store = await engine.open()
    ids = IdMaker()
    for week in range(6):
        at_ms = START_MS - (6 - week) * WEEK_MS
        event = NewEvent(
            id=ids.next(at_ms), client_id=1, type="OrderConfirmedEvent", application_id=None, accepted_ms=at_ms,
            config_version=0, idempotency_key=None, traceparent=None, body=b"{}", deliveries=(),
        )  # fmt: skip
        await accept_events(store, [event])
    await store.close()
    await move(engine.path, database)

    assert await ask(database, "SELECT count(*) FROM event_rest") == 0
    clock = FakeClock()
    moved = PostgresStore(database, clock=clock)
    await moved.open()
    try:
        before_ms = START_MS - 4 * WEEK_MS
        while await moved.maintenance.expire(before_ms=before_ms, limit=100):
            pass
        left = await moved.history.events_after(1, 0, 100)
        assert [event.sequence for event in left] == [3, 4, 5, 6]
    finally:
        await moved.close()


async def test_sequences_go_on_without_a_gap_when_every_event_has_expired(engine: SqliteEngine, database: str) -> None:
    store = await engine.open()
    maker = Shop(store, 1)
    await maker.publish()
    last = {client: len(await store.history.events_after(client, 0, 100)) for client in CLIENTS}
    before = await store.last_id()
    for each in await store.history.deliveries(DeliveryQuery(scope=EVERYONE), ALL):
        await store.queue.cancel([each.id], reason="asked to", now_ms=START_MS)
    assert await store.maintenance.expire(before_ms=START_MS, limit=100)
    await store.close()
    await move(engine.path, database)
    moved = PostgresStore(database, clock=engine.clock)
    await moved.open()
    try:
        assert await moved.last_id() == before
        event = maker._event()
        [accepted] = await accept_events(moved, [event])
        assert accepted.sequence == last[event.client_id] + 1
    finally:
        await moved.close()


async def test_text_with_nul_of_an_older_version_is_moved_with_another_character(
    engine: SqliteEngine, database: str
) -> None:
    path = await filled(engine)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "INSERT INTO audit_entry VALUES (1, 1, NULL, 0, ?, 'createKey', ?, NULL, ?, NULL)", ("a\0b", "\0", "\0c")
        )
        connection.execute("UPDATE attempt SET error = ? WHERE error IS NOT NULL", ("c\0d",))
        connection.execute(
            "INSERT INTO api_key (id, role, name, digest, created_ms) VALUES (1, 'admin', ?, x'00', 1)", ("k\0",)
        )

    await move(path, database)

    assert (
        await ask(database, "SELECT key_name || target || name FROM audit_entry WHERE id = 1")
        == "a\ufffdb\ufffd\ufffdc"
    )
    assert await ask(database, "SELECT name FROM api_key WHERE id = 1") == "k\ufffd"


async def test_difference_between_both_sides_is_found(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)
    with pytest.raises(InterruptedMoveError):
        await move(path, database, on_step=_stop_at_checking)
    await tell(database, "UPDATE event SET body = body || '' :: bytea || ' ' WHERE id = (SELECT min(id) FROM event)")

    with pytest.raises(MoveDiffersError, match=r"\(event\).*DROP SCHEMA"):
        await move(path, database)
    assert await ask(database, "SELECT finished_ms IS NULL FROM move")


def _stop_at_checking(step: Step) -> None:
    if step.what == "checking":
        raise InterruptedMoveError


# -- refusals


async def test_database_that_holds_a_store_is_refused_and_left_alone(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)
    other = PostgresStore(database)
    await other.open()
    await Shop(other, 2).change_key()
    await other.close()

    with pytest.raises(StoreRefusedError, match=r"holds a store already \(table api_key has rows\); give an empty"):
        await move(path, database)
    assert await ask(database, "SELECT to_regclass('commerce_event.move') IS NULL")


async def test_database_that_a_server_has_only_been_started_on_is_taken(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)
    for _ in range(3):
        tried = PostgresStore(database)
        await tried.open()
        await tried.close()

    assert all(table.equal for table in await move(path, database))


async def test_database_that_a_server_runs_on_is_refused(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)
    running = PostgresStore(database)
    await running.open()
    try:
        with pytest.raises(StoreRefusedError, match=r"a server runs on .*; stop it"):
            await move(path, database)
    finally:
        await running.close()


@pytest.mark.parametrize("finished", [False, True])
async def test_move_from_a_store_that_was_served_since_is_refused(
    engine: SqliteEngine, database: str, finished: bool
) -> None:
    path = await filled(engine)
    if finished:
        await move(path, database)
    else:
        with pytest.raises(InterruptedMoveError):
            await move(path, database, on_step=_stop_at_table("event"))
    await (await engine.open()).close()
    rows = await ask(database, "SELECT sum(rows) FROM move_table")

    with pytest.raises(StoreRefusedError, match=r"another store or was served since; empty the target"):
        await move(path, database)
    assert await ask(database, "SELECT sum(rows) FROM move_table") == rows


async def test_two_moves_into_one_database_at_once_are_refused(
    engine: SqliteEngine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await filled(engine)
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    monkeypatch.setattr(target_module, "_LOCK_TRIES", 2)
    with open_source(path) as source:
        async with open_target(database) as target:
            await target.begin(source.fingerprint(), "events.db", START_MS)
            with pytest.raises(StoreRefusedError, match="another migrate-store is moving into"):
                await move(copy, database)
    assert all(table.equal for table in await move(copy, database))


async def test_command_prints_a_line_for_each_table(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine)
    process = run_command(path, database)
    out, err = await asyncio.to_thread(process.communicate)

    assert (process.returncode, err) == (0, "")
    counts = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert [counts[name] for name in _rows_in(path)] == [[f"{rows:,}", "yes"] for rows in _rows_in(path).values()]
    assert out.splitlines()[-1].endswith("start servers there with the same secret key.")


async def test_source_in_use_is_refused(engine: SqliteEngine, database: str) -> None:
    store = await engine.open()
    await Shop(store, 1).publish()

    with pytest.raises(StoreRefusedError, match=rf"in use by process {os.getpid()} .*; stop that one, then move"):
        await move(engine.path, database)


async def test_server_cannot_start_on_the_source_meanwhile(engine: SqliteEngine) -> None:
    path = await filled(engine)
    with open_source(path), pytest.raises(StoreRefusedError, match="is in use by"):
        await engine.open()


async def test_source_of_an_older_version_is_refused_with_the_remedy(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine, steps=1)
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("user_version", 1)

    with pytest.raises(StoreRefusedError, match=r"has schema 1, .* start and stop a server of this version on it once"):
        await move(path, database)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "there is no file"), (b"no database at all" * 500, "is not a commerce-event store")],
)
async def test_file_that_is_no_store_is_refused(
    tmp_path: Path, database: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "events.db"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StoreRefusedError, match=sentence):
        await move(path, database)


async def test_user_without_rights_is_refused_with_the_grant(engine: SqliteEngine, database: str) -> None:
    path = await filled(engine, steps=1)
    role = postgres.new_name()
    await postgres.run_on_server(f"CREATE ROLE {role} LOGIN")
    try:
        url = database.replace("postgres:@", f"{role}:@")
        assert url != database
        with pytest.raises(StoreRefusedError, match=rf'GRANT CREATE, CONNECT ON DATABASE ".*" TO "{role}"'):
            await move(path, url)
    finally:
        await postgres.run_on_server(f"DROP ROLE {role}")


async def test_secrets_must_be_opened_by_the_key_of_the_target(engine: SqliteEngine) -> None:
    key = new_key()
    store = await engine.open()
    registry = Registry(store, Vault(parse_key(key)), IdMaker())
    secrets = (Secret(new_secret("hmac")),)
    await registry.save(
        Endpoint(id=7, client_id=1, url="https://shop.example/hook", event_types=("*",), secrets=secrets)
    )
    await store.close()
    engine.path.with_name("events.db.key").write_text(key)

    with open_source(engine.path) as source:
        source.check_secrets(key, check_secret_key)
        with pytest.raises(
            StoreRefusedError, match=r"set COMMERCE_EVENT_SECRET_KEY, .* to the text in .*events\.db\.key"
        ):
            source.check_secrets(None, check_secret_key)
        with pytest.raises(StoreRefusedError, match="COMMERCE_EVENT_SECRET_KEY does not open the endpoints' secrets"):
            source.check_secrets(new_key(), check_secret_key)


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("postgresql://a@b/c", "postgresql://a@b/c", "--from must be sqlite:///FILE"),
        ("sqlite:///{}", "sqlite:///other.db", "--to must be postgresql://"),
        ("sqlite:///{}", "mysql://a@b/c", "--to must be postgresql://"),
        ("sqlite:///{}", "postgresql://nobody@127.0.0.1:1/none", "127.0.0.1:1 cannot be reached; .* in --to"),
    ],
)
async def test_command_refuses_addresses_with_one_sentence(
    engine: SqliteEngine, source: str, target: str, sentence: str
) -> None:
    path = await filled(engine, steps=1)
    done = await asyncio.create_subprocess_exec(
        *COMMAND, "--from", source.format(path), "--to", target, stderr=asyncio.subprocess.PIPE
    )
    _, err = await done.communicate()

    assert done.returncode == 2
    [line] = err.decode().splitlines()
    assert re.search(sentence, line), line
