"""Last known values that no setting asks for any more are deleted, and no others."""

import pytest
from change_batches import accept, row, values_of
from stores import START_MS, FakeClock

from commerce_event.core.changes.model import EventSetting
from commerce_event.core.ids import IdMaker
from commerce_event.core.vault import Vault
from commerce_event.maintenance.row_cleanup import UNTRACKED_MS, RowCleanup
from commerce_event.registry.registry import Registry
from commerce_event.store.port import Store

ENTITY = "tClientProductSku"


@pytest.fixture
async def registry(store: Store) -> Registry:
    made = Registry(store, Vault(b"k" * 32), IdMaker())
    await made.load()
    return made


async def write_rows(store: Store, *ages_ms: int) -> None:
    """Write one row of each age, numbered from 0."""
    rows = [row(number, 5, entity=ENTITY, updated_ms=START_MS - age) for number, age in enumerate(ages_ms)]
    await accept(store, rows=rows)


async def test_rows_of_an_untracked_entity_are_deleted_once_every_node_knows(store: Store, registry: Registry) -> None:
    await write_rows(store, 0, UNTRACKED_MS, UNTRACKED_MS + 1)

    await RowCleanup(store.changes, registry, FakeClock()).forget()
    assert await values_of(store, 0, 1, 2, entity=ENTITY) == [5, 5, None]


async def test_rows_from_before_an_entity_was_tracked_are_deleted(store: Store, registry: Registry) -> None:
    setting = EventSetting(
        id=1, client_id=1, event_type="SkuChangedNotification", entity=ENTITY, active_since_ms=START_MS - 5
    )
    await registry.change_settings.add_setting(setting, limit=1)
    await write_rows(store, 0, 5, 6)

    await RowCleanup(store.changes, registry, FakeClock()).forget()
    assert await values_of(store, 0, 1, 2, entity=ENTITY) == [5, 5, None]
