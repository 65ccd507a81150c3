"""The directory: endpoints and keys in memory, changed one at a time."""

import asyncio

import msgspec
import pytest
from stores import START_MS

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Scope, Secret
from commerce_event.core.vault import Vault, VaultError
from commerce_event.store.directory import Directory
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()
VAULT = Vault(b"k" * 32)


def endpoint(number: int = 7, client: int = 1) -> Endpoint:
    return Endpoint(
        id=number, client_id=client, url="https://a.example/", event_types=("*",), secrets=(Secret("whsec_x"),)
    )


@pytest.fixture
async def directory(store: Store) -> Directory:
    made = Directory(store, VAULT, IdMaker())
    await made.load()
    return made


async def test_deleting_wins_over_switching_off_at_the_same_moment(directory: Directory) -> None:
    for number in range(1, 6):
        await directory.save(endpoint(number))
        off = directory.switch_off(number, "gone", START_MS)
        await asyncio.gather(
            *([directory.delete(number, START_MS), off] if number % 2 else [off, directory.delete(number, START_MS)])
        )

        found = directory.endpoint(number)
        assert found is not None
        assert found.deleted_ms == START_MS
        assert found.secrets == ()


async def test_changes_at_the_same_moment_build_on_each_other(directory: Directory) -> None:
    await directory.save(endpoint())

    def one_more(found: Endpoint) -> Endpoint:
        return msgspec.structs.replace(found, max_in_flight=found.max_in_flight + 1)

    before = endpoint().max_in_flight
    await asyncio.gather(*(directory.change(7, one_more) for _ in range(20)))

    found = directory.endpoint(7)
    assert found is not None
    assert found.max_in_flight == before + 20


async def test_change_that_another_node_came_before_is_made_to_what_is_there_now(
    store: Store, directory: Directory
) -> None:
    await directory.save(endpoint())
    other = Directory(store, VAULT, IdMaker())
    await other.load()
    await other.change(7, lambda found: msgspec.structs.replace(found, max_in_flight=99))

    changed = await directory.change(7, lambda found: msgspec.structs.replace(found, description="mine"))

    assert changed is not None
    assert (changed.max_in_flight, changed.description) == (99, "mine")


async def test_endpoint_is_not_switched_off_for_what_it_was_before_another_node_changed_it(
    store: Store, directory: Directory
) -> None:
    before = await directory.save(endpoint())
    other = Directory(store, VAULT, IdMaker())
    await other.load()
    await other.change(7, lambda found: msgspec.structs.replace(found, url="https://mended.example/"))

    await directory.switch_off(7, "gone", START_MS, read=before.revision)
    found = directory.endpoint(7)
    assert found is not None
    assert (found.enabled, found.url) == (True, "https://mended.example/")


async def test_endpoint_deleted_by_another_node_stays_deleted(store: Store, directory: Directory) -> None:
    await directory.save(endpoint())
    other = Directory(store, VAULT, IdMaker())
    await other.load()
    await other.delete(7, START_MS)

    await directory.switch_off(7, "gone", START_MS)
    [row] = await store.endpoints()
    assert row.deleted_ms == START_MS
    found = directory.endpoint(7)
    assert found is not None
    assert (found.deleted_ms, found.secrets) == (START_MS, ())


async def test_changes_of_another_node_are_read_even_when_own_ones_came_after(
    store: Store, directory: Directory
) -> None:
    other = Directory(store, VAULT, IdMaker())
    await other.load()
    await other.save(endpoint(7))
    await directory.save(endpoint(8))

    await directory.refresh()
    assert [each.id for each in directory.endpoints(EVERYONE)] == [7, 8]
    _, text = await other.add_key("admin", None, "new", START_MS)
    await directory.refresh()
    assert directory.authenticate(text) is not None


async def test_client_gets_no_more_endpoints_than_allowed_however_many_ask_at_once(directory: Directory) -> None:
    made = await asyncio.gather(*(directory.add(endpoint(number), most=3) for number in range(1, 9)))

    assert len([each for each in made if each is not None]) == 3
    assert len(directory.endpoints(EVERYONE)) == 3


async def test_change_of_what_is_not_there_or_was_deleted_does_nothing(directory: Directory) -> None:
    await directory.save(endpoint())
    await directory.delete(7, START_MS)

    assert await directory.change(7, lambda found: found) is None
    assert await directory.change(8, lambda found: found) is None


async def test_failed_change_stores_nothing(directory: Directory) -> None:
    saved = await directory.save(endpoint())

    def refused(_: Endpoint) -> Endpoint:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await directory.change(7, refused)

    assert directory.endpoint(7) == saved


async def test_loading_again_shows_what_others_stored(directory: Directory, store: Store) -> None:
    other = Directory(store, VAULT, IdMaker(node=1))
    await other.load()
    await other.save(endpoint())
    key, text = await other.add_key("read", (1,), "", START_MS)

    await directory.load()

    assert [each.id for each in directory.endpoints(EVERYONE)] == [7]
    assert directory.authenticate(text) == key
    assert directory.version == other.version


async def test_only_what_was_changed_is_read_again(store: Store, directory: Directory) -> None:
    for number in (5, 7, 9):
        await directory.save(endpoint(number))
    other = Directory(store, VAULT, IdMaker())
    await other.load()
    kept = other.endpoint(5)
    await directory.save(msgspec.structs.replace(endpoint(7), enabled=False))
    await directory.delete(9, START_MS)
    await directory.save(endpoint(8))
    changed = await store.endpoints(since_version=other.version)

    await other.refresh()

    assert [row.id for row in changed] == [7, 8, 9]
    assert other.endpoint(5) is kept
    assert other.endpoints(EVERYONE) == directory.endpoints(EVERYONE)
    order = next(iter(EVENT_TYPES.values()))
    assert [each.id for each in other.match(1, order, None, {})] == [5, 8]
    assert other.match(1, order, None, {}) == directory.match(1, order, None, {})


async def test_a_damaged_row_takes_no_other_endpoint_with_it(directory: Directory, store: Store) -> None:
    for number in (7, 8, 9):
        await directory.save(endpoint(number))
    whole, secrets_lost, lost = await store.endpoints()
    await store.put_endpoint(msgspec.structs.replace(secrets_lost, sealed=b"damaged"))
    await store.put_endpoint(msgspec.structs.replace(lost, config=b'{"url": 5}'))

    await directory.load()

    found = {each.id: each for each in directory.endpoints(EVERYONE)}
    assert found[whole.id].secrets == endpoint().secrets
    assert (found[8].enabled, found[8].url, found[8].secrets) == (True, endpoint().url, ())
    assert (found[9].enabled, found[9].disabled_reason) == (False, "unreadable")


async def test_another_key_is_refused_rather_than_taken_for_damage(directory: Directory, store: Store) -> None:
    for number in (7, 8):
        await directory.save(endpoint(number))

    with pytest.raises(VaultError, match="cannot be opened"):
        await Directory(store, Vault(b"x" * 32), IdMaker()).load()
