"""What only the embedded engine has to prove about reading: its planner knows no sizes, so indexes are named to it."""

from collections.abc import Callable, Sized
from functools import partial
from pathlib import Path
from typing import Any

import apsw
from change_batches import accept, new_change
from stores import START_MS, SqliteEngine, accept_events, claim, event_at, new_event, result

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Scope
from commerce_event.store.model import ChangeQuery, DeliveryQuery, EventQuery, Page
from commerce_event.store.sqlite import delivery_listing, event_listing, files
from commerce_event.store.sqlite.changes import list_changes

SINCE_MS, UNTIL_MS = START_MS + 60_000, START_MS + 70_000
EVENTS = EventQuery(scope=Scope.of(1), since_ms=SINCE_MS, until_ms=UNTIL_MS)
DELIVERIES = DeliveryQuery(scope=Scope.of(1), endpoint_id=7, since_ms=SINCE_MS, until_ms=UNTIL_MS)
LOOKS: dict[str, Callable[[apsw.Connection], Sized]] = {
    "events of a client": lambda reader: event_listing.events(reader, EventQuery(scope=Scope.of(1)), Page(50)),
    "events of a time": lambda reader: event_listing.events(reader, EVENTS, Page(50)),
    "deliveries of a time": lambda reader: delivery_listing.deliveries(reader, DELIVERIES, Page(50)),
    "a step of a replay": lambda reader: event_listing.events_between(
        reader, 1, after_id=0, until_ms=START_MS + 10_000, types=(), limit=200
    ),
}


async def test_listing_rows_read_do_not_grow_with_newer_rows(tmp_path: Path) -> None:
    """Counted in steps of the engine's machine."""
    engine, ids = SqliteEngine(tmp_path), IdMaker()
    store = await engine.open()
    steps: list[dict[str, int]] = []
    for size in (2_000, 4_000):
        await accept_events(store, [event_at(ids, START_MS + number * 1_000) for number in range(size - 2_000, size)])
        reader = files.open_reader(engine.path)
        steps.append({name: counted(reader, look) for name, look in LOOKS.items()})
        reader.close()
    await engine.close_all()

    assert all(steps[1][name] <= steps[0][name] * 1.2 + 5 for name in LOOKS), steps


ENDED: dict[str, Callable[[apsw.Connection], Sized]] = {
    "events": lambda reader: event_listing.events(reader, EventQuery(scope=Scope.of(1), state="dead"), Page(50)),
    "deliveries": lambda reader: delivery_listing.deliveries(
        reader, DeliveryQuery(scope=Scope.of(1), state="dead"), Page(50)
    ),
    "groups": lambda reader: delivery_listing.dead_groups(reader, Scope.of(1), endpoint_id=None, limit=1_000),
}


async def test_dead_letter_rows_read_do_not_grow_with_other_clients(tmp_path: Path) -> None:
    """Counted in steps of the engine's machine."""
    engine = SqliteEngine(tmp_path)
    store = await engine.open()
    await accept_events(store, [new_event(7, client=1), *(new_event(client=1) for _ in range(50))])
    await store.queue.settle([result(each, "dead", reason="gone") for each in await claim(store, 7)])
    steps: list[dict[str, int]] = []
    for _ in range(2):
        await accept_events(store, [new_event(8, client=2) for _ in range(500)])
        await store.queue.settle([result(each, "dead", reason="gone") for each in await claim(store, 8, limit=500)])
        reader = files.open_reader(engine.path)
        steps.append({name: counted(reader, look) for name, look in ENDED.items()})
        reader.close()
    await engine.close_all()

    assert all(steps[1][name] <= steps[0][name] * 1.2 + 5 for name in ENDED), steps


CHANGES: dict[str, tuple[dict[str, Any], Page]] = {
    "of a client": ({"scope": Scope.of(1)}, Page(20)),
    "of an entity of a client": ({"scope": Scope.of(1), "entity": "Customers"}, Page(20)),
    "of an entity": ({"scope": Scope.everyone(), "entity": "Customers"}, Page(20)),
    "of a source": ({"scope": Scope.everyone(), "source": "erp"}, Page(20)),
    "unmapped": ({"scope": Scope.everyone(), "unmapped": True}, Page(20)),
    "unmapped of a client": ({"scope": Scope.of(1), "unmapped": True}, Page(20)),
    "of a time": ({"scope": Scope.everyone(), "until_ms": START_MS + 1}, Page(20)),
    "of a time, oldest first": ({"scope": Scope.everyone(), "until_ms": START_MS + 1}, Page(20, after=0)),
}


async def test_changes_read_do_not_grow_with_other_and_newer_changes(tmp_path: Path) -> None:
    """Counted in steps of the engine's machine."""
    engine = SqliteEngine(tmp_path)
    store = await engine.open()
    few = [new_change(entity=entity, source="erp") for entity in ("Customers", None) for _ in range(20)]
    await accept(store, changes=few)
    steps: list[dict[str, int]] = []
    for number in (1, 2):
        others = [new_change(client, accepted_ms=START_MS + 5 * number) for client in (1, 2) for _ in range(500)]
        await accept(store, changes=others)
        reader = files.open_reader(engine.path)
        steps.append({name: counted(reader, partial(list_some, *each)) for name, each in CHANGES.items()})
        reader.close()
    await engine.close_all()

    assert all(steps[1][name] <= steps[0][name] * 1.2 + 5 for name in CHANGES), steps


def list_some(conditions: dict[str, Any], page: Page, reader: apsw.Connection) -> Sized:
    return list_changes(reader, ChangeQuery(**conditions), page)


def counted(reader: apsw.Connection, look: Callable[[apsw.Connection], Sized]) -> int:
    look(reader)  # prepared once
    count = 0

    def tick() -> bool:
        nonlocal count
        count += 1
        return False

    reader.set_progress_handler(tick, 20)
    assert 0 < len(look(reader)) <= 50
    reader.set_progress_handler(None)
    return count
