"""Builders for batches of changes, and short ways to store and read them."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any

import msgspec
from stores import START_MS

from commerce_event.core import ids
from commerce_event.core.changes.model import Change, StoredChange
from commerce_event.core.model import Scope
from commerce_event.store.model import (
    Accepted,
    ChangeBatch,
    ChangeQuery,
    NewChange,
    NewEvent,
    Page,
    RaisedEvent,
    RowWrite,
    WaitingNotification,
)
from commerce_event.store.port import ChangesOutdatedError, Store

EVERYONE = Scope.everyone()
ALL = Page(10_000)
_NUMBERS = itertools.count(1)


def new_change(client: int | None = 1, *, accepted_ms: int = START_MS, known: Any = None, **fields: Any) -> NewChange:
    given: dict[str, Any] = {"client_id": client, "entity": "Skus", "operation": "insert", "key": {"SkuId": 1}} | fields
    return NewChange(
        id=ids.at_time(accepted_ms) + next(_NUMBERS),
        change=Change(**given),
        known=known,
        accepted_ms=accepted_ms,
        config_version=0,
    )


def stored(new: NewChange) -> StoredChange:
    return StoredChange(id=new.id, accepted_ms=new.accepted_ms, config_version=0, change=new.change, known=new.known)


def row_key(number: Any, entity: str = "Skus") -> str:
    return f'["{entity}",null,{{"SkuId":{msgspec.json.encode(number).decode()}}}]'


def row(
    number: Any, change_id: int, expected: int | None = None, *, client: int = 1, entity: str = "Skus", **fields: Any
) -> RowWrite:
    given: dict[str, Any] = {"values": {"n": change_id}, "updated_ms": START_MS} | fields
    return RowWrite(
        client_id=client, key=row_key(number, entity), change_id=change_id, expected_change_id=expected, **given
    )


def waiting(subject: str, change_id: int, *, setting: int = 5, **fields: Any) -> WaitingNotification:
    given: dict[str, Any] = {
        "client_id": 1, "application_id": None, "event_type": "SkuChangedNotification", "body": b'{"n":%d}' % change_id,
        "due_ms": START_MS, "first_change_id": change_id,
    }  # fmt: skip
    return WaitingNotification(setting_id=setting, subject=subject, change_id=change_id, **(given | fields))


def raised(event: NewEvent, first: int, last: int, *, subject: str = "s", merged: int = 1) -> RaisedEvent:
    return RaisedEvent(
        event_id=event.id,
        client_id=1,
        setting_id=5,
        subject=subject,
        first_change_id=first,
        change_id=last,
        merged=merged,
    )


async def accept(store: Store, *events: NewEvent, version: int | None = None, **parts: Any) -> list[Accepted]:
    return await store.changes.accept(ChangeBatch(**parts), events, config_version=version)


async def found(store: Store, scope: Scope = EVERYONE, page: Page = ALL, **conditions: Any) -> list[int]:
    return [each.id for each in await store.changes.changes(ChangeQuery(scope=scope, **conditions), page)]


async def values_of(store: Store, *numbers: Any, client: int = 1, entity: str = "Skus") -> list[Any]:
    keys = [(client, row_key(number, entity)) for number in numbers]
    known = await store.changes.known_rows(keys)
    return [known[key].change_id if key in known else None for key in keys]


async def write_until_current(store: Store, numbers: Sequence[int], change_id: int, rng: random.Random) -> None:
    """Add 1 to some rows as intake does: read, decide, store; read again when they have changed since."""
    while True:
        known = await store.changes.known_rows([(1, row_key(number)) for number in numbers])
        await asyncio.sleep(0)
        rows = []
        for number in numbers:
            present = known.get((1, row_key(number)))
            count = 1 if present is None else present.values["count"] + 1
            expected = None if present is None else present.change_id
            rows.append(row(number, change_id, expected, values={"count": count}))
        rng.shuffle(rows)
        try:
            await accept(store, changes=[new_change()], rows=rows)
        except ChangesOutdatedError:
            continue
        return
