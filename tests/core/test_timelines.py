"""Timelines: which events belong together, and the verdict on what the receivers have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.model import Delivery, DeliveryState
from commerce_event.core.timelines import (
    LATE_MS,
    PROPERTIES,
    Cell,
    Identifier,
    Receiver,
    ReceiverVerdict,
    TimelineEvent,
    best_identifier,
    cells_of,
    clock_text,
    identifiers,
    joined,
    judge,
    judge_receiver,
    named_by,
    subjects,
    summary_text,
)

NOW_MS = 1_793_368_800_000  # 30 Oct 2026, 14:00 UTC
ACCEPTED_MS = NOW_MS - 3_600_000


def body(**values: Any) -> bytes:
    return json.dumps(values).encode()


def delivery(number: int, state: DeliveryState, *, event_id: int = 1, endpoint_id: int = 9, **fields: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": number, "event_id": event_id, "endpoint_id": endpoint_id, "client_id": 1, "state": state,
        "attempt_count": 1, "failure_count": 0, "due_ms": NOW_MS + 300_000 if state == "pending" else None,
        "leased": False, "order_key": None, "replay_id": None, "reason": None, "created_ms": ACCEPTED_MS,
        "finished_ms": None if state == "pending" else ACCEPTED_MS + 120,
    }  # fmt: skip
    return Delivery(**(given | fields))


def event(number: int = 1, kind: str = "OrderConfirmedEvent") -> TimelineEvent:
    return TimelineEvent(id=number, type=kind, accepted_ms=ACCEPTED_MS)


def verdict(*states: DeliveryState, name: str = "ERP", held: str = "", **fields: Any) -> ReceiverVerdict:
    events = [event(number) for number in range(1, len(states) + 1)]
    made = [delivery(n, state, event_id=n, **fields) for n, state in enumerate(states, 1)]
    return judge_receiver(Receiver(id=9, name=name, held=held), cells_of(events, made)[9], NOW_MS)


values = st.one_of(st.none(), st.sampled_from(["", " ", "1", "2", "a"]), st.integers(0, 3))
bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(PROPERTIES["order"], values))


def test_identifiers_reads_whole_numbers_exactly_and_skips_empty_values() -> None:
    found = identifiers("order", body(OrderId=9007199254740993, OrderNo="", ErpOrderNo=None, ClientOrderRef=" "))
    assert found == {Identifier("OrderId", "9007199254740993")}
    assert identifiers("order", body(OrderId=True, OrderNo=["1"], ErpOrderNo={"a": 1}, ClientOrderRef=1.5)) == set()
    assert identifiers("order", b"[1]") == identifiers("order", b"nothing") == set()


def test_identifiers_of_neighbouring_large_numbers_differ() -> None:
    one, two = (identifiers("order", body(OrderId=2**53 + add)) for add in (0, 1))
    assert one.isdisjoint(two)


@given(st.lists(bodies, max_size=8))
def test_joined_is_the_smallest_set_closed_under_sharing(given_bodies: list[dict[str, Any]]) -> None:
    of_events = {n: identifiers("order", body(**each)) for n, each in enumerate(given_bodies)}
    for start in set().union(*of_events.values()):
        known = joined(of_events, [start])
        assert start in known
        for each in of_events.values():
            assert each.isdisjoint(known) or each <= known  # closed: an event is in as a whole or not at all
        for other in known:  # smallest: it is reached from every one of its members
            assert joined(of_events, [other]) == known


@given(st.lists(bodies, max_size=8))
def test_joined_never_joins_empty_values_or_other_properties(given_bodies: list[dict[str, Any]]) -> None:
    of_events = {n: identifiers("order", body(**each)) for n, each in enumerate(given_bodies)}
    assert all(each.value.strip() for found in of_events.values() for each in found)
    apart = {0: identifiers("order", body(OrderNo="1")), 1: identifiers("order", body(ErpOrderNo="1"))}
    assert joined(apart, apart[0]) == {Identifier("OrderNo", "1")}


def test_joined_follows_identifiers_from_event_to_event() -> None:
    of_events = {
        1: identifiers("order", body(ClientOrderRef="884211")),
        2: identifiers("order", body(ClientOrderRef="884211", ErpOrderNo="SO-1")),
        3: identifiers("order", body(ErpOrderNo="SO-1", OrderId=7)),
        4: identifiers("order", body(ErpOrderNo="SO-2", OrderId=8)),
    }
    assert joined(of_events, [Identifier("OrderId", "7")]) == {
        Identifier("ClientOrderRef", "884211"), Identifier("ErpOrderNo", "SO-1"), Identifier("OrderId", "7"),
    }  # fmt: skip


def test_subjects_keeps_orders_apart_that_share_a_value_by_chance() -> None:
    of_events = {
        1: identifiers("order", body(OrderNo="100777", ClientOrderRef="1")),
        2: identifiers("order", body(OrderId=100777, ClientOrderRef="2")),
    }
    (number, first), (order_id, second) = subjects("order", of_events, "100777")
    assert (number.property, order_id.property) == ("OrderNo", "OrderId")
    assert first.isdisjoint(second)
    of_events[3] = identifiers("order", body(ClientOrderRef="2", OrderNo="100777"))
    ((only, everything),) = subjects("order", of_events, "100777")
    assert only.property == "OrderNo"
    assert everything == first | second


@given(st.lists(bodies, max_size=8), st.sampled_from(["1", "2", "a"]))
def test_subjects_never_overlap(given_bodies: list[dict[str, Any]], value: str) -> None:
    of_events = {n: identifiers("order", body(**each)) for n, each in enumerate(given_bodies)}
    found = subjects("order", of_events, value)
    assert sum(len(connected) for _, connected in found) == len(set().union(*(each for _, each in found)))


def test_named_by_compares_words_as_a_search_does() -> None:
    found = named_by("order", body(OrderNo="SO-10804", ClientOrderRef="SO10804x"), "so 10804")
    assert found == [Identifier("OrderNo", "SO-10804")]
    assert named_by("order", body(OrderNo="SO-10804"), "108") == []
    assert named_by("order", body(OrderNo="–"), "–") == []


def test_best_identifier_is_what_people_know() -> None:
    known = identifiers("order", body(OrderNo="SO-1", OrderId=5, ClientOrderRef="884211"))
    assert best_identifier("order", known) == Identifier("OrderNo", "SO-1")
    assert best_identifier("order", []) is None


@pytest.mark.parametrize(
    ("states", "text", "tone"),
    [
        (("delivered",) * 5, "has all 5", "good"),
        (("delivered",), "has it", "good"),
        (("dead", "dead", "delivered"), "has 1 of 3; 2 dead", "bad"),
        (("dead",), "does not have it; 1 dead", "bad"),
        (("pending", "delivered"), "has 1 of 2; waiting, next attempt 14:05 UTC", "wait"),
        (("cancelled", "delivered"), "has 1 of 2; 1 cancelled", "wait"),
        (("dead", "pending", "delivered"), "has 1 of 3; 1 dead; waiting, next attempt 14:05 UTC", "bad"),
    ],
)
def test_judge_receiver_says_what_it_has(states: tuple[DeliveryState, ...], text: str, tone: str) -> None:
    judged = verdict(*states)
    assert (judged.text, judged.tone) == (text, tone)


@pytest.mark.parametrize(
    ("fields", "held", "text"),
    [
        ({"leased": True}, "paused", "sending now"),
        ({"due_ms": NOW_MS - 1}, "", "waiting, due now"),
        ({"due_ms": NOW_MS - 1}, "the endpoint is paused", "waiting: the endpoint is paused"),
        ({"due_ms": None}, "", "waiting for an earlier event"),
        ({"due_ms": NOW_MS + 36_000_000}, "", "waiting, next attempt 31 Oct, 00:00 UTC"),
    ],
)
def test_judge_receiver_says_what_a_delivery_waits_for(fields: dict[str, Any], held: str, text: str) -> None:
    assert verdict("pending", held=held, **fields).text == f"does not have it; {text}"


def test_judge_receiver_marks_what_came_late() -> None:
    exact = verdict("delivered", finished_ms=ACCEPTED_MS + LATE_MS)
    late = verdict("delivered", "delivered", finished_ms=ACCEPTED_MS + 240_000)
    assert (exact.late, exact.text) == ((), "has it")
    assert late.text == "has all 2; got OrderConfirmedEvent 4 min late (and 1 more)"


@given(st.lists(st.sampled_from(["delivered", "pending", "dead", "cancelled"]), min_size=1, max_size=6))
def test_cells_count_a_delivered_delivery_before_all_others(states: list[DeliveryState]) -> None:
    made = [delivery(number, state, finished_ms=NOW_MS + number) for number, state in enumerate(states, 1)]
    cell = cells_of([event()], made)[9][1]
    if "delivered" in states:
        assert cell.delivery.id == states.index("delivered") + 1  # the first that the receiver got
    elif "pending" in states:
        assert cell.state == "pending"
    else:
        assert cell.delivery.id == len(states)
    assert isinstance(cell, Cell)


def test_cells_leave_out_deliveries_of_other_events() -> None:
    assert cells_of([event(1)], [delivery(1, "delivered", event_id=2)]) == {}


def test_judge_says_who_has_it_and_who_got_it_late() -> None:
    late = verdict("delivered", name="ERP", finished_ms=ACCEPTED_MS + 240_000)
    shop, mail = verdict("delivered", name="Shop"), verdict("delivered", name="Mail")
    assert judge([shop, late, mail]).text == "all three receivers have it; ERP got OrderConfirmedEvent 4 min late"
    assert judge([shop, mail]).text == "both receivers have it"
    assert judge([shop]).text == "Shop has it"
    assert judge([]).text == "no endpoint matched its events"
    assert {judge([shop, late, mail]).tone, judge([shop]).tone} == {"good"}


def test_judge_names_who_lacks_events() -> None:
    shop, dead = verdict("delivered", name="Shop"), verdict("dead", "delivered", name="ERP")
    waits = verdict("pending", name="Mail")
    assert judge([shop, dead]).text == "one of two receivers has it; ERP has 1 of 2, 1 dead"
    assert (judge([shop, dead, waits]).tone, judge([shop, waits]).tone) == ("bad", "wait")
    assert judge([dead]).text == "ERP has 1 of 2, 1 dead"
    many = judge([verdict("dead", name=str(number)) for number in range(6)])
    assert many.text.startswith("none of six receivers has it; 0 does not have it, 1 dead; 1 does")
    assert many.text.endswith("3 more do not have all")


def test_clock_text_has_the_date_of_another_day() -> None:
    assert clock_text(NOW_MS, NOW_MS) == "14:00 UTC"
    assert clock_text(NOW_MS - 86_400_000, NOW_MS) == "29 Oct, 14:00 UTC"
    assert clock_text(NOW_MS - 366 * 86_400_000, NOW_MS) == "29 Oct 2025, 14:00 UTC"


def test_summary_is_plain_text_with_the_oldest_event_first() -> None:
    events = [event(2, "OrderDeliveredEvent"), event(1)]
    made = [delivery(1, "delivered", event_id=1), delivery(2, "dead", event_id=2, reason="attempts_exhausted")]
    judged = [judge_receiver(Receiver(id=9, name="E\u202eRP\n"), cells_of(events, made)[9], NOW_MS)]
    text = summary_text(
        "Order SO-1 (client 1)",
        [Identifier("OrderNo", "SO-1")],
        judge(judged),
        judged,
        events,
        now_ms=NOW_MS,
        id_text={1: "evt_1", 2: "evt_2"},
        more=True,
    )
    lines = text.splitlines()
    assert lines[0] == "Order SO-1 (client 1): E�RP� has 1 of 2, 1 dead."
    assert lines[1:3] == ["OrderNo SO-1", "As of 30 Oct 2026, 14:00:00 UTC."]
    assert text.index("older events are left out") < text.index("evt_1") < text.index("evt_2")
    assert "    E�RP�: dead: every retry was used" in lines
