"""Endpoints, their former forms, keys and replays as rows."""

from stores import START_MS, Engine, new_event

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Key, Replay, Scope
from commerce_event.store.port import EndpointRow, NewDelivery, Page, Store


def row(endpoint_id: int, config: bytes, *, client: int = 1, deleted_ms: int | None = None) -> EndpointRow:
    return EndpointRow(
        id=endpoint_id, client_id=client, revision=0, created_ms=1, updated_ms=2, deleted_ms=deleted_ms, config=config,
        sealed=b"\x00secret",
    )  # fmt: skip


def replay(number: int, *, client: int = 1, state: str = "running", queued: int = 0) -> Replay:
    return Replay(
        id=number, client_id=client, endpoint_id=7, since_ms=0, until_ms=START_MS, types=("OrderConfirmedEvent",),
        only="all", state=state, cursor=0, looked_at=0, queued=queued, created_ms=START_MS, finished_ms=None,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_every_change_of_an_endpoint_gets_the_next_config_version(store: Store) -> None:
    before = await store.config_version()
    versions = [await store.put_endpoint(row(7, b'{"a":1}')), await store.put_endpoint(row(7, b'{"a":2}'))]

    assert versions == [before + 1, before + 2]
    assert await store.config_version() == versions[-1]
    [now] = await store.endpoints()
    assert (now.revision, now.config, now.sealed) == (versions[-1], b'{"a":2}', b"\x00secret")


async def test_endpoints_are_found_as_they_stood_then(store: Store) -> None:
    first = await store.put_endpoint(row(7, b'{"a":1}'))
    second = await store.put_endpoint(row(7, b'{"a":2}'))
    await store.put_endpoint(row(8, b"{}"))
    deleted = await store.put_endpoint(row(7, b'{"a":2}', deleted_ms=5))

    assert await store.endpoint_revisions(1, first - 1) == []
    assert [each.config for each in await store.endpoint_revisions(1, first)] == [b'{"a":1}']
    assert [each.config for each in await store.endpoint_revisions(1, second)] == [b'{"a":2}']
    assert [(each.id, each.deleted_ms) for each in await store.endpoint_revisions(1, deleted)] == [(7, 5), (8, None)]
    assert await store.endpoint_revisions(2, deleted) == []


async def test_former_forms_hold_no_secrets(store: Store) -> None:
    version = await store.put_endpoint(row(7, b"{}"))

    assert [each.sealed for each in await store.endpoint_revisions(1, version)] == [b""]


async def test_keys_are_kept_and_changed(engine: Engine) -> None:
    store = await engine.open()
    key = Key(id=3, role="publish", client_ids=(1, 2), name="shop", digest=b"\x01" * 32, created_ms=5)
    everyone = Key(id=4, role="admin", client_ids=None, name="", digest=b"\x02" * 32, created_ms=6)
    await store.put_key(key)
    await store.put_key(everyone)
    revoked = Key(**{**{name: getattr(key, name) for name in key.__struct_fields__}, "revoked_ms": 9})
    await store.put_key(revoked)
    await store.close()
    store = await engine.open()

    assert await store.keys() == [revoked, everyone]


async def test_replays_are_kept_and_listed_within_the_scope(store: Store) -> None:
    await store.put_replay(replay(1))
    await store.put_replay(replay(2, client=2))
    await store.put_replay(replay(1, state="done", queued=5))

    assert await store.replay(1) == replay(1, state="done", queued=5)
    assert await store.replay(99) is None
    assert [each.id for each in await store.replays(Scope.of(1), Page(10))] == [1]
    assert [each.id for each in await store.replays(Scope.everyone(), Page(10), running=True)] == [2]


async def test_replaying_twice_gives_two_sets_counted_apart(store: Store) -> None:
    event = new_event(7)
    await store.accept([event])
    ids = IdMaker(after=await store.last_id())
    for number in (1, 2):
        delivery = NewDelivery(ids.next(START_MS), 7)
        await store.add_deliveries([delivery], [event.id], replay=replay(number, queued=1), now_ms=START_MS)

    assert await store.replay_states(1) == await store.replay_states(2) == {"pending": 1}
    assert await store.replay_states(3) == {}
    [book] = await store.books(Scope.everyone(), recount=True)
    assert (book.matched, book.pending) == (3, 3)
    audit = await store.audit(after_id=0, limit=10)
    assert audit.wrong == ()
