"""Rows of the registry: endpoints and their revisions, keys, ended sessions, replays."""

import asyncio
from contextlib import suppress

import msgspec
import pytest
from stores import START_MS, Engine, accept_events, claim, new_event, result

from commerce_event.core.ids import IdMaker, at_time
from commerce_event.core.model import AuditEntry, FieldChange, Key, Replay, Scope
from commerce_event.store.model import AUDIT_KEPT_MS, EndpointRow, NewDelivery, Page
from commerce_event.store.port import Store
from commerce_event.store.postgres import registry as postgres_registry
from commerce_event.store.sqlite import registry as sqlite_registry


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


async def test_put_endpoint_each_change_gets_the_next_config_version(store: Store) -> None:
    before = await store.registry.config_version()
    versions = [
        await store.registry.put_endpoint(row(7, b'{"a":1}')),
        await store.registry.put_endpoint(row(7, b'{"a":2}')),
    ]

    assert versions == [before + 1, before + 2]
    assert await store.registry.config_version() == versions[-1]
    [now] = await store.registry.endpoints()
    assert (now.revision, now.config, now.sealed) == (versions[-1], b'{"a":2}', b"\x00secret")


async def test_endpoint_revisions_are_those_of_the_config_version(store: Store) -> None:
    first = await store.registry.put_endpoint(row(7, b'{"a":1}'))
    second = await store.registry.put_endpoint(row(7, b'{"a":2}'))
    await store.registry.put_endpoint(row(8, b"{}"))
    deleted = await store.registry.put_endpoint(row(7, b'{"a":2}', deleted_ms=5))

    assert await store.registry.endpoint_revisions(1, first - 1) == []
    assert [each.config for each in await store.registry.endpoint_revisions(1, first)] == [b'{"a":1}']
    assert [each.config for each in await store.registry.endpoint_revisions(1, second)] == [b'{"a":2}']
    assert [(each.id, each.deleted_ms) for each in await store.registry.endpoint_revisions(1, deleted)] == [
        (7, 5),
        (8, None),
    ]
    assert await store.registry.endpoint_revisions(2, deleted) == []


async def test_endpoint_at_is_the_revision_of_that_time(store: Store) -> None:
    for updated_ms, config in ((10, b'{"a":1}'), (20, b'{"a":2}'), (20, b'{"a":3}'), (30, b'{"a":4}')):
        await store.registry.put_endpoint(msgspec.structs.replace(row(7, config), updated_ms=updated_ms))
    await store.registry.put_endpoint(msgspec.structs.replace(row(8, b"{}"), updated_ms=15))

    found = {at_ms: await store.registry.endpoint_at(7, at_ms) for at_ms in (9, 10, 19, 20, 29, 30, 99)}
    assert {at_ms: each and each.config for at_ms, each in found.items()} == {
        9: None, 10: b'{"a":1}', 19: b'{"a":1}', 20: b'{"a":3}', 29: b'{"a":3}', 30: b'{"a":4}', 99: b'{"a":4}',
    }  # fmt: skip
    assert {each.sealed for each in found.values() if each} == {b""}
    assert await store.registry.endpoint_at(9, 99) is None


async def test_endpoint_at_before_too_many_changes_is_unknown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in (sqlite_registry, postgres_registry):
        monkeypatch.setattr(engine, "REVISIONS_MAX", 3)
    for updated_ms in (10, 20, 30, 40):
        await store.registry.put_endpoint(msgspec.structs.replace(row(7, b"{}"), updated_ms=updated_ms))

    assert await store.registry.endpoint_at(7, 19) is None
    found = await store.registry.endpoint_at(7, 20)
    assert found is not None
    assert found.updated_ms == 20


async def test_endpoint_revisions_hold_no_secrets(store: Store) -> None:
    version = await store.registry.put_endpoint(row(7, b"{}"))

    assert [each.sealed for each in await store.registry.endpoint_revisions(1, version)] == [b""]


async def test_put_key_stores_and_replaces_keys(engine: Engine) -> None:
    store = await engine.open()
    key = Key(id=3, role="publish", client_ids=(1, 2), name="shop", digest=b"\x01" * 32, created_ms=5, expires_ms=8)
    everyone = Key(id=4, role="admin", client_ids=None, name="", digest=b"\x02" * 32, created_ms=6)
    await store.registry.put_key(key)
    await store.registry.put_key(everyone)
    revoked = Key(**{**{name: getattr(key, name) for name in key.__struct_fields__}, "revoked_ms": 9})
    await store.registry.put_key(revoked)
    await store.close()
    store = await engine.open()

    assert await store.registry.keys() == [revoked, everyone]


