"""Changes: stored with their events in one commit, or not at all."""

import asyncio
import itertools
import random
from typing import Any

import msgspec
import pytest
from change_batches import (
    ALL,
    EVERYONE,
    accept,
    found,
    new_change,
    raised,
    row,
    row_key,
    stored,
    values_of,
    waiting,
    write_until_current,
)
from stores import START_MS, Engine, accept_events, new_event

from commerce_event.core.model import Scope
from commerce_event.store.model import (
    FIELDS_MAX,
    ChangeQuery,
    KnownRow,
    Page,
    PositionWrite,
    RowWrite,
)
from commerce_event.store.port import (
    ChangesOutdatedError,
    ConfigChangedError,
    PositionChangedError,
    Store,
)

LONG = "x" * 3_000


async def everything(store: Store) -> list[Any]:
    """What a refused batch must leave as it was."""
    return [
        await found(store), await store.changes.row_entities(), await values_of(store, *range(12)),
        await store.changes.due(now_ms=START_MS * 2, limit=100), await store.changes.fields(1, "Skus"),
        await store.change_settings.source_states(), [each.id for each in await store.history.events_after(1, 0, 100)],
    ]  # fmt: skip


# -- changes


async def test_change_reads_back_as_it_was_accepted(store: Store) -> None:
    made = [
        new_change(),
        new_change(None, entity=None, operation="truncate", key={}, source="erp", table="public.t", note="no such table"),
        new_change(
            2, application_id=3, operation="update", key={"SkuId": [1, "b"]}, before={}, after={"a\0": "Ü\0", "n": 1e300},
            at_ms=START_MS - 5, idempotency_key="k" * 200, source="Ü", table="t", known={"a": None, "n": 2**53 + 1, "l": [{}]},
        ),
        new_change(operation="delete", before={"a": 1}, known={}),
        new_change(operation="read", after={"b": True}, note="Ü"),
    ]  # fmt: skip
    await accept(store, changes=made)
    assert [await store.changes.change(each.id, EVERYONE) for each in made] == [stored(each) for each in made]
    assert await store.changes.changes(ChangeQuery(scope=EVERYONE), ALL) == [stored(each) for each in made[::-1]]
    assert await store.changes.change(1, EVERYONE) is None


@pytest.mark.parametrize("count", [0, 1, 15, 16, 257, 1_000])
async def test_batches_of_every_size_are_stored_whole(store: Store, count: int) -> None:
    made = [new_change(idempotency_key=f"k{number}") for number in range(count)]
    rows = [row(number, each.id) for number, each in enumerate(made)]
    held = [waiting(str(number), each.id) for number, each in enumerate(made)]
    await accept(store, changes=made[::-1], rows=rows, waiting=held)
    assert await found(store) == [each.id for each in made[::-1]]
    assert await values_of(store, *range(count)) == [each.id for each in made]
    assert len(await store.changes.first_changes([(1, f"k{number}") for number in range(count)])) == count

    await accept(store, rows=[row(number, 9, each.id) for number, each in enumerate(made)], released=held)
    assert await values_of(store, *range(count)) == [9] * count
    await accept(store, rows=[row(number, 10, 9, values=None) for number in range(count)])
    assert await values_of(store, *range(count)) == [None] * count
    assert await store.changes.next_due_ms() is None


async def test_changes_of_another_client_or_of_none_are_not_found(store: Store) -> None:
    own, foreign, unknown, unmapped = (
        new_change(1), new_change(2), new_change(None, entity=None), new_change(1, entity=None)
    )  # fmt: skip
    await accept(store, changes=[own, foreign, unknown, unmapped])
    assert await found(store, Scope.of(1)) == [unmapped.id, own.id]
    assert await found(store, Scope.of(1, 2)) == [unmapped.id, foreign.id, own.id]
    assert await found(store, Scope.of()) == []
    assert await store.changes.change(foreign.id, Scope.of(1)) is None
    assert await store.changes.change(unknown.id, Scope.of(1, 2)) is None
    assert await store.changes.count_unmapped(Scope.of(1), limit=10) == 1
    assert await store.changes.count_unmapped(Scope.of(), limit=10) == 0
    assert await store.changes.count_unmapped(EVERYONE, limit=10) == 2
    assert await store.changes.count_unmapped(EVERYONE, limit=1) == 1


