"""What a setting would have raised over past changes."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.changes import preview
from commerce_event.core.changes.model import Change, EventSetting, Notification, StoredChange, Values
from commerce_event.core.changes.preview import Preview
from commerce_event.core.changes.rules import ActiveSetting, RowChange, raise_notifications

CUSTOMER, ADDRESS = "CustomerChangedNotification", "tClientCustomerAddress"


def setting(**fields: Any) -> EventSetting:
    wanted = {"event_type": CUSTOMER, "entity": ADDRESS, **fields}
    return EventSetting(id=0, client_id=1, **wanted)


def change(number: int, customer: int = 12, at_ms: int | None = None, **fields: Any) -> StoredChange:
    wanted = {"operation": "update", "after": {"City": str(number)}, "entity": ADDRESS, **fields}
    made = Change(client_id=1, key={"CustomerId": customer}, **wanted)
    return StoredChange(id=number, accepted_ms=number if at_ms is None else at_ms, config_version=1, change=made)


def previewed(of: EventSetting, changes: Sequence[StoredChange], others: Sequence[EventSetting] = ()) -> Preview:
    made = Preview(of, others)
    for _ in made.steps(changes):
        pass
    return made


def test_preview_counts_and_shows_the_first_notifications() -> None:
    found = previewed(setting(), [change(number, customer=number) for number in range(1, 31)])

    assert (found.changes, found.notifications, found.truncated) == (30, 30, False)
    assert [sample.change_id for sample in found.samples] == list(range(1, 21))
    assert found.samples[0].body == {"ClientId": 1, "CustomerId": 1, "EntityChanged": ADDRESS}
    assert found.samples[0].at_ms == 1


def test_preview_knows_the_values_of_earlier_changes_of_the_row() -> None:
    same: dict[str, Any] = {"after": {"City": "A"}}
    found = previewed(setting(fields=("City",)), [change(1, **same), change(2, **same), change(3, customer=13, **same)])

    assert [sample.change_id for sample in found.samples] == [1, 3]


def test_preview_merges_changes_of_the_same_thing_within_the_window() -> None:
    at_ms = (0, 999, 1_000, 1_500, 2_500)
    found = previewed(setting(coalesce_s=1.0), [change(n, at_ms=ms) for n, ms in enumerate(at_ms, start=1)])

    assert found.notifications == 3
    assert [(each.change_id, each.at_ms, each.merged) for each in found.samples] == [
        (2, 999, 2), (4, 1_500, 2), (5, 2_500, 1),
    ]  # fmt: skip


def test_preview_of_a_setting_that_is_off_shows_it_on() -> None:
    assert previewed(setting(enabled=False), [change(1)]).notifications == 1


def test_preview_leaves_out_applications_that_have_a_setting_of_their_own() -> None:
    changes = [change(1, application_id=7), change(2, application_id=8), change(3)]
    own = msgspec.structs.replace(setting(application_id=7, enabled=False), id=5)

    assert [each.change_id for each in previewed(setting(), changes, [own]).samples] == [2, 3]
    assert [each.change_id for each in previewed(setting(application_id=8), changes, [own]).samples] == [2]


def test_preview_stops_at_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [change(number, customer=number) for number in range(1, 10)]
    for name, bound, looked_at in (("CHANGES_MAX", 4, 4), ("NOTIFICATIONS_MAX", 3, 3), ("_MEMORY_MAX", 600, 3)):
        with monkeypatch.context() as patched:
            patched.setattr(preview, name, bound)
            found = previewed(setting(), changes)
        assert (found.changes, found.truncated) == (looked_at, True), name


values = st.dictionaries(st.sampled_from(["City", "Zip"]), st.sampled_from(["a", "b", None]), max_size=2)
operations = st.sampled_from(["insert", "update", "delete", "read", "truncate"])
steps = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from([None, 7]), operations, st.none() | values, values, st.integers(0, 900)
    ),
    max_size=30,
)
settings = st.builds(
    setting,
    on_insert=st.booleans(),
    on_update=st.booleans(),
    on_delete=st.booleans(),
    fields=st.sampled_from([None, ("City",), ("City", "Zip")]),
    filter=st.sampled_from([None, {"City": "a"}, {"before.Zip": "b"}]),
    coalesce_s=st.sampled_from([0.0, 0.5, 2.0]),
    application_id=st.sampled_from([None, 7]),
)


@given(settings, steps, st.integers(1, 30))
def test_preview_equals_accepting_the_changes_one_by_one(
    of: EventSetting, given_steps: list[tuple[Any, ...]], size: int
) -> None:
    changes: list[StoredChange] = []
    now_ms = 1_000
    for number, (customer, application_id, operation, before, after, pause_ms) in enumerate(given_steps, start=1):
        now_ms += pause_ms
        fields = {"before": before, "after": None if operation == "delete" else after, "operation": operation}
        changes.append(change(number, customer, now_ms, application_id=application_id, **fields))

    found = Preview(of)
    for start in range(0, len(changes), size):
        for _ in found.steps(changes[start : start + size]):
            pass

    assert found.notifications == len(accepted(of, changes))
    assert [(each.change_id, each.body, each.merged) for each in found.samples] == accepted(of, changes)[:20]


def accepted(of: EventSetting, changes: Sequence[StoredChange]) -> list[tuple[int, Any, int]]:
    """Return the newest change, the body and the number of changes of each notification, as accepting raises them."""
    rows: dict[str, Values | None] = {}
    raised: list[tuple[int, int, Notification]] = []
    for stored in changes:
        if stored.change.operation == "truncate":
            continue
        key = stored.change.row_key
        row = RowChange(stored.change, rows.get(key))
        rows[key] = row.row
        if of.application_id in {None, stored.change.application_id}:
            raised += [(stored.id, stored.accepted_ms, each) for each in raise_notifications(row, [ActiveSetting(of)])]
    merged: list[list[tuple[int, int, Notification]]] = []
    for each in raised:
        same = [group for group in merged if group[0][2].subject == each[2].subject]
        if same and each[1] < same[-1][0][1] + of.coalesce_s * 1000:
            same[-1].append(each)
        else:
            merged.append([each])
    return [(group[-1][0], group[-1][2].body, len(group)) for group in merged]