async def test_replays_are_stored_and_listed_within_the_scope(store: Store) -> None:
    await store.queue.put_replay(replay(1))
    await store.queue.put_replay(replay(2, client=2))
    await store.queue.put_replay(replay(1, state="done", queued=5))

    assert await store.history.replay(1) == replay(1, state="done", queued=5)
    assert await store.history.replay(99) is None
    assert [each.id for each in await store.history.replays(Scope.of(1), Page(10))] == [1]
    assert [each.id for each in await store.history.replays(Scope.everyone(), Page(10), running=True)] == [2]


async def test_replays_running_are_listed_oldest_first_others_newest_first(store: Store) -> None:
    for number in (1, 2, 3):
        await store.queue.put_replay(replay(number))

    assert [each.id for each in await store.history.replays(Scope.of(1), Page(2), running=True)] == [1, 2]
    assert [each.id for each in await store.history.replays(Scope.of(1), Page(2))] == [3, 2]


async def test_replays_of_one_event_are_counted_separately(store: Store) -> None:
    event = new_event(7)
    await accept_events(store, [event])
    ids = IdMaker(after=await store.last_id())
    for number in (1, 2):
        delivery = NewDelivery(ids.next(START_MS), 7)
        await store.queue.add_deliveries([delivery], [event.id], replay=replay(number, queued=1), now_ms=START_MS)

    assert await store.history.replay_states(1) == await store.history.replay_states(2) == {"pending": 1}
    assert await store.history.replay_states(3) == {}
    [book] = await store.history.delivery_counts(Scope.everyone(), recount=True)
    assert (book.matched, book.pending) == (3, 3)
    audit = await store.maintenance.verify_counts(after_id=0, limit=10)
    assert audit.wrong == ()


async def test_put_endpoint_after_reopening_keeps_every_byte(engine: Engine) -> None:
    store = await engine.open()
    first = msgspec.structs.replace(row(7, '{"url":"https://å.example/?a=1"}'.encode()), sealed=bytes(range(256)))
    await store.registry.put_endpoint(first)
    second = msgspec.structs.replace(first, updated_ms=99, deleted_ms=100, config=b"{}")
    version = await store.registry.put_endpoint(second)
    await store.close()
    store = await engine.open()

    assert await store.registry.endpoints() == [msgspec.structs.replace(second, revision=version)]
    [then] = await store.registry.endpoint_revisions(1, version - 1)
    assert (then.config, then.revision, then.deleted_ms) == (first.config, version - 1, None)
    assert await store.registry.config_version() == version


async def test_put_key_gets_the_next_config_version(store: Store) -> None:
    before = await store.registry.put_endpoint(row(7, b"{}"))
    version = await store.registry.put_key(
        Key(id=3, role="read", client_ids=(), name="n", digest=b"\x00\xff", created_ms=5, revoked_ms=None)
    )

    assert version == before + 1 == await store.registry.config_version()
    assert [each.client_ids for each in await store.registry.keys()] == [()]  # none at all is not every one


async def test_key_uses_keep_the_latest_and_change_no_version(engine: Engine) -> None:
    store = await engine.open()
    before = await store.registry.config_version()
    for uses in ({3: 10, 4: 20}, {3: 9, 4: 21}, {}):
        await store.registry.note_key_uses(uses)
    await store.close()
    store = await engine.open()

    assert await store.registry.key_uses() == {3: 10, 4: 21}
    assert await store.registry.config_version() == before


async def test_client_names_are_set_changed_and_removed_with_the_next_version(store: Store) -> None:
    before = await store.registry.config_version()
    versions = [
        await store.registry.put_client_name(client_id, name)
        for client_id, name in ((7, "Acme"), (8, "Åland & Co"), (7, "Acme Ltd"), (8, None), (9, None))
    ]

    assert versions == [before + n for n in range(1, 6)]
    assert await store.registry.client_names() == {7: "Acme Ltd"}


async def test_ended_sessions_are_kept_until_they_expire(engine: Engine) -> None:
    store = await engine.open()
    before = await store.registry.config_version()
    versions = [
        await store.registry.end_session(name, ends_ms=ends_ms, now_ms=5) for name, ends_ms in (("a", 10), ("b", 20))
    ]

    assert versions == [before + 1, before + 2]
    await store.close()
    store = await engine.open()
    assert await store.registry.ended_sessions() == {"a", "b"}
    for _ in range(2):
        await store.registry.end_session("c", ends_ms=30, now_ms=10)
    assert await store.registry.ended_sessions() == {"b", "c"}


