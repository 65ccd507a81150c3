"""The registry: endpoints and keys in memory, changed one at a time."""

import asyncio
from typing import Any

import msgspec
import pytest
from stores import START_MS, Engine, FakeClock

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.contract.own_types import own_type
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Scope, Secret, ValidationEntry
from commerce_event.core.vault import Vault, VaultError
from commerce_event.registry import registry as registry_module
from commerce_event.registry.own_types import OwnType, to_row
from commerce_event.registry.registry import OPERATOR_ID, Registry
from commerce_event.registry.sealed_rows import seal_row
from commerce_event.store.port import EventTypeExistsError, Store, StoreUnavailableError

EVERYONE = Scope.everyone()
VAULT = Vault(b"k" * 32)


def endpoint(number: int = 7, client: int = 1) -> Endpoint:
    return Endpoint(
        id=number, client_id=client, url="https://a.example/", event_types=("*",), secrets=(Secret("whsec_x"),)
    )


@pytest.fixture
async def registry(store: Store) -> Registry:
    made = Registry(store, VAULT, IdMaker())
    await made.load()
    return made


async def test_delete_concurrent_with_switch_off_wins(registry: Registry) -> None:
    for number in range(1, 6):
        await registry.save(endpoint(number))
        off = registry.switch_off(number, "gone", START_MS)
        await asyncio.gather(
            *([registry.delete(number, START_MS), off] if number % 2 else [off, registry.delete(number, START_MS)])
        )

        found = registry.endpoint(number)
        assert found is not None
        assert found.deleted_ms == START_MS
        assert found.secrets == ()


async def test_change_concurrent_changes_are_all_kept(registry: Registry) -> None:
    await registry.save(endpoint())

    def one_more(found: Endpoint) -> Endpoint:
        return msgspec.structs.replace(found, max_in_flight=found.max_in_flight + 1)

    before = endpoint().max_in_flight
    await asyncio.gather(*(registry.change(7, one_more) for _ in range(20)))

    found = registry.endpoint(7)
    assert found is not None
    assert found.max_in_flight == before + 20


async def test_change_after_another_nodes_change_applies_to_the_new_endpoint(store: Store, registry: Registry) -> None:
    await registry.save(endpoint())
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    await other.change(7, lambda found: msgspec.structs.replace(found, max_in_flight=99))

    changed = await registry.change(7, lambda found: msgspec.structs.replace(found, description="mine"))

    assert changed is not None
    assert (changed.max_in_flight, changed.description) == (99, "mine")


async def test_refresh_reads_validation_modes_of_another_node(store: Store, registry: Registry) -> None:
    order = EVENT_TYPES["OrderConfirmedEvent"]
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    assert await other.set_validation(ValidationEntry(client_id=1, event_type="Order", mode="warn"), limit=9)
    assert registry.validation_mode(1, order) == "reject"

    await registry.refresh()
    assert registry.validation_mode(1, order) == "warn"
    assert registry.validation_entries(EVERYONE) == other.validation_entries(EVERYONE)

    await registry.remove_validation(1, "Order")
    await other.refresh()
    assert (other.validation_mode(1, order), other.validation_entries(EVERYONE)) == ("reject", [])


async def test_switch_off_after_another_nodes_change_does_nothing(store: Store, registry: Registry) -> None:
    before = await registry.save(endpoint())
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    await other.change(7, lambda found: msgspec.structs.replace(found, url="https://mended.example/"))

    await registry.switch_off(7, "gone", START_MS, expected_revision=before.revision)
    found = registry.endpoint(7)
    assert found is not None
    assert (found.enabled, found.url) == (True, "https://mended.example/")


async def test_switch_off_endpoint_deleted_by_another_node_stays_deleted(store: Store, registry: Registry) -> None:
    await registry.save(endpoint())
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    await other.delete(7, START_MS)

    await registry.switch_off(7, "gone", START_MS)
    [row] = await store.registry.endpoints()
    assert row.deleted_ms == START_MS
    found = registry.endpoint(7)
    assert found is not None
    assert (found.deleted_ms, found.secrets) == (START_MS, ())


async def test_refresh_own_change_after_another_nodes_reads_both(store: Store, registry: Registry) -> None:
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    await other.save(endpoint(7))
    await registry.save(endpoint(8))

    await registry.refresh()
    assert [each.id for each in registry.endpoints(EVERYONE)] == [7, 8]
    _, text = await other.add_key("admin", None, "new", START_MS)
    await registry.refresh()
    assert registry.authenticate(text) is not None


async def test_add_concurrent_calls_keep_to_the_limit_of_a_client(registry: Registry) -> None:
    made = await asyncio.gather(*(registry.add(endpoint(number), limit=3) for number in range(1, 9)))

    assert len([each for each in made if each is not None]) == 3
    assert len(registry.endpoints(EVERYONE)) == 3


