"""A batch of changes gives the same notifications however it is split."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.accept.commit_batcher import Match, PendingEvent
from commerce_event.accept.turns import Steps
from commerce_event.changes.evaluation import ChangeAnswer, Evaluation, Known, SeenFields, idempotency_ids, row_ids
from commerce_event.core.changes.model import Change, EventSetting, Values
from commerce_event.core.changes.rules import ActiveSetting, applicable
from commerce_event.core.filters import finish
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint
from commerce_event.core.routing import Candidates
from commerce_event.store.model import FirstChange, KnownRow, NewEvent, WaitingNotification

NOW_MS = 1_800_000_000_000
SETTINGS = (
    EventSetting(
        id=1, client_id=1, event_type="SkuOnHandBreakPointNotification", entity="tClientProductSkuOnHand",
        on_delete=False,
    ),
    EventSetting(
        id=2, client_id=1, event_type="SkuChangedNotification", entity="tClientProductSkuOnHand", coalesce_s=30,
        fields=("OnHandValue",),
    ),
    EventSetting(id=3, client_id=1, event_type="CustomerChangedNotification", entity="tClientCustomer"),
)  # fmt: skip


class FixedSettings:
    """Settings in memory."""

    def __init__(self, settings: Sequence[EventSetting]) -> None:
        self._active = [ActiveSetting(each) for each in settings]

    def active_settings(self, client_id: int, entity: str, application_id: int | None) -> Sequence[ActiveSetting]:
        own = [each for each in self._active if (each.setting.client_id, each.setting.entity) == (client_id, entity)]
        return applicable(own, application_id)

    def tracked_since(self, client_id: int, entity: str) -> int | None:
        return 0 if self.active_settings(client_id, entity, None) else None


class OneEndpointEach:
    """Matches every event with no endpoint."""

    def match_steps(self, event: PendingEvent) -> Steps[None]:
        event.match = Match(Candidates(), (), None)
        yield


class StoredChanges:
    """What the store would have after each commit of an evaluation."""

    def __init__(self, settings: Sequence[EventSetting] = SETTINGS) -> None:
        self.settings = FixedSettings(settings)
        self.rows: dict[tuple[int, str], KnownRow] = {}
        self.firsts: dict[tuple[int, str], FirstChange] = {}
        self.waiting: dict[tuple[int, str], WaitingNotification] = {}
        self.events: list[tuple[str, bytes]] = []
        self.known_of: list[Values | None] = []
        self._ids = IdMaker()
        self._seen = SeenFields()

    def commit(self, changes: Sequence[Change], now_ms: int = NOW_MS) -> list[ChangeAnswer]:
        """Evaluate the changes as one batch, and store the result."""
        known = Known(
            {key: self.rows[key] for key in row_ids(changes, self.settings) if key in self.rows},
            {key: self.firsts[key] for key in idempotency_ids(changes) if key in self.firsts},
        )
        evaluation = Evaluation(
            self.settings,
            OneEndpointEach(),
            self._ids,
            self._seen,
            known,
            now_ms,
        )
        finish(evaluation.steps(changes, 1))
        events = [self._stored(event) for event in evaluation.events]
        batch = evaluation.batch(events, None)
        for row in batch.rows:
            stored = self.rows.pop((row.client_id, row.key), None)
            assert row.expected_change_id == (None if stored is None else stored.change_id)
            if row.values is not None:
                self.rows[row.client_id, row.key] = KnownRow(
                    values=row.values, change_id=row.change_id, updated_ms=row.updated_ms
                )
        for each in batch.waiting:
            earlier = self.waiting.get((each.setting_id, each.subject))
            self.waiting[each.setting_id, each.subject] = (
                each
                if earlier is None
                else msgspec.structs.replace(
                    each,
                    due_ms=earlier.due_ms,
                    first_change_id=earlier.first_change_id,
                    merged=earlier.merged + each.merged,
                )
            )
        answers = evaluation.answers(events)
        for new in batch.changes:
            if new.change.client_id is not None and new.change.idempotency_key is not None:
                first = FirstChange(id=new.id, change=new.change, event_ids=())
                self.firsts[new.change.client_id, new.change.idempotency_key] = first
        self.events += [(event.type, event.body) for event in events]
        self.known_of += [new.known for new in batch.changes]
        return answers

    def result(self) -> tuple[list[tuple[str, bytes]], list[tuple[Any, ...]], dict[tuple[int, str], Values]]:
        waiting = [(key, each.body, each.merged) for key, each in sorted(self.waiting.items())]
        return self.events, waiting, {key: row.values for key, row in sorted(self.rows.items())}

    def _stored(self, event: PendingEvent) -> NewEvent:
        return NewEvent(
            id=self._ids.next(NOW_MS),
            client_id=event.client_id,
            type=event.type.name,
            application_id=event.application_id,
            accepted_ms=NOW_MS,
            config_version=1,
            idempotency_key=None,
            traceparent=None,
            body=event.body,
            deliveries=(),
        )


def stock(part: str, on_hand: int, minimum: int | None = None, **options: Any) -> Change:
    after: dict[str, Any] = {"OnHandValue": on_hand}
    if minimum is not None:
        after["MinimumValue"] = minimum
    key: Mapping[str, Any] = {"PartNo": part, "WarehouseId": 1, "LocationId": 1}
    values: dict[str, Any] = {"operation": "update", "after": after}
    return Change(client_id=1, entity="tClientProductSkuOnHand", key=dict(key), **values | options)


CHANGES = st.lists(
    st.builds(
        stock,
        st.sampled_from("AB"),
        st.integers(0, 5),
        st.none() | st.integers(1, 4),
        operation=st.sampled_from(["insert", "update", "update", "update", "delete", "read"]),
        idempotency_key=st.none() | st.sampled_from(["a", "b", "c"]),
    ),
    max_size=30,
)


@given(changes=CHANGES, cuts=st.sets(st.integers(1, 29)))
def test_split_of_a_batch_does_not_change_what_is_raised(changes: list[Change], cuts: set[int]) -> None:
    whole, split = StoredChanges(), StoredChanges()
    whole.commit(changes)
    for piece in _pieces(changes, cuts):
        split.commit(piece)

    assert split.result() == whole.result()
    assert split.known_of == whole.known_of


@given(changes=CHANGES)
def test_merged_notification_has_the_newest_values_and_counts_every_change(changes: list[Change]) -> None:
    low = msgspec.structs.replace(SETTINGS[0], on_delete=False)
    alone, merged = StoredChanges([low]), StoredChanges([msgspec.structs.replace(low, coalesce_s=30)])
    alone.commit(changes)
    merged.commit(changes)

    raised: dict[str, list[bytes]] = {}
    for _, body in alone.events:
        raised.setdefault(msgspec.json.decode(body)["PartNo"], []).append(body)
    waiting = {msgspec.json.decode(each.body)["PartNo"]: (each.body, each.merged) for each in merged.waiting.values()}
    assert waiting == {part: (bodies[-1], len(bodies)) for part, bodies in raised.items()}
    assert merged.events == []


def test_repeated_change_is_evaluated_once() -> None:
    store = StoredChanges()
    first = stock("A", 1, 2, idempotency_key="x")

    [answer, again] = store.commit([first, first])
    assert (answer.outcome, again.outcome) == ("new", "duplicate")
    assert again.id == answer.id
    assert again.event_ids == answer.event_ids != ()
    [conflict] = store.commit([stock("A", 7, idempotency_key="x")])
    assert (conflict.outcome, conflict.id) == ("conflict", answer.id)


def test_change_of_many_parts_lets_those_wait_that_one_commit_cannot_store() -> None:
    store = StoredChanges([EventSetting(id=4, client_id=1, event_type="SkuChangedNotification", entity="tCategory")])
    parts = [f"P-{number}" for number in range(1_000)]
    change = Change(client_id=1, entity="tCategory", operation="insert", key={"PartNo": parts}, after={"Name": "x"})

    [answer, again] = store.commit([change, change])
    bodies = [body for _, body in store.events] + [each.body for each in store.waiting.values()]
    assert len(answer.event_ids) == 200
    assert (answer.waiting, again.waiting) == (800, 1_000)
    assert sorted(msgspec.json.decode(body)["PartNo"] for body in bodies) == sorted([*parts, *parts])


class EndpointCounts:
    """Matches each event with the next number of endpoints."""

    def __init__(self, *counts: int) -> None:
        self._counts = iter(counts)

    def match_steps(self, event: PendingEvent) -> Steps[None]:
        endpoint = Endpoint(id=1, client_id=1, url="https://receiver.example", event_types=("*",))
        event.match = Match(Candidates(), (endpoint,) * next(self._counts), None)
        yield


def test_notification_does_not_overtake_one_that_had_too_many_deliveries() -> None:
    changes = [
        Change(client_id=1, entity="tClientCustomer", operation="insert", key={"CustomerId": number}, after={"a": 1})
        for number in (1, 2, 3)
    ]
    evaluation = Evaluation(
        FixedSettings(SETTINGS), EndpointCounts(1, 1_000, 1), IdMaker(), SeenFields(), Known({}, {}), NOW_MS
    )

    finish(evaluation.steps(changes, 1))
    assert [customer_of(event.body) for event in evaluation.events] == [1]
    assert [customer_of(each.body) for each in evaluation.deferred] == [2, 3]


def customer_of(body: bytes) -> int:
    return int(msgspec.json.decode(body)["CustomerId"])


@pytest.mark.parametrize("entity", [None, "tClientCustomer"])
def test_change_without_a_setting_is_stored_and_raises_nothing(entity: str | None) -> None:
    store = StoredChanges([])
    change = Change(client_id=1, entity=entity, operation="insert", key={}, after={"a": 1}, note="no table")

    [answer] = store.commit([change])
    assert (answer.outcome, answer.event_ids, answer.waiting) == ("new", (), 0)
    assert store.rows == {}


@pytest.mark.parametrize(("entity", "is_kept"), [("tClientProductSku", True), ("tClientProductSkuMadeUp", False)])
def test_field_names_of_entities_without_end_are_kept_only_with_a_setting(entity: str, is_kept: bool) -> None:
    change = Change(client_id=1, entity=entity, operation="insert", key={"PartNo": "A"}, after={"Name": "x"})
    made_up = EventSetting(id=5, client_id=1, event_type="SkuChangedNotification", entity=entity, coalesce_s=1)

    assert bool(field_names(change, [])) is is_kept
    assert field_names(change, [made_up]) == {"PartNo", "Name"}


def field_names(change: Change, settings: Sequence[EventSetting]) -> set[str]:
    known = Known(rows={}, firsts={})
    evaluation = Evaluation(FixedSettings(settings), OneEndpointEach(), IdMaker(), SeenFields(), known, NOW_MS)
    finish(evaluation.steps([change], 1))
    return {name for _, _, name in evaluation.batch([], None).fields}


def _pieces(changes: Sequence[Change], cuts: set[int]) -> Iterator[Sequence[Change]]:
    start = 0
    for cut in [*sorted(cuts), len(changes)]:
        if start < min(cut, len(changes)):
            yield changes[start:cut]
            start = cut