async def test_endpoint_revisions_leave_out_other_clients(store: Store) -> None:
    await store.registry.put_endpoint(row(7, b"{}", client=1))
    version = await store.registry.put_endpoint(row(8, b"{}", client=2))

    assert [each.id for each in await store.registry.endpoint_revisions(1, version)] == [7]
    assert [each.id for each in await store.registry.endpoint_revisions(2, version)] == [8]


async def test_replays_are_paged_newest_first(store: Store) -> None:
    for number in range(1, 6):
        await store.queue.put_replay(replay(number))
    pages = [await store.history.replays(Scope.of(1), Page(2, before)) for before in (None, 4, 2)]

    assert [[each.id for each in page] for page in pages] == [[5, 4], [3, 2], [1]]
    assert await store.history.replays(Scope.of(), Page(9)) == []


async def test_add_deliveries_stores_replay_and_deliveries_together_or_not_at_all(store: Store) -> None:
    event = new_event(7)
    await accept_events(store, [event])
    taken = event.deliveries[0].id
    await store.queue.put_replay(replay(1))
    with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the engine's affair
        await store.queue.add_deliveries(
            [NewDelivery(new_event().id, 7), NewDelivery(taken, 7)], [event.id] * 2,
            replay=replay(1, state="done", queued=2), now_ms=START_MS,
        )  # fmt: skip

    assert await store.history.replay(1) == replay(1)
    assert await store.history.replay_states(1) == {}
    [book] = await store.history.delivery_counts(Scope.everyone(), recount=True)
    assert (book.matched, book.pending) == (1, 1)


async def test_add_deliveries_concurrent_steps_of_a_replay_are_made_once(store: Store) -> None:
    event = new_event(7)
    await accept_events(store, [event])
    await store.queue.put_replay(replay(1))
    step = msgspec.structs.replace(replay(1), cursor=event.id, looked_at=1, queued=1)

    async def make() -> None:
        await store.queue.add_deliveries(
            [NewDelivery(new_event().id, 7)], [event.id], replay=step, now_ms=START_MS, expected_cursor=0
        )  # fmt: skip

    await asyncio.gather(*(make() for _ in range(8)))

    assert await store.history.replay(1) == step
    assert await store.history.replay_states(1) == {"pending": 1}
    [book] = await store.history.delivery_counts(Scope.everyone(), recount=True)
    assert (book.matched, book.pending) == (2, 2)