async def test_change_unknown_or_deleted_endpoint_returns_none(registry: Registry) -> None:
    await registry.save(endpoint())
    await registry.delete(7, START_MS)

    assert await registry.change(7, lambda found: found) is None
    assert await registry.change(8, lambda found: found) is None


async def test_change_that_raises_stores_nothing(registry: Registry) -> None:
    saved = await registry.save(endpoint())

    def refused(_: Endpoint) -> Endpoint:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await registry.change(7, refused)

    assert registry.endpoint(7) == saved


async def test_endpoint_at_is_the_state_of_that_time_without_secrets(registry: Registry) -> None:
    await registry.save(msgspec.structs.replace(endpoint(), updated_ms=10, properties=("Email",)))
    await registry.change(7, lambda found: msgspec.structs.replace(found, updated_ms=20, properties=None))
    await registry.delete(7, 30)

    found = {at_ms: await registry.endpoint_at(7, at_ms) for at_ms in (5, 10, 20, 30)}
    assert found[5] is None
    assert [each and (each.properties, each.secrets) for each in list(found.values())[1:]] == [
        (("Email",), ()), (None, ()), (None, ()),
    ]  # fmt: skip
    assert found[30] is registry.endpoint(7)
    assert await registry.endpoint_at(8, 10) is None


async def test_load_again_reads_endpoints_and_keys_of_another_node(registry: Registry, store: Store) -> None:
    other = Registry(store, VAULT, IdMaker(node=1))
    await other.load()
    await other.save(endpoint())
    key, text = await other.add_key("read", (1,), "", START_MS)

    await registry.load()

    assert [each.id for each in registry.endpoints(EVERYONE)] == [7]
    assert registry.authenticate(text) == key
    assert registry.version == other.version


async def test_refresh_reads_only_changed_endpoints(store: Store, registry: Registry) -> None:
    for number in (5, 7, 9):
        await registry.save(endpoint(number))
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    kept = other.endpoint(5)
    await registry.save(msgspec.structs.replace(endpoint(7), enabled=False))
    await registry.delete(9, START_MS)
    await registry.save(endpoint(8))
    changed = await store.registry.endpoints(since_version=other.version)

    await other.refresh()

    assert [row.id for row in changed] == [7, 8, 9]
    assert other.endpoint(5) is kept
    assert other.endpoints(EVERYONE) == registry.endpoints(EVERYONE)
    order = next(iter(EVENT_TYPES.values()))
    assert [each.id for each in other.match(1, order, None, {})] == [5, 8]
    assert other.match(1, order, None, {}) == registry.match(1, order, None, {})


async def test_load_damaged_row_leaves_other_endpoints_intact(registry: Registry, store: Store) -> None:
    for number in (7, 8, 9):
        await registry.save(endpoint(number))
    whole, secrets_lost, lost = await store.registry.endpoints()
    await store.registry.put_endpoint(msgspec.structs.replace(secrets_lost, sealed=b"damaged"))
    await store.registry.put_endpoint(msgspec.structs.replace(lost, config=b'{"url": 5}'))

    await registry.load()

    found = {each.id: each for each in registry.endpoints(EVERYONE)}
    assert found[whole.id].secrets == endpoint().secrets
    assert (found[8].enabled, found[8].url, found[8].secrets) == (True, endpoint().url, ())
    assert (found[9].enabled, found[9].disabled_reason) == (False, "unreadable")


async def test_load_with_another_secret_key_raises_vault_error(registry: Registry, store: Store) -> None:
    for number in (7, 8):
        await registry.save(endpoint(number))

    with pytest.raises(VaultError, match="cannot be decrypted"):
        await Registry(store, Vault(b"x" * 32), IdMaker()).load()


def own(name: str = "ExportDelivered", category: str = "Export", **properties: Any) -> OwnType:
    event_type = own_type(name, category, "event", "", {"properties": properties}, {"ClientId": 1})
    return OwnType(event_type=event_type, created_ms=START_MS, updated_ms=START_MS)


async def test_refresh_reads_own_types_of_another_node(store: Store, registry: Registry) -> None:
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    await registry.save(msgspec.structs.replace(endpoint(), event_types=("Export",)))
    await other.add_own_type(own(), limit=9)
    await other.add_own_type(own("Another"), limit=9)
    assert registry.catalogue.get("ExportDelivered") is None

    await registry.refresh()
    kept = registry.catalogue.types["Another"]
    [found] = registry.match(1, registry.catalogue.types["ExportDelivered"], None, {})
    assert found.id == 7

    await other.change_own_type(own(A={"type": "string"}))
    await registry.refresh()
    assert "A" in registry.catalogue.types["ExportDelivered"].properties
    assert registry.catalogue.types["Another"] is kept  # it did not change, so it was not read again

    await other.delete_own_type("ExportDelivered")
    await registry.refresh()
    assert registry.catalogue.get("ExportDelivered") is None


