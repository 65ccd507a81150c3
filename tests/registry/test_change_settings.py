"""Event settings and change sources in the registry: changed one at a time, and read from other nodes."""

import asyncio
from typing import Any

import msgspec
import pytest
from stores import START_MS

from commerce_event.core.changes.model import ChangeSource, EventSetting, TableMapping
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Scope
from commerce_event.core.vault import Vault
from commerce_event.registry.change_settings import LimitReachedError
from commerce_event.registry.registry import Registry
from commerce_event.store.port import SettingExistsError, Store

EVERYONE = Scope.everyone()
CUSTOMER = "tClientCustomer"


def setting(number: int, client_id: int = 1, **fields: Any) -> EventSetting:
    wanted = {"event_type": "CustomerChangedNotification", "entity": CUSTOMER, **fields}
    return EventSetting(id=number, client_id=client_id, **wanted)


def source(name: str, client_id: int | None = 1, **fields: Any) -> ChangeSource:
    tables = {"public.customer": TableMapping(entity=CUSTOMER, key={"CustomerId": "id"})}
    return ChangeSource(name=name, client_id=client_id, tables=tables, **fields)


async def loaded(store: Store) -> Registry:
    made = Registry(store, Vault(b"k" * 32), IdMaker())
    await made.load()
    return made


@pytest.fixture
async def registry(store: Store) -> Registry:
    return await loaded(store)


def ids(registry: Registry, client_id: int = 1) -> list[int]:
    return [active.setting.id for active in registry.active_settings(client_id, CUSTOMER, None)]


async def test_add_setting_counts_at_once_and_after_load(store: Store, registry: Registry) -> None:
    saved = await registry.change_settings.add_setting(setting(5, active_since_ms=START_MS), limit=9)

    other = await loaded(store)
    for each in (registry, other):
        assert ids(each) == [5]
        assert each.tracked_since(1, CUSTOMER) == START_MS
        assert each.change_settings.settings(EVERYONE) == [saved]
    assert saved.revision == registry.version == other.version


async def test_add_setting_concurrent_calls_keep_to_the_limit_of_a_client(registry: Registry) -> None:
    wanted = [setting(number, application_id=number) for number in range(1, 9)]
    answers = await asyncio.gather(
        *(registry.change_settings.add_setting(each, limit=3) for each in wanted), return_exceptions=True
    )

    assert len([each for each in answers if isinstance(each, LimitReachedError)]) == 5
    assert len(registry.change_settings.settings(EVERYONE)) == 3
    await registry.change_settings.add_setting(setting(20, client_id=2), limit=3)


async def test_add_setting_of_the_same_client_type_and_entity_is_refused(store: Store, registry: Registry) -> None:
    other = await loaded(store)
    await other.change_settings.add_setting(setting(5), limit=9)

    with pytest.raises(SettingExistsError):
        await registry.change_settings.add_setting(setting(6), limit=9)
    assert ids(registry) == [5]


async def test_settings_outside_the_scope_are_not_found(registry: Registry) -> None:
    for number, client_id in ((5, 1), (6, 2), (7, 3)):
        await registry.change_settings.add_setting(setting(number, client_id), limit=9)

    settings = registry.change_settings
    assert [each.id for each in settings.settings(Scope.of(3, 1))] == [5, 7]
    assert settings.setting_in(Scope.of(1), 6) is None
    assert settings.setting_in(Scope.of(2), 6) is not None
    assert settings.setting_in(EVERYONE, 8) is None


async def test_change_setting_after_another_nodes_change_applies_to_the_new_setting(
    store: Store, registry: Registry
) -> None:
    await registry.change_settings.add_setting(setting(5), limit=9)
    other = await loaded(store)
    await other.change_settings.change_setting(5, lambda found: msgspec.structs.replace(found, on_delete=False))

    changed = await registry.change_settings.change_setting(
        5, lambda found: msgspec.structs.replace(found, fields=("Name",))
    )

    assert changed is not None
    assert (changed.on_delete, changed.fields) == (False, ("Name",))


async def test_change_setting_concurrent_changes_of_two_nodes_are_all_kept(store: Store, registry: Registry) -> None:
    await registry.change_settings.add_setting(setting(5), limit=9)
    other = await loaded(store)

    def later(found: EventSetting) -> EventSetting:
        return msgspec.structs.replace(found, coalesce_s=found.coalesce_s + 1)

    nodes = [registry, other] * 8
    await asyncio.gather(*(node.change_settings.change_setting(5, later) for node in nodes))

    await registry.refresh()
    found = registry.change_settings.setting_in(EVERYONE, 5)
    assert found is not None
    assert found.coalesce_s == 16