@pytest.mark.parametrize("scope", [EVERYONE, Scope.of(1), Scope.of(1, 2)])
async def test_changes_are_listed_by_every_condition_and_page(store: Store, scope: Scope) -> None:
    rng = random.Random(7)
    made = [
        new_change(
            rng.choice([1, 2, 3]), accepted_ms=START_MS + number, entity=rng.choice(["Skus", "Customers", None]),
            source=rng.choice(["a", "b", None]),
        )
        for number in range(60)
    ]  # fmt: skip
    await accept(store, changes=made)
    queries: list[dict[str, Any]] = [
        {}, {"entity": "Skus"}, {"source": "a"}, {"unmapped": True}, {"unmapped": False}, {"source": "b", "unmapped": True},
        {"entity": "Customers", "source": "a"}, {"since_ms": START_MS + 10, "until_ms": START_MS + 40}, {"entity": "none"},
        {"entity": "Skus", "unmapped": False, "since_ms": START_MS + 50},
    ]  # fmt: skip
    for conditions in queries:
        wanted = [
            each.id for each in made
            if scope.allows(each.change.client_id)
            and conditions.get("entity") in {None, each.change.entity}
            and conditions.get("source") in {None, each.change.source}
            and conditions.get("unmapped") in {None, each.change.entity is None}
            and conditions.get("since_ms", 0) <= each.accepted_ms <= conditions.get("until_ms", 2 * START_MS)
        ]  # fmt: skip
        assert await found(store, scope, **conditions) == wanted[::-1]
        assert await found(store, scope, Page(3), **conditions) == wanted[::-1][:3]
        assert (
            await found(store, scope, Page(3, before=made[30].id), **conditions)
            == [each for each in wanted[::-1] if each < made[30].id][:3]
        )
        assert (
            await found(store, scope, Page(3, after=made[30].id), **conditions)
            == [each for each in wanted if each > made[30].id][:3]
        )


async def test_change_with_a_known_key_stores_nothing(store: Store) -> None:
    first, event, late = new_change(idempotency_key="k"), new_event(7), new_event(7)
    await accept(store, event, changes=[first], raised=[raised(event, first.id, first.id)])
    await accept(store, late, raised=[raised(late, first.id - 1, first.id, merged=2)])
    before = await everything(store)
    with pytest.raises(ChangesOutdatedError):
        await accept(
            store, new_event(7), changes=[new_change(), new_change(idempotency_key="k"), new_change()],
            rows=[row(1, 5)], waiting=[waiting("s", 5)], fields=[(1, "Skus", "a")],
            positions=[PositionWrite(source="erp", position="1", expected=None)],
        )  # fmt: skip
    assert await everything(store) == before

    found_first = await store.changes.first_changes([(1, "k"), (2, "k"), (1, "other")])
    assert {key: (each.id, each.change, each.event_ids) for key, each in found_first.items()} == {
        (1, "k"): (first.id, first.change, (event.id,))
    }
    await accept(store, changes=[new_change(2, idempotency_key="k"), new_change(1, idempotency_key="K")])