async def test_recreated_own_type_is_routed_by_its_new_category(registry: Registry) -> None:
    await registry.save(msgspec.structs.replace(endpoint(), event_types=("Export",)))
    await registry.add_own_type(own(), limit=9)
    assert registry.match(1, registry.catalogue.types["ExportDelivered"], None, {})

    await registry.delete_own_type("ExportDelivered")
    await registry.add_own_type(own(category="Other"), limit=9)

    assert registry.match(1, registry.catalogue.types["ExportDelivered"], None, {}) == ()


async def test_add_own_type_of_another_nodes_name_is_refused(store: Store, registry: Registry) -> None:
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    await other.add_own_type(own(), limit=9)

    with pytest.raises(EventTypeExistsError):
        await registry.add_own_type(own(), limit=9)
    assert await registry.add_own_type(own("Another"), limit=0) is None


async def test_own_type_with_a_schema_that_is_not_allowed_any_more_is_left_out(store: Store) -> None:
    row = to_row(own())
    await store.contract.put_own_type(msgspec.structs.replace(row, schema='{"$id": "x"}'))
    await store.contract.put_own_type(msgspec.structs.replace(row, name="Another"))
    registry = Registry(store, VAULT, IdMaker())
    await registry.load()

    assert [each.name for each in registry.catalogue.own] == ["Another"]


async def test_key_is_refused_from_its_expiry_on(store: Store) -> None:
    clock = FakeClock()
    registry = Registry(store, VAULT, IdMaker(), clock=clock)
    key, text = await registry.add_key("read", (1,), "", START_MS, expires_ms=START_MS + 1_000)
    _, other = await registry.add_key("read", (1,), "", START_MS)

    clock.ms = START_MS + 999
    assert (registry.authenticate(text), registry.key(key.id), registry.expired_ms(text)) == (key, key, None)
    clock.ms = START_MS + 1_000
    assert (registry.authenticate(text), registry.key(key.id), registry.expired_ms(text)) == (None, None, clock.ms)
    assert (registry.expired_ms(other), registry.expired_ms("unknown")) == (None, None)


async def test_key_uses_are_kept_in_memory_and_written_by_the_flush(store: Store) -> None:
    clock = FakeClock()
    registry = Registry(store, VAULT, IdMaker(), clock=clock, admin_key="operator")
    key, text = await registry.add_key("read", (1,), "", START_MS)
    registry.authenticate(text)
    registry.authenticate("operator")
    registry.note_use(OPERATOR_ID)

    assert await registry.key_uses() == {key.id: START_MS}
    assert await store.registry.key_uses() == {}
    await registry.flush_key_uses()
    assert await store.registry.key_uses() == {key.id: START_MS}
    clock.ms += 5
    registry.note_use(key.id)
    assert await registry.key_uses() == {key.id: START_MS + 5}


async def test_key_uses_that_cannot_be_written_are_kept_for_the_next_flush(engine: Engine) -> None:
    store = await engine.open()
    registry = Registry(store, VAULT, IdMaker(), clock=FakeClock())
    registry.note_use(3)
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await registry.flush_key_uses()
    await store.open()

    await registry.flush_key_uses()
    assert await store.registry.key_uses() == {3: START_MS}


async def test_client_names_are_read_by_other_nodes_and_within_the_scope(registry: Registry, store: Store) -> None:
    other = Registry(store, VAULT, IdMaker())
    await other.load()
    assert await registry.set_client_name(7, "Acme")
    assert await registry.set_client_name(8, "Shop")
    assert await registry.set_client_name(8, None)
    await other.refresh()

    for each in (registry, other):
        assert (each.client_name(7), each.client_name(8)) == ("Acme", None)
        assert (each.client_names(EVERYONE), each.client_names(Scope.of(8))) == ({7: "Acme"}, {})
        assert each.version == await store.registry.config_version()


async def test_set_client_name_beyond_the_limit_changes_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "CLIENT_NAMES_MAX", 1)
    assert await registry.set_client_name(7, "Acme")

    assert not await registry.set_client_name(8, "Shop")
    assert await registry.set_client_name(7, "Acme Ltd")
    assert await registry.set_client_name(8, None)
    assert registry.client_names(EVERYONE) == {7: "Acme Ltd"}


async def test_load_reads_paused_and_except_types_and_rows_that_lack_them(registry: Registry, store: Store) -> None:
    await registry.save(msgspec.structs.replace(endpoint(7), paused=True, except_types=("Customer",)))
    row = seal_row(endpoint(8), VAULT)
    config = msgspec.json.decode(row.config)
    former = {name: value for name, value in config.items() if name not in {"paused", "except_types"}}
    assert len(former) == len(config) - 2
    await store.registry.put_endpoint(msgspec.structs.replace(row, config=msgspec.json.encode(former)))
    await registry.load()

    first, second = registry.endpoints(EVERYONE)
    assert (first.paused, first.except_types, first.is_sending) == (True, ("Customer",), False)
    assert (second.paused, second.except_types, second.is_sending) == (False, (), True)