async def test_change_setting_deleted_by_another_node_returns_none(store: Store, registry: Registry) -> None:
    await registry.change_settings.add_setting(setting(5), limit=9)
    other = await loaded(store)
    await other.change_settings.delete_setting(5, START_MS)

    assert await registry.change_settings.change_setting(5, lambda found: found) is None


async def test_change_setting_that_raises_stores_nothing(registry: Registry) -> None:
    saved = await registry.change_settings.add_setting(setting(5), limit=9)

    def refused(_: EventSetting) -> EventSetting:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await registry.change_settings.change_setting(5, refused)
    assert registry.change_settings.setting_in(EVERYONE, 5) == saved
    assert await registry.change_settings.change_setting(6, refused) is None


async def test_delete_setting_ends_it_on_every_node(store: Store, registry: Registry) -> None:
    await registry.change_settings.add_setting(setting(5), limit=1)
    other = await loaded(store)
    kept = other.active_settings(1, CUSTOMER, None)
    await registry.change_settings.delete_setting(5, START_MS)
    assert ids(registry) == []
    assert other.active_settings(1, CUSTOMER, None) is kept

    await other.refresh()
    assert ids(other) == []
    assert other.tracked_since(1, CUSTOMER) is None
    await other.change_settings.add_setting(setting(6), limit=1)
    assert await registry.change_settings.delete_setting(5, START_MS) is None


async def test_refresh_reads_only_changed_settings(store: Store, registry: Registry) -> None:
    for number in (5, 6):
        await registry.change_settings.add_setting(setting(number, client_id=number), limit=9)
    other = await loaded(store)
    kept = other.active_settings(5, CUSTOMER, None)
    await registry.change_settings.change_setting(6, lambda found: msgspec.structs.replace(found, enabled=False))

    await other.refresh()

    assert other.active_settings(5, CUSTOMER, None) is kept
    assert ids(other, 6) == []
    assert other.change_settings.settings(EVERYONE) == registry.change_settings.settings(EVERYONE)


async def test_put_source_is_read_by_other_nodes(store: Store, registry: Registry) -> None:
    other = await loaded(store)
    seen: list[ChangeSource | None] = []

    def renewed(found: ChangeSource | None) -> ChangeSource:
        seen.append(found)
        return source("erp", created_ms=START_MS)

    saved = await registry.change_settings.put_source("erp", renewed, limit=1)
    await other.refresh()
    assert registry.source("erp") == other.source("erp") == saved
    assert saved.revision == registry.version

    again = await other.change_settings.put_source("erp", renewed, limit=1)
    assert seen == [None, saved]
    assert again.revision == other.version > saved.revision

    await other.change_settings.delete_source("erp")
    await registry.refresh()
    assert registry.source("erp") is other.source("erp") is None


async def test_refresh_reads_only_changed_sources(store: Store, registry: Registry) -> None:
    await registry.change_settings.put_source("a", lambda _: source("a"), limit=9)
    await registry.change_settings.put_source("b", lambda _: source("b"), limit=9)
    await registry.change_settings.put_source("c", lambda _: source("c"), limit=9)
    other = await loaded(store)
    kept = other.source("a")
    changed = await registry.change_settings.put_source("c", lambda _: source("c", client_id=5), limit=9)
    await registry.change_settings.delete_source("b")

    await other.refresh()

    assert other.source("a") is kept
    assert other.source("c") == changed
    assert [each.name for each in other.change_settings.sources(EVERYONE)] == ["a", "c"]


async def test_put_source_of_another_nodes_name_is_a_change(store: Store, registry: Registry) -> None:
    """The other node creates it after this one has looked."""
    other = await loaded(store)
    seen: list[ChangeSource | None] = []
    read = other.change_settings._refresh

    async def refreshed() -> None:
        await read()
        if not seen:
            await registry.change_settings.put_source("erp", lambda _: source("erp"), limit=9)

    other.change_settings._refresh = refreshed

    def renewed(found: ChangeSource | None) -> ChangeSource:
        seen.append(found)
        return source("erp", client_id=4)

    await other.change_settings.put_source("erp", renewed, limit=9)

    assert seen == [None, registry.source("erp")]


async def test_put_source_beyond_the_limit_of_its_client_is_refused(registry: Registry) -> None:
    put = registry.change_settings.put_source
    await put("a", lambda _: source("a"), limit=1)
    with pytest.raises(LimitReachedError):
        await put("b", lambda _: source("b"), limit=1)
    await put("a", lambda _: source("a", updated_ms=1), limit=1)
    await put("c", lambda _: source("c", None, client_column="client"), limit=1)
    await put("d", lambda _: source("d", 2), limit=1)

    assert [each.name for each in registry.change_settings.sources(EVERYONE)] == ["a", "c", "d"]
    assert [each.name for each in registry.change_settings.sources(Scope.of(1))] == ["a"]
