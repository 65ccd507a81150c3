"""Event settings and change sources."""

import asyncio
from typing import Any

import msgspec
import pytest

from commerce_event.core.changes.model import ChangeSource, EventSetting, SourceState, TableMapping
from commerce_event.store.model import ChangeBatch, PositionWrite
from commerce_event.store.port import SettingChangedError, SettingExistsError, SourceExistsError, Store

replace = msgspec.structs.replace


def new_setting(setting_id: int, client: int = 1, **fields: Any) -> EventSetting:
    given: dict[str, Any] = {"event_type": "SkuChangedNotification", "entity": "Skus", "created_ms": 1, "updated_ms": 2}
    return EventSetting(id=setting_id, client_id=client, **(given | fields))


SOURCE = ChangeSource(
    name="erp",
    client_id=None,
    client_column="client",
    tables={
        "public.sku": TableMapping(
            entity="Skus", key={"SkuId": "id"}, fields={"Name": "näme"}, application_id={"column": "app"}
        ),
        "public.customer": TableMapping(entity="Customers", key={"CustomerId": "id"}, application_id=4),
    },
    created_ms=1,
    updated_ms=2,
)


async def test_setting_reads_back_as_it_was_put(store: Store) -> None:
    made = [
        new_setting(5),
        new_setting(
            6, 2, application_id=3, enabled=False, on_insert=False, on_update=False, on_delete=False, fields=("a\0", "Ü"),
            filter={"$.after.Price": [{"numeric": [">", 1.5]}]}, coalesce_s=0.5, active_since_ms=7, deleted_ms=9,
        ),
        new_setting(7, 2, fields=()),
    ]  # fmt: skip
    versions = [await store.change_settings.put_setting(each) for each in made]
    assert versions == sorted(set(versions))
    assert await store.registry.config_version() == versions[-1]
    kept = [replace(each, revision=version) for each, version in zip(made, versions, strict=True)]
    assert await store.change_settings.settings() == kept
    assert await store.change_settings.settings(since_version=versions[0]) == kept[1:]
    assert await store.change_settings.settings(since_version=versions[2]) == []
    assert await store.last_id() >= 7


async def test_settings_at_are_those_of_that_config_version(store: Store) -> None:
    first = new_setting(5)
    one = await store.change_settings.put_setting(first)
    two = await store.change_settings.put_setting(replace(first, enabled=False))
    three = await store.change_settings.put_setting(new_setting(6, entity="Customers"))
    await store.change_settings.put_setting(new_setting(7, 2))
    four = await store.change_settings.put_setting(replace(first, deleted_ms=3))

    settings_at = store.change_settings.settings_at
    assert await settings_at(1, one - 1) == []
    assert await settings_at(1, one) == [replace(first, revision=one)]
    assert await settings_at(1, two) == [replace(first, revision=two, enabled=False)]
    assert [each.id for each in await settings_at(1, three)] == [5, 6]
    assert [each.deleted_ms for each in await settings_at(1, four + 9)] == [3, None]
    assert [each.id for each in await settings_at(2, four)] == [7]


async def test_change_of_another_revision_of_a_setting_is_refused(store: Store) -> None:
    put = store.change_settings.put_setting
    first = await put(new_setting(5))
    second = await put(replace(new_setting(5), enabled=False), expected_revision=first)
    for changed, expected in ((new_setting(5), first), (new_setting(6, 2), 1)):
        with pytest.raises(SettingChangedError):
            await put(changed, expected_revision=expected)
    assert await store.registry.config_version() == second
    assert [(each.id, each.enabled) for each in await store.change_settings.settings()] == [(5, False)]


async def test_second_setting_of_the_same_thing_is_refused(store: Store) -> None:
    put = store.change_settings.put_setting
    await put(new_setting(5))
    version = await store.registry.config_version()
    with pytest.raises(SettingExistsError):
        await put(new_setting(6))
    assert await store.registry.config_version() == version
    assert [each.id for each in await store.change_settings.settings()] == [5]

    others: list[dict[str, Any]] = [
        {"application_id": 0}, {"application_id": -1}, {"client": 2}, {"entity": "Customers"}, {"event_type": "X"}
    ]  # fmt: skip
    for number, fields in enumerate(others):
        await put(new_setting(10 + number, **fields))
    with pytest.raises(SettingExistsError):
        await put(new_setting(6, application_id=0))
    await put(new_setting(5, enabled=False))
    await put(new_setting(5, deleted_ms=3))
    await put(new_setting(6))
    await put(new_setting(7, deleted_ms=4))
    with pytest.raises(SettingExistsError):
        await put(new_setting(5))


async def test_settings_of_the_same_thing_at_the_same_time_have_one_winner(store: Store) -> None:
    made = [store.change_settings.put_setting(new_setting(number)) for number in range(20, 30)]
    answers = await asyncio.gather(*made, return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["SettingExistsError"] * 9 + ["int"]


async def test_source_reads_back_as_it_was_put(store: Store) -> None:
    other = ChangeSource(name="Ü", client_id=4, tables={})
    versions = [await store.change_settings.put_source(each, is_new=True) for each in (SOURCE, other)]
    kept = [replace(SOURCE, revision=versions[0]), replace(other, revision=versions[1])]
    assert await store.change_settings.sources() == kept
    assert await store.change_settings.sources([kept[1].name, "unknown"]) == kept[1:]
    assert await store.change_settings.sources([]) == []
    assert await store.change_settings.source_revisions() == {each.name: each.revision for each in kept}
    with pytest.raises(SourceExistsError):
        await store.change_settings.put_source(SOURCE, is_new=True)
    assert await store.registry.config_version() == versions[1]
    changed = replace(SOURCE, client_id=8, client_column=None, tables={})
    version = await store.change_settings.put_source(changed)
    assert await store.change_settings.sources() == [replace(changed, revision=version), kept[1]]


async def test_state_of_a_source_is_kept_without_a_config_version(store: Store) -> None:
    version = await store.change_settings.put_source(SOURCE)
    assert await store.change_settings.source_states() == {}
    await store.change_settings.report_source("erp", '{"lag":"\\u0000"}', now_ms=5)
    await store.changes.accept(ChangeBatch(positions=[PositionWrite(source="erp", position="0/1", expected=None)]), [])
    reported = SourceState(position="0/1", report='{"lag":"\\u0000"}', reported_ms=5)
    assert await store.change_settings.source_states() == {"erp": reported}
    await store.change_settings.reset_position("erp", "0/9")
    await store.change_settings.report_source("erp", "{}", now_ms=6)
    assert await store.change_settings.source_states() == {
        "erp": SourceState(position="0/9", report="{}", reported_ms=6)
    }
    await store.change_settings.reset_position("erp", None)
    await store.changes.accept(ChangeBatch(positions=[PositionWrite(source="erp", position="0/2", expected=None)]), [])
    assert await store.registry.config_version() == version


async def test_source_created_again_has_no_position(store: Store) -> None:
    await store.change_settings.put_source(SOURCE, is_new=True)
    await store.change_settings.reset_position("erp", "0/9")
    await store.change_settings.delete_source("erp")
    assert await store.change_settings.sources() == []
    assert await store.change_settings.source_states() == {}
    await store.change_settings.report_source("erp", "{}", now_ms=5)  # a reader that did not know yet
    await store.change_settings.reset_position("erp", "0/10")
    await store.change_settings.put_source(SOURCE, is_new=True)
    assert await store.change_settings.source_states() == {}
    await store.change_settings.reset_position("erp", "0/11")
    await store.change_settings.put_source(SOURCE)
    assert (await store.change_settings.source_states())["erp"].position == "0/11"