async def test_requeue_concurrent_steps_of_a_replay_are_made_once(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [dead] = await claim(store, 7)
    await store.queue.settle([result(dead, "dead", reason="gone")])
    await store.queue.put_replay(replay(1))
    step = msgspec.structs.replace(replay(1), cursor=dead.delivery_id, looked_at=1)
    counts = await asyncio.gather(
        *(store.queue.requeue([dead.delivery_id], now_ms=START_MS, replay=step, expected_cursor=0) for _ in range(8))
    )

    assert sorted(counts) == [0] * 7 + [1]
    assert await store.history.replay(1) == msgspec.structs.replace(step, queued=1)


async def test_replay_that_ended_gets_no_further_step_or_state(store: Store) -> None:
    event = new_event(7)
    await accept_events(store, [event])
    done = replay(1, state="done", queued=5)
    await store.queue.put_replay(done)
    delivery = NewDelivery(new_event().id, 7)
    await store.queue.add_deliveries(
        [delivery], [event.id], replay=replay(1, queued=6), now_ms=START_MS, expected_cursor=0
    )
    await store.queue.put_replay(replay(1, state="cancelled"), expected_cursor=0)

    assert await store.history.replay(1) == done
    assert await store.history.replay_states(1) == {}


@pytest.mark.parametrize(
    ("present", "state", "is_stored"),
    [
        ("running", "running", True), ("running", "cancelling", True), ("running", "done", True),
        ("done", "cancelling", True), ("done", "running", False), ("cancelling", "cancelling", True),
        ("cancelling", "cancelled", True), ("cancelling", "running", False), ("cancelling", "done", False),
        ("cancelled", "running", False), ("cancelled", "cancelling", False),
    ],
)  # fmt: skip
async def test_put_replay_at_the_expected_cursor_never_resumes_what_was_cancelled(
    store: Store, present: str, state: str, is_stored: bool
) -> None:
    await store.queue.put_replay(replay(1, state=present))
    step = replay(1, state=state, queued=3)

    assert await store.queue.put_replay(step, expected_cursor=1) is False
    assert await store.queue.put_replay(step, expected_cursor=0) is is_stored
    assert await store.history.replay(1) == (step if is_stored else replay(1, state=present))
    assert await store.queue.put_replay(replay(2), expected_cursor=0) is False


async def test_replays_running_include_those_that_are_being_cancelled(store: Store) -> None:
    for number, state in enumerate(("running", "cancelling", "done", "cancelled"), 1):
        await store.queue.put_replay(replay(number, state=state))

    assert [each.id for each in await store.history.replays(Scope.of(1), Page(9), running=True)] == [1, 2]


async def test_add_deliveries_makes_a_new_delivery_of_the_same_event(store: Store) -> None:
    event = new_event(7, body=b'{ "n": 1 }')
    [answer] = await accept_events(store, [event])
    await store.queue.settle([result(each) for each in await claim(store, 7)])
    delivery = NewDelivery(new_event().id, 8)  # an endpoint that was not there then
    await store.queue.add_deliveries([delivery], [event.id], replay=replay(1, queued=1), now_ms=START_MS)

    [claimed] = await claim(store, 8)
    assert (claimed.delivery_id, claimed.replay_id, claimed.number) == (delivery.id, 1, 1)
    assert (claimed.event_id, claimed.sequence, claimed.body) == (event.id, answer.sequence, event.body)
    stored = await store.history.event(event.id, Scope.everyone())
    assert stored is not None
    assert stored.match_count == 1  # what it was born with


async def test_add_deliveries_skips_expired_events(store: Store) -> None:
    gone, there = new_event(at_ms=1), new_event(7)
    await accept_events(store, [gone, there])
    await store.maintenance.expire(before_ms=10, limit=1)
    deliveries = [NewDelivery(new_event().id, 7), NewDelivery(new_event().id, 7)]
    with suppress(Exception):  # refusing the whole step is as good
        await store.queue.add_deliveries(deliveries, [gone.id, there.id], replay=replay(1, queued=2), now_ms=START_MS)

    while claimed := await claim(store, 7):
        await store.queue.settle([result(each) for each in claimed])
    [book] = await store.history.delivery_counts(Scope.everyone(), recount=True)
    assert (book.pending, book.difference) == (0, 0)


def audit_entry(number: int, client: int | None = 1, *, target: str = "end_1", at_ms: int = START_MS) -> AuditEntry:
    return AuditEntry(number, at_ms, client, 4, "support", "changeEndpoint", target, "reject → warn")


async def test_audit_entries_are_listed_newest_first_within_the_scope(store: Store) -> None:
    entries = [audit_entry(at_time(START_MS) + n, client, target=f"end_{n}") for n, client in enumerate((1, 2, None))]
    for each in entries:
        await store.audit_log.add(each)

    assert await store.audit_log.entries(Scope.everyone(), Page(10)) == entries[::-1]
    assert await store.audit_log.entries(Scope.everyone(), Page(10, before=entries[2].id)) == entries[1::-1]
    assert await store.audit_log.entries(Scope.everyone(), Page(1)) == [entries[2]]
    assert await store.audit_log.entries(Scope.of(1), Page(10)) == [entries[0]]
    assert await store.audit_log.entries(Scope.of(2), Page(10), target="end_0") == []
    assert await store.last_id() == entries[2].id


async def test_audit_entry_keeps_name_and_changes_within_the_scope(store: Store) -> None:
    changes = (FieldChange("paused", False, True), FieldChange("event_types", ["*"], ["Order", "Customer"]))
    entry = msgspec.structs.replace(audit_entry(5), name="shop ✓", changes=changes)
    await store.audit_log.add(entry)

    assert await store.audit_log.entry(5, Scope.of(1)) == entry
    assert await store.audit_log.entries(Scope.of(1), Page(10)) == [entry]
    assert await store.audit_log.entry(5, Scope.of(2)) is None
    assert await store.audit_log.entry(6, Scope.everyone()) is None


async def test_audit_entries_expire(store: Store) -> None:
    later_ms = START_MS + AUDIT_KEPT_MS + 1
    await store.audit_log.add(audit_entry(at_time(START_MS)))
    await store.audit_log.add(audit_entry(at_time(later_ms), at_ms=later_ms))

    assert [each.at_ms for each in await store.audit_log.entries(Scope.everyone(), Page(10))] == [later_ms]