async def test_one_key_at_the_same_time_has_one_winner(store: Store) -> None:
    made = [new_change(idempotency_key="k") for _ in range(20)]
    answers = await asyncio.gather(*(accept(store, changes=[each]) for each in made), return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["ChangesOutdatedError"] * 19 + ["list"]
    assert len(await found(store)) == 1


# -- events


async def test_events_of_changes_are_numbered_and_delivered_as_the_journals(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    change, one, two = new_change(), new_event(7, 8, order_key="o"), new_event(client=2)
    answers = await accept(store, one, two, changes=[change], raised=[raised(one, change.id, change.id)])
    assert [(each.outcome, each.id, each.sequence, each.deliveries) for each in answers] == [
        ("new", one.id, 2, 2), ("new", two.id, 1, 0)
    ]  # fmt: skip
    [after] = await accept_events(store, [new_event(7)])
    assert after.sequence == 3
    [counts] = [each for each in await store.history.delivery_counts(EVERYONE, recount=True) if each.endpoint_id == 7]
    assert (counts.matched, counts.pending, counts.difference) == (3, 3, 0)


async def test_refused_batch_leaves_no_gap_in_the_sequences(store: Store) -> None:
    await accept(store, new_event(7), rows=[row(1, 5)])
    batches = [accept(store, new_event(7), changes=[new_change()], rows=[row(1, 6, 4)]) for _ in range(5)]
    others = [accept_events(store, [new_event(7)]) for _ in range(5)]
    answers = await asyncio.gather(*itertools.chain(*zip(batches, others, strict=True)), return_exceptions=True)
    assert [type(each) for each in answers[::2]] == [ChangesOutdatedError] * 5
    await accept(store, new_event(7))
    assert [each.sequence for each in await store.history.events_after(1, 0, 100)] == [1, 2, 3, 4, 5, 6, 7]
    assert await found(store) == []


async def test_event_with_an_impossible_delivery_stores_nothing_of_its_changes(store: Store) -> None:
    """The failure comes last, when everything else of the batch has been written."""
    taken = new_event(7)
    await accept_events(store, [taken])
    before = await everything(store)
    twice = msgspec.structs.replace(new_event(), deliveries=taken.deliveries)
    with pytest.raises(Exception, match=r"(?i)unique|exists"):
        await accept(
            store, twice, changes=[new_change()], rows=[row(1, 5)], waiting=[waiting("s", 5)], fields=[(1, "Skus", "a")],
            positions=[PositionWrite(source="erp", position="1", expected=None)],
        )  # fmt: skip
    assert await everything(store) == before
    [answer] = await accept_events(store, [new_event(7)])
    assert answer.sequence == 2


async def test_changes_decided_by_settings_that_changed_since_are_not_stored(store: Store) -> None:
    version = await store.registry.config_version()
    await accept(store, new_event(7), changes=[new_change()], version=version)
    await accept(store, changes=[new_change()], version=version)
    before = await everything(store)
    await store.change_settings.reset_position("erp", "0")
    await store.registry.end_session("s", ends_ms=2, now_ms=1)
    before[5] = await store.change_settings.source_states()
    for events in ([], [new_event(7)]):
        with pytest.raises(ConfigChangedError):
            await accept(store, *events, changes=[new_change()], version=version)
    assert await everything(store) == before


async def test_raised_events_lead_to_their_changes_and_back(store: Store) -> None:
    events = [new_event() for _ in range(5)]
    made = [
        raised(events[0], 10, 10), raised(events[1], 11, 14, merged=4), raised(events[2], 15, 15),
        raised(events[3], 15, 15, subject="t"), raised(events[4], 12, 12, subject="u" + LONG),
    ]  # fmt: skip
    await accept(store, *events, raised=made)
    assert [await store.changes.raised(each.event_id) for each in made[:4]] == made[:4]
    assert await store.changes.raised(1) is None
    assert await store.changes.raised_by(15) == [made[2], made[3]]
    assert await store.changes.raised_by(12) != []
    assert await store.changes.raised_by(11) == []
    asked = [(10, "s"), (11, "s"), (12, "s"), (14, "s"), (15, "s"), (15, "t"), (14, "t"), (16, "s"), (9, "s")]
    assert [await store.changes.raised_for(5, subject, change) for change, subject in asked] == [
        made[0], made[1], made[1], made[1], made[2], made[3], None, None, None
    ]  # fmt: skip
    assert await store.changes.raised_for(6, "s", 10) is None
    long = await store.changes.raised_for(5, "u" + LONG, 12)
    assert long is not None
    assert long.event_id == events[4].id


async def test_repeat_of_an_event_raises_nothing(store: Store) -> None:
    first, again = new_event(key="k"), new_event(key="k")
    await accept(store, first, raised=[raised(first, 1, 1)])
    [answer] = await accept(store, again, raised=[raised(again, 2, 2)])
    assert (answer.outcome, answer.id) == ("duplicate", first.id)
    assert await store.changes.raised(again.id) is None
    assert await store.changes.raised(first.id) == raised(first, 1, 1)


# -- rows


async def test_known_values_read_back_as_they_were_written(store: Store) -> None:
    values = {"Name": "Ü\0", "n": 12.50, "big": 2**60, "none": None, "list": [1, {"a": False}]}
    await accept(
        store, rows=[row(1, 5, values=values), row(1, 6, client=2, values={}), row(LONG, 7), row(LONG + "y", 8)]
    )
    asked = [(1, row_key(1)), (2, row_key(1)), (1, row_key(LONG)), (1, row_key(LONG + "y")), (3, row_key(1))]
    assert await store.changes.known_rows(asked) == {
        asked[0]: KnownRow(values=values, change_id=5, updated_ms=START_MS),
        asked[1]: KnownRow(values={}, change_id=6, updated_ms=START_MS),
        asked[2]: KnownRow(values={"n": 7}, change_id=7, updated_ms=START_MS),
        asked[3]: KnownRow(values={"n": 8}, change_id=8, updated_ms=START_MS),
    }
    await accept(store, rows=[row(1, 9, 5), row(1, 10, 6, client=2, values=None), row(LONG, 11, 7)])
    assert await values_of(store, 1, LONG, LONG + "y") == [9, 11, 8]
    assert await values_of(store, 1, client=2) == [None]


@pytest.mark.parametrize(
    "outdated",
    [
        row(1, 9, 4),  # written by another change since
        row(1, 9),  # there was none, now there is
        row(2, 9, 5),  # there was one, now there is none
        row(1, 9, 4, values=None),
        row(2, 9, 5, values=None),
        row(1, 9, values=None),
    ],
)
async def test_batch_decided_by_an_outdated_row_stores_nothing(store: Store, outdated: RowWrite) -> None:
    await accept(store, rows=[row(1, 5)])
    before = await everything(store)
    with pytest.raises(ChangesOutdatedError):
        await accept(
            store, new_event(7), changes=[new_change()], waiting=[waiting("s", 5)], fields=[(1, "Skus", "a")],
            rows=[row(0, 9), outdated, row(3, 9), row(4, 9, values=None)],
            positions=[PositionWrite(source="erp", position="1", expected=None)],
        )  # fmt: skip
    assert await everything(store) == before


async def test_deleted_row_may_be_written_again(store: Store) -> None:
    await accept(store, rows=[row(1, 5)])
    await accept(store, rows=[row(1, 6, 5, values=None), row(2, 6, values=None)])
    assert await values_of(store, 1, 2) == [None, None]
    await accept(store, rows=[row(1, 7)])
    assert await values_of(store, 1) == [7]


async def test_rows_written_at_the_same_time_lose_no_change(store: Store) -> None:
    rng = random.Random(3)
    batches = [(rng.sample(range(6), rng.randint(1, 4)), change_id) for change_id in range(100, 130)]
    await asyncio.gather(*(write_until_current(store, numbers, change_id, rng) for numbers, change_id in batches))
    known = await store.changes.known_rows([(1, row_key(number)) for number in range(6)])
    counted = {number: known[1, row_key(number)].values["count"] for number in range(6)}
    assert counted == {number: sum(number in numbers for numbers, _ in batches) for number in range(6)}
    assert len(await found(store)) == len(batches)


async def test_forget_rows_deletes_older_rows_of_one_entity(store: Store) -> None:
    rows = [row(number, 5, updated_ms=START_MS + number) for number in range(6)]
    others = [row(1, 5, entity="Customers"), row(1, 5, client=2), row(1, 5, entity="A", client=3)]
    await accept(store, rows=[*rows, *others])
    assert await store.changes.row_entities() == [(1, "Customers"), (1, "Skus"), (2, "Skus"), (3, "A")]
    assert await store.changes.forget_rows(1, "Skus", before_ms=START_MS + 4, limit=3) == 3
    assert await store.changes.forget_rows(1, "Skus", before_ms=START_MS + 4, limit=3) == 1
    assert await store.changes.forget_rows(1, "Skus", before_ms=START_MS + 4, limit=3) == 0
    assert await values_of(store, *range(6)) == [None, None, None, None, 5, 5]
    await store.changes.forget_rows(1, "Skus", before_ms=2 * START_MS, limit=3)
    assert await store.changes.row_entities() == [(1, "Customers"), (2, "Skus"), (3, "A")]


async def test_row_entities_of_an_empty_store_are_none(store: Store) -> None:
    assert await store.changes.row_entities() == []


# -- waiting notifications


async def test_waiting_notification_takes_the_newest_values_and_keeps_its_time(store: Store) -> None:
    await accept(store, waiting=[waiting("s", 5, due_ms=START_MS + 9), waiting("t", 5, due_ms=START_MS + 1)])
    await accept(store, waiting=[waiting("s", 6, due_ms=START_MS + 20, application_id=3)])
    await accept(
        store, waiting=[waiting("s", 7), waiting("u", 7, due_ms=START_MS + 5), waiting("s", 8), waiting("u", 9)]
    )
    merged = waiting("s", 8, due_ms=START_MS + 9, first_change_id=5, merged=4)
    held = [
        waiting("t", 5, due_ms=START_MS + 1),
        waiting("u", 9, due_ms=START_MS + 5, first_change_id=7, merged=2),
        merged,
    ]
    assert await store.changes.due(now_ms=START_MS + 9, limit=10) == held
    assert await store.changes.due(now_ms=START_MS + 9, limit=2) == held[:2]
    assert await store.changes.due(now_ms=START_MS + 8, limit=10) == held[:2]
    assert await store.changes.next_due_ms() == START_MS + 1
    assert await store.changes.waiting([(5, "s"), (6, "s"), (5, "none")]) == {(5, "s"): merged}


async def test_end_waiting_makes_the_notifications_of_a_setting_due(store: Store) -> None:
    late = [waiting(f"a-{number}", number, due_ms=START_MS + 100 + number) for number in range(3)]
    other = waiting("a", 9, setting=6, due_ms=START_MS + 100)
    await accept(store, waiting=[*late, other])
    assert await store.changes.end_waiting(5, now_ms=START_MS, limit=2) == 2
    assert await store.changes.end_waiting(5, now_ms=START_MS, limit=2) == 1
    assert await store.changes.end_waiting(5, now_ms=START_MS, limit=2) == 0
    due = await store.changes.due(now_ms=START_MS, limit=10)
    assert [(each.subject, each.due_ms) for each in due] == [(f"a-{number}", START_MS) for number in range(3)]


async def test_due_notifications_of_many_clients_are_returned_in_turns(store: Store) -> None:
    first = [waiting(f"a-{number}", number, client_id=1, due_ms=START_MS + number) for number in range(1, 6)]
    other = waiting("b", 9, client_id=2, due_ms=START_MS + 9)
    await accept(store, waiting=[*first, other])
    assert await store.changes.due(now_ms=START_MS + 9, limit=3) == [first[0], other, first[1]]
    assert await store.changes.next_due_ms() == START_MS + 1


async def test_waiting_notification_becomes_one_event(store: Store) -> None:
    await accept(store, waiting=[waiting("s", 5), waiting("s", 6), waiting("t", 6)])
    [held, other] = sorted(await store.changes.due(now_ms=START_MS, limit=9), key=lambda each: each.subject)
    events = [new_event(7), new_event(7)]
    answers = await asyncio.gather(
        *(accept(store, each, released=[held], raised=[raised(each, 5, 6, merged=2)]) for each in events),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in answers) == ["ChangesOutdatedError", "list"]
    assert await store.changes.due(now_ms=START_MS, limit=9) == [other]
    assert len(await store.history.events_after(1, 0, 10)) == 1


async def test_notification_merged_with_an_older_change_of_another_node_has_both_in_its_range(store: Store) -> None:
    await accept(store, waiting=[waiting("s", 7)])
    outdated = await store.changes.due(now_ms=START_MS, limit=100)
    await accept(store, waiting=[waiting("s", 5)])
    [held] = await store.changes.due(now_ms=START_MS, limit=100)

    assert (held.first_change_id, held.change_id, held.merged) == (5, 7, 2)
    with pytest.raises(ChangesOutdatedError):
        await accept(store, new_event(1), released=outdated)


async def test_notification_that_was_merged_since_is_not_released(store: Store) -> None:
    await accept(store, waiting=[waiting("s", 5), waiting("t", 5)])
    held = await store.changes.due(now_ms=START_MS, limit=9)
    await accept(store, waiting=[waiting("s", 6)])
    before = await everything(store)
    with pytest.raises(ChangesOutdatedError):
        await accept(store, new_event(7), released=held)
    assert await everything(store) == before


async def test_subjects_of_any_length_are_different(store: Store) -> None:
    subjects = ["s" * 500, "s" * 501, "ü" * 250, "ü" * 251, LONG, LONG + "y"]
    await accept(store, waiting=[waiting(each, number) for number, each in enumerate(subjects)])
    await accept(store, waiting=[waiting(each, number + 10) for number, each in enumerate(subjects)])
    held = await store.changes.waiting([(5, each) for each in subjects])
    assert [(held[5, each].change_id, held[5, each].merged) for each in subjects] == [
        (number + 10, 2) for number in range(len(subjects))
    ]
    await accept(store, released=await store.changes.due(now_ms=START_MS, limit=100))
    assert await store.changes.next_due_ms() is None


async def test_clock_that_was_set_moves_waiting_notifications(store: Store) -> None:
    await accept(store, waiting=[waiting("s", 5)])
    await store.maintenance.shift_due(-1_000)
    assert await store.changes.next_due_ms() == START_MS - 1_000


# -- fields, positions


async def test_fields_are_kept_up_to_a_bound(store: Store) -> None:
    await accept(
        store, fields=[(1, "Skus", "b"), (1, "Skus", "a"), (1, "Skus", "a"), (1, "Skus", "x" * 201), (1, "Skus", "\0")]
    )
    await accept(store, fields=[(1, "Skus", "c"), (1, "Skus", "a"), (2, "Skus", "z"), (1, "Customers", "y")])
    assert await store.changes.fields(1, "Skus") == ["a", "b", "c"]
    await accept(store, fields=[(1, "Skus", f"n{number:04}") for number in range(2 * FIELDS_MAX)])
    kept = await store.changes.fields(1, "Skus")
    assert len(kept) == FIELDS_MAX
    assert kept[:4] == ["a", "b", "c", "n0000"]
    await accept(store, fields=[(1, "Skus", "one more")])
    assert await store.changes.fields(1, "Skus") == kept
    assert await store.changes.fields(2, "Skus") == ["z"]


async def test_position_moves_only_from_the_expected_one(store: Store) -> None:
    await accept(store, positions=[PositionWrite(source="b", position="1", expected=None)], changes=[new_change()])
    before = await everything(store)
    for expected, source in ((None, "b"), ("0", "b"), ("1", "a")):
        write = PositionWrite(source=source, position="9", expected=expected)
        with pytest.raises(PositionChangedError) as refused:
            await accept(store, new_event(7), changes=[new_change()], rows=[row(1, 5)], positions=[write])
        assert (refused.value.source, refused.value.position) == (source, "1" if source == "b" else None)
        assert await everything(store) == before
    await accept(
        store,
        positions=[
            PositionWrite(source="b", position="2", expected="1"), PositionWrite(source="a", position="7", expected=None)
        ],
    )  # fmt: skip
    states = await store.change_settings.source_states()
    assert {name: each.position for name, each in states.items()} == {"a": "7", "b": "2"}


async def test_one_position_at_the_same_time_has_one_winner(store: Store) -> None:
    for expected in (None, "0"):
        writes = [PositionWrite(source="a", position=str(number), expected=expected) for number in (0, 0, 0, 0)]
        answers = await asyncio.gather(*(accept(store, positions=[each]) for each in writes), return_exceptions=True)
        if expected is None:
            assert sorted(type(each).__name__ for each in answers) == ["PositionChangedError"] * 3 + ["list"]
        else:
            assert answers == [[]] * 4  # the same position again is no change


# -- retention


async def test_expire_deletes_older_changes_and_remembers_the_last_id(engine: Engine) -> None:
    store = await engine.open()
    made = [new_change(accepted_ms=START_MS + number) for number in range(5)]
    await accept(store, changes=made, rows=[row(1, made[0].id)])
    assert await store.changes.oldest_ms() == START_MS
    assert await store.last_id() == made[-1].id
    assert await store.changes.expire(before_ms=START_MS + 3, limit=2) == 2
    assert await store.changes.expire(before_ms=START_MS + 3, limit=2) == 1
    assert await store.changes.expire(before_ms=START_MS + 3, limit=2) == 0
    assert await found(store) == [made[4].id, made[3].id]
    assert await store.changes.oldest_ms() == START_MS + 3
    assert await store.changes.expire(before_ms=2 * START_MS, limit=9) == 2
    assert await store.changes.oldest_ms() is None
    assert await values_of(store, 1) == [made[0].id]
    await store.close()
    store = await engine.open()
    assert await store.last_id() == made[-1].id


async def test_raised_events_are_known_as_long_as_their_events(store: Store) -> None:
    change, events = new_change(accepted_ms=START_MS - 100), [new_event(at_ms=START_MS - 50), new_event(at_ms=START_MS)]
    made = [raised(each, change.id, change.id) for each in events]
    await accept(store, *events, changes=[change], raised=made)
    await store.changes.expire(before_ms=START_MS, limit=9)
    assert [await store.changes.raised(each.id) for each in events] == made
    assert await store.maintenance.expire(before_ms=START_MS, limit=9) == 1
    assert [await store.changes.raised(each.id) for each in events] == [None, made[1]]


async def test_everything_of_changes_survives_reopening(engine: Engine) -> None:
    store = await engine.open()
    event = new_event(7)
    await accept(
        store, event, changes=[new_change()], rows=[row(1, 5)], waiting=[waiting("s", 5)], fields=[(1, "Skus", "a")],
        positions=[PositionWrite(source="erp", position="1", expected=None)], raised=[raised(event, 1, 1)],
    )  # fmt: skip
    before = await everything(store)
    await store.close()
    store = await engine.open()
    assert await everything(store) == before
    assert await store.changes.raised(event.id) == raised(event, 1, 1)
