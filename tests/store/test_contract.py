"""Validation modes, and own event types, on both engines."""

import msgspec
import pytest
from stores import Engine, accept_events, new_event

from commerce_event.core.model import ValidationEntry
from commerce_event.store.model import OwnTypeRow
from commerce_event.store.port import EventTypeExistsError, EventTypeUsedError, Store


def entry(client: int = 1, event_type: str = "*", **fields: object) -> ValidationEntry:
    return ValidationEntry(client_id=client, event_type=event_type, **({"mode": "warn", "updated_ms": 5} | fields))  # type: ignore[arg-type]


async def test_put_validation_stores_and_replaces_entries_with_their_revision(engine: Engine) -> None:
    store = await engine.open()
    before = await store.registry.config_version()
    versions = [
        await store.contract.put_validation(each)
        for each in (entry(), entry(2), entry(event_type="Order"), entry(mode="off", updated_ms=9))
    ]
    await store.close()
    store = await engine.open()

    assert versions == [before + 1, before + 2, before + 3, before + 4]
    assert await store.contract.validation() == [
        entry(2, revision=before + 2),
        entry(event_type="Order", revision=before + 3),
        entry(mode="off", updated_ms=9, revision=before + 4),
    ]
    assert await store.registry.config_version() == before + 4


async def test_delete_validation_deletes_one_entry_and_raises_the_version(store: Store) -> None:
    await store.contract.put_validation(entry())
    last = await store.contract.put_validation(entry(2))

    assert await store.contract.delete_validation(1, "*") == last + 1
    assert await store.contract.delete_validation(1, "Order") == last + 2  # there is none
    assert await store.contract.validation() == [entry(2, revision=last)]


ROW = OwnTypeRow(
    name="ExportDelivered", category="Export", kind="event", description="Ü", schema='{"type":"object"}',
    example='{"ClientId":1}', revision=0, created_ms=5, updated_ms=6,
)  # fmt: skip


async def test_put_own_type_stores_and_replaces_with_the_revision(engine: Engine) -> None:
    store = await engine.open()
    other = msgspec.structs.replace(ROW, name="Another")
    first = await store.contract.put_own_type(ROW, is_new=True)
    second = await store.contract.put_own_type(other, is_new=True)
    changed = msgspec.structs.replace(ROW, schema="{}", updated_ms=9)
    third = await store.contract.put_own_type(changed)
    await store.close()
    store = await engine.open()

    assert (second, third) == (first + 1, first + 2)
    assert await store.contract.own_type_revisions() == {"Another": second, "ExportDelivered": third}
    assert await store.contract.own_types(["ExportDelivered", "None"]) == [
        msgspec.structs.replace(changed, revision=third)
    ]
    assert await store.registry.config_version() == third


async def test_put_own_type_that_should_be_new_and_exists_changes_nothing(store: Store) -> None:
    version = await store.contract.put_own_type(ROW, is_new=True)
    with pytest.raises(EventTypeExistsError):
        await store.contract.put_own_type(msgspec.structs.replace(ROW, schema="{}"), is_new=True)

    assert await store.contract.own_types([ROW.name]) == [msgspec.structs.replace(ROW, revision=version)]
    assert await store.registry.config_version() == version


async def test_delete_own_type_deletes_it_and_its_validation(store: Store) -> None:
    await store.contract.put_own_type(ROW)
    await store.contract.put_validation(entry(event_type=ROW.name))
    last = await store.contract.put_validation(entry(2))

    assert await store.contract.delete_own_type(ROW.name) == last + 1
    assert await store.contract.own_type_revisions() == {}
    assert await store.contract.validation() == [entry(2, revision=last)]


async def test_delete_own_type_with_events_changes_nothing(store: Store) -> None:
    version = await store.contract.put_own_type(ROW)
    await accept_events(store, [new_event(client=1), new_event(client=2, type_=ROW.name)])
    with pytest.raises(EventTypeUsedError):
        await store.contract.delete_own_type(ROW.name)

    assert await store.contract.own_type_revisions() == {ROW.name: version}
    assert await store.registry.config_version() == version
