"""Calls at the same time: each sees the other whole or not at all."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

import pytest
from stores import START_MS, Engine, accept_events, claim, new_event, result

from commerce_event.core.changes.model import ChangeSource, EventSetting
from commerce_event.core.model import AuditEntry, DeliveryKind, Key, Replay, Scope, ValidationEntry
from commerce_event.store.model import (
    ChangeBatch,
    ChangeQuery,
    ClaimRequest,
    DeliveryQuery,
    EndpointRow,
    EventQuery,
    NewDelivery,
    OwnTypeRow,
    Page,
    RefusalQuery,
)
from commerce_event.store.port import Store, StoreUnavailableError

EVERYONE = Scope.everyone()
REPLAY = Replay(
    id=900, client_id=1, endpoint_id=7, since_ms=0, until_ms=1, types=(), only="all", state="running", cursor=0,
    looked_at=0, queued=0, created_ms=0, finished_ms=None,
)  # fmt: skip
ROW = EndpointRow(
    id=7, client_id=1, revision=0, created_ms=1, updated_ms=1, deleted_ms=None, config=b"{}", sealed=b""
)  # fmt: skip
ENTRY = AuditEntry(5, 1, 1, 3, "", "changeEndpoint", "end_7")
OWN_TYPE = OwnTypeRow(
    name="ExportDelivered", category="Export", kind="event", description="", schema="{}", example="{}", revision=0,
    created_ms=1, updated_ms=1,
)  # fmt: skip
VALIDATION = ValidationEntry(client_id=1, event_type="*", mode="warn")
ROW_KEY = '["Customers",null,{"CustomerId":1}]'
SETTING = EventSetting(id=5, client_id=1, event_type="CustomerUpdatedNotification", entity="Customers")
SOURCE = ChangeSource(name="erp", client_id=1, tables={})
KEY = Key(id=3, role="read", client_ids=(1,), name="", digest=b"\x01", created_ms=1)

CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "info": lambda store: store.info(),
    "last_id": lambda store: store.last_id(),
    "journal.accept": lambda store: accept_events(store, [new_event(7)]),
    "queue.backlog": lambda store: store.queue.backlog(),
    "queue.claim": lambda store: claim(store, 7),
    "queue.settle": lambda store: store.queue.settle([]),
    "queue.release_claims": lambda store: store.queue.release_claims([], now_ms=1),
    "queue.finish_pending": lambda store: store.queue.finish_pending(7, state="dead", reason="x", now_ms=1, limit=1),
    "queue.requeue": lambda store: store.queue.requeue([1], now_ms=1),
    "queue.cancel": lambda store: store.queue.cancel([1], reason="x", now_ms=1),
    "queue.add_deliveries": lambda store: store.queue.add_deliveries([], [], replay=REPLAY, now_ms=1),
    "registry.put_endpoint": lambda store: store.registry.put_endpoint(ROW),
    "registry.endpoints": lambda store: store.registry.endpoints(),
    "registry.endpoint_revisions": lambda store: store.registry.endpoint_revisions(1, 1),
    "registry.endpoint_at": lambda store: store.registry.endpoint_at(7, 1),
    "registry.config_version": lambda store: store.registry.config_version(),
    "registry.put_key": lambda store: store.registry.put_key(KEY),
    "registry.keys": lambda store: store.registry.keys(),
    "registry.note_key_uses": lambda store: store.registry.note_key_uses({3: 1}),
    "registry.key_uses": lambda store: store.registry.key_uses(),
    "registry.put_client_name": lambda store: store.registry.put_client_name(1, "Acme"),
    "registry.client_names": lambda store: store.registry.client_names(),
    "registry.end_session": lambda store: store.registry.end_session("s", ends_ms=2, now_ms=1),
    "registry.ended_sessions": lambda store: store.registry.ended_sessions(),
    "contract.put_validation": lambda store: store.contract.put_validation(VALIDATION),
    "contract.delete_validation": lambda store: store.contract.delete_validation(1, "*"),
    "contract.validation": lambda store: store.contract.validation(),
    "contract.put_own_type": lambda store: store.contract.put_own_type(OWN_TYPE),
    "contract.delete_own_type": lambda store: store.contract.delete_own_type("ExportDelivered"),
    "contract.own_type_revisions": lambda store: store.contract.own_type_revisions(),
    "contract.own_types": lambda store: store.contract.own_types(["ExportDelivered"]),
    "audit_log.add": lambda store: store.audit_log.add(ENTRY),
    "audit_log.entry": lambda store: store.audit_log.entry(5, EVERYONE),
    "audit_log.entries": lambda store: store.audit_log.entries(EVERYONE, Page(1)),
    "refusals.add": lambda store: store.refusals.add([]),
    "refusals.refusal": lambda store: store.refusals.refusal(1, EVERYONE),
    "refusals.refusals": lambda store: store.refusals.refusals(RefusalQuery(scope=EVERYONE), Page(1)),
    "refusals.count_open": lambda store: store.refusals.count_open(EVERYONE, limit=1),
    "refusals.begin_acceptance": lambda store: store.refusals.begin_acceptance(1, 1),
    "refusals.cancel_acceptance": lambda store: store.refusals.cancel_acceptance(1),
    "refusals.accept": lambda store: store.refusals.accept(1, 1, now_ms=1),
    "refusals.discard": lambda store: store.refusals.discard(1, None, now_ms=1),
    "refusals.oldest_ms": lambda store: store.refusals.oldest_ms(),
    "refusals.expire": lambda store: store.refusals.expire(before_ms=1, limit=1),
    "changes.known_rows": lambda store: store.changes.known_rows([(1, ROW_KEY)]),
    "changes.first_changes": lambda store: store.changes.first_changes([(1, "k")]),
    "changes.accept": lambda store: store.changes.accept(ChangeBatch(), [new_event(7)]),
    "changes.end_waiting": lambda store: store.changes.end_waiting(1, now_ms=1, limit=1),
    "changes.due": lambda store: store.changes.due(now_ms=1, limit=1),
    "changes.next_due_ms": lambda store: store.changes.next_due_ms(),
    "changes.waiting": lambda store: store.changes.waiting([(5, "s")]),
    "changes.change": lambda store: store.changes.change(1, EVERYONE),
    "changes.changes": lambda store: store.changes.changes(ChangeQuery(scope=EVERYONE), Page(1)),
    "changes.count_unmapped": lambda store: store.changes.count_unmapped(EVERYONE, limit=1),
    "changes.raised_by": lambda store: store.changes.raised_by(1),
    "changes.raised_for": lambda store: store.changes.raised_for(5, "s", 1),
    "changes.raised": lambda store: store.changes.raised(1),
    "changes.fields": lambda store: store.changes.fields(1, "Customers"),
    "changes.oldest_ms": lambda store: store.changes.oldest_ms(),
    "changes.expire": lambda store: store.changes.expire(before_ms=1, limit=1),
    "changes.forget_rows": lambda store: store.changes.forget_rows(1, "Customers", before_ms=1, limit=1),
    "changes.row_entities": lambda store: store.changes.row_entities(),
    "change_settings.put_setting": lambda store: store.change_settings.put_setting(SETTING),
    "change_settings.settings": lambda store: store.change_settings.settings(),
    "change_settings.settings_at": lambda store: store.change_settings.settings_at(1, 1),
    "change_settings.put_source": lambda store: store.change_settings.put_source(SOURCE),
    "change_settings.delete_source": lambda store: store.change_settings.delete_source("erp"),
    "change_settings.source_revisions": lambda store: store.change_settings.source_revisions(),
    "change_settings.sources": lambda store: store.change_settings.sources(),
    "change_settings.source_states": lambda store: store.change_settings.source_states(),
    "change_settings.report_source": lambda store: store.change_settings.report_source("erp", "{}", now_ms=1),
    "change_settings.reset_position": lambda store: store.change_settings.reset_position("erp", None),
    "queue.discard": lambda store: store.queue.discard([1], reason="x", now_ms=1),
    "queue.finish_replay": lambda store: store.queue.finish_replay(1, state="dead", reason="x", now_ms=1, limit=1),
    "queue.put_replay": lambda store: store.queue.put_replay(REPLAY),
    "history.replay": lambda store: store.history.replay(1),
    "history.replays": lambda store: store.history.replays(EVERYONE, Page(1)),
    "history.replay_ended_ms": lambda store: store.history.replay_ended_ms(1),
    "history.replay_states": lambda store: store.history.replay_states(1),
    "history.event": lambda store: store.history.event(1, EVERYONE),
    "history.events": lambda store: store.history.events(EventQuery(scope=EVERYONE), Page(1)),
    "history.last_sequences": lambda store: store.history.last_sequences([1]),
    "history.events_after": lambda store: store.history.events_after(1, 0, 1),
    "history.events_between": lambda store: store.history.events_between(1, after_id=0, until_ms=1, types=(), limit=1),
    "history.delivery": lambda store: store.history.delivery(1, EVERYONE),
    "history.deliveries": lambda store: store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(1)),
    "history.recent_attempts": lambda store: store.history.recent_attempts(7, 1),
    "history.events_by_id": lambda store: store.history.events_by_id([1], EVERYONE),
    "history.delivery_states": lambda store: store.history.delivery_states([1], EVERYONE),
    "journal.check_writable": lambda store: store.journal.check_writable(),
    "history.deliveries_with_attempts": lambda store: store.history.deliveries_with_attempts([1], EVERYONE),
    "history.deliveries_with_last_attempts": lambda store: store.history.deliveries_with_last_attempts(
        DeliveryQuery(scope=EVERYONE), Page(1)
    ),
    "history.count_deliveries": lambda store: store.history.count_deliveries(DeliveryQuery(scope=EVERYONE), limit=1),
    "history.replays_with": lambda store: store.history.replays_with([1], "dead"),
    "activity.by_endpoint": lambda store: store.activity.by_endpoint(EVERYONE, step_s=60, since_ms=0),
    "history.delivery_counts": lambda store: store.history.delivery_counts(EVERYONE),
    "history.events_with_delivery": lambda store: store.history.events_with_delivery(7, [1]),
    "history.dead_in_group": lambda store: store.history.dead_in_group(
        7, reason=None, error=None, before=None, limit=1
    ),
    "history.endpoint_health": lambda store: store.history.endpoint_health(EVERYONE),
    "history.deliveries_of_events": lambda store: store.history.deliveries_of_events([1], EVERYONE, limit=1),
    "history.oldest_pending": lambda store: store.history.oldest_pending([7], limit=1),
    "history.dead_groups": lambda store: store.history.dead_groups(EVERYONE, endpoint_id=None, limit=1),
    "activity.add": lambda store: store.activity.add([], now_ms=1),
    "activity.by_step": lambda store: store.activity.by_step(EVERYONE, step_s=60, since_ms=0),
    "maintenance.verify_counts": lambda store: store.maintenance.verify_counts(after_id=0, limit=1),
    "maintenance.oldest_ms": lambda store: store.maintenance.oldest_ms(),
    "maintenance.expire": lambda store: store.maintenance.expire(before_ms=1, limit=1),
    "maintenance.shift_due": lambda store: store.maintenance.shift_due(0),
    "maintenance.index_text": lambda store: store.maintenance.index_text(1),
}


def test_list_of_calls_is_the_whole_port() -> None:
    def methods(protocol: type) -> set[str]:
        return {name for name, member in vars(protocol).items() if inspect.iscoroutinefunction(member)}

    roles = {
        name: get_type_hints(member.fget)["return"]
        for name, member in vars(Store).items()
        if isinstance(member, property) and name not in {"run_id", "nodes"}
    }
    calls = {f"{name}.{method}" for name, role in roles.items() for method in methods(role)}

    assert len(roles) == 11
    assert set(CALLS) == calls | methods(Store) - {"open", "close", "failed"}


async def test_every_call_works_before_closing_and_is_refused_after(store: Store) -> None:
    for call in CALLS.values():
        await call(store)
    await store.close()

    answers = await asyncio.gather(*(call(store) for call in CALLS.values()), return_exceptions=True)
    others = {name: got for name, got in zip(CALLS, answers, strict=True) if not isinstance(got, StoreUnavailableError)}
    assert others == {}


@pytest.mark.parametrize(
    "name",
    [
        "journal.accept",
        "history.events",
    ],
)
async def test_calls_that_race_with_closing_are_answered_or_refused_and_none_hangs(engine: Engine, name: str) -> None:
    for _ in range(5):
        store = await engine.open()
        closing = asyncio.create_task(store.close())
        calls: list[asyncio.Task[Any]] = []
        while not closing.done():
            calls.append(asyncio.create_task(CALLS[name](store)))  # type: ignore[arg-type]
            await asyncio.sleep(0)
        answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)

        assert [each for each in answers if not isinstance(each, list | StoreUnavailableError)] == []


async def test_store_continues_after_the_waiter_for_its_failure_is_cancelled(store: Store) -> None:
    waiting = asyncio.create_task(store.failed())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    (accepted,) = await accept_events(store, [new_event(7)])
    assert accepted.outcome == "new"


async def test_what_was_asked_before_closing_is_finished(engine: Engine) -> None:
    store = await engine.open()
    accepting = [asyncio.create_task(accept_events(store, [new_event(7)])) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*accepting)
    store = await engine.open()

    assert len(await store.history.events_after(1, 0, 100)) == 20


async def test_accepting_at_the_same_time_leaves_no_gap_in_any_sequence(store: Store) -> None:
    batches = [[new_event(client=1 + number % 3) for number in range(start, start + 4)] for start in range(30)]
    answers = await asyncio.gather(*(accept_events(store, batch) for batch in batches))

    for client in (1, 2, 3):
        given = [
            answer.sequence
            for batch, answered in zip(batches, answers, strict=True)
            for event, answer in zip(batch, answered, strict=True)
            if event.client_id == client
        ]
        assert sorted(given) == list(range(1, len(given) + 1))
        assert [each.sequence for each in await store.history.events_after(client, 0, 1_000)] == sorted(given)


async def test_one_key_at_the_same_time_with_different_bodies_has_one_winner(store: Store) -> None:
    events = [new_event(7, key="k", body=b'{"n":%d}' % number) for number in range(50)]
    answers = [answer for [answer] in await asyncio.gather(*(accept_events(store, [event]) for event in events))]

    [winner] = [answer.id for answer in answers if answer.outcome == "new"]
    assert {(answer.outcome, answer.id) for answer in answers} == {("new", winner), ("conflict", winner)}
    [stored] = await store.history.events(EventQuery(scope=EVERYONE), Page(100))
    assert stored.id == winner
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.matched, book.pending) == (1, 1)


async def test_claims_at_the_same_time_never_give_a_delivery_twice(store: Store) -> None:
    await accept_events(store, [new_event(7) for _ in range(60)])
    claims = await asyncio.gather(*(claim(store, 7, limit=7) for _ in range(12)))
    ids = [each.delivery_id for some in claims for each in some]

    assert len(ids) == len(set(ids)) == 60


async def test_two_like_wants_in_one_call_never_give_a_delivery_twice(store: Store) -> None:
    await accept_events(store, [new_event(7) for _ in range(3)])
    claimed = await store.queue.claim(
        [ClaimRequest(7, DeliveryKind.FIRST, 2)] * 2, now_ms=START_MS, lease_until_ms=START_MS + 1_000
    )  # fmt: skip
    ids = [each.delivery_id for each in claimed]

    assert len(ids) == len(set(ids))


async def test_result_and_cancelling_at_the_same_time_end_a_delivery_once(store: Store) -> None:
    await accept_events(store, [new_event(7) for _ in range(20)])
    held = await claim(store, 7)
    outcomes = await asyncio.gather(
        *(
            asyncio.gather(
                store.queue.settle([result(each)]),
                store.queue.cancel([each.delivery_id], reason="by hand", now_ms=START_MS),
            )
            for each in held
        )
    )

    assert all(settled + cancelled == 1 for [settled], cancelled in outcomes)
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.delivered + book.cancelled, book.pending, book.difference) == (20, 0, 0)


@pytest.mark.parametrize("again", ["requeue", "replay"])
async def test_retention_never_takes_what_is_made_pending_at_the_same_time(store: Store, again: str) -> None:
    events = [new_event(7, at_ms=START_MS - 100) for _ in range(20)]
    await accept_events(store, events)
    await store.queue.settle([result(each, "dead", reason="gone") for each in await claim(store, 7)])

    async def start_again(event_id: int, delivery_id: int) -> None:
        if again == "requeue":
            await store.queue.requeue([delivery_id], now_ms=START_MS)
        else:
            replay = Replay(**{**{name: getattr(REPLAY, name) for name in REPLAY.__struct_fields__}, "id": event_id})
            await store.queue.add_deliveries(
                [NewDelivery(new_event().id, 7)], [event_id], replay=replay, now_ms=START_MS
            )

    await asyncio.gather(
        *(start_again(event.id, event.deliveries[0].id) for event in events[:10]),
        store.maintenance.expire(before_ms=START_MS, limit=100),
        *(start_again(event.id, event.deliveries[0].id) for event in events[10:]),
        return_exceptions=True,  # an event that is gone already cannot be sent again
    )

    [book] = await store.history.delivery_counts(EVERYONE)
    [recounted] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.pending, recounted.difference) == (recounted.pending, 0)
    assert book.pending == len(await claim(store, 7)) + len(await claim(store, 7, retrying=True))


async def test_reads_see_every_write_that_returned_before(store: Store) -> None:
    async def write_then_read() -> None:
        event = new_event(7)
        await accept_events(store, [event])
        assert await store.history.event(event.id, EVERYONE) is not None
        assert await store.last_id() >= event.deliveries[0].id

    await asyncio.gather(*(write_then_read() for _ in range(30)))
