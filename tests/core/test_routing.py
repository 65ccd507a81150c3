"""Routing: every event reaches the endpoints that want it, no other client's, and the reasons can be read."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.contract.catalogue import CONTRACT, EVENT_TYPES
from commerce_event.core.model import Endpoint
from commerce_event.core.routing import MatchExplanation, RouteTable, explain

CONFIRMED = EVENT_TYPES["OrderConfirmedEvent"]
DELIVERED = EVENT_TYPES["OrderDeliveredEvent"]
JOB = EVENT_TYPES["JobCompletedEvent"]
DATA: dict[str, Any] = {"ClientId": 1, "OrderNo": "A-1"}


def an_endpoint(number: int = 1, **fields: Any) -> Endpoint:
    defaults: dict[str, Any] = {"id": number, "client_id": 1, "url": "https://a.example/", "event_types": ("*",)}
    return Endpoint(**defaults | fields)


def matched_ids(
    table: RouteTable, event_type: Any = CONFIRMED, application_id: int | None = None, **data: Any
) -> list[int]:
    return [endpoint.id for endpoint in table.match(1, event_type, application_id, DATA | data)]


def failed_rules(verdict: MatchExplanation) -> list[str]:
    return [rule.name for rule in verdict.rules if not rule.passed]


def test_event_of_a_client_without_endpoints_matches_nothing() -> None:
    assert RouteTable([]).match(1, CONFIRMED, None, DATA) == ()
    assert RouteTable([an_endpoint(client_id=2)]).match(1, CONFIRMED, None, DATA) == ()


@pytest.mark.parametrize(
    ("event_types", "wanted"),
    [
        (("*",), {"OrderConfirmedEvent", "OrderDeliveredEvent", "JobCompletedEvent"}),
        (("Order",), {"OrderConfirmedEvent", "OrderDeliveredEvent"}),
        (("OrderConfirmedEvent",), {"OrderConfirmedEvent"}),
        (("System", "OrderDeliveredEvent"), {"JobCompletedEvent", "OrderDeliveredEvent"}),
        (("order", "orderconfirmedevent", "Order*"), set()),
        ((), set()),
    ],
)
def test_types_are_chosen_by_name_category_or_star(event_types: tuple[str, ...], wanted: set[str]) -> None:
    table = RouteTable([an_endpoint(event_types=event_types)])
    assert {kind.name for kind in (CONFIRMED, DELIVERED, JOB) if matched_ids(table, kind)} == wanted


@pytest.mark.parametrize(
    ("event_types", "except_types", "wanted"),
    [
        (("*",), ("OrderConfirmedEvent",), {"OrderDeliveredEvent", "JobCompletedEvent"}),
        (("*",), ("Order",), {"JobCompletedEvent"}),
        (("Order", "OrderConfirmedEvent"), ("OrderConfirmedEvent",), {"OrderDeliveredEvent"}),
        (("Order",), ("Product",), {"OrderConfirmedEvent", "OrderDeliveredEvent"}),
        (("OrderConfirmedEvent",), ("Order",), set()),
    ],
)
def test_types_that_are_left_out_never_match(
    event_types: tuple[str, ...], except_types: tuple[str, ...], wanted: set[str]
) -> None:
    endpoint = an_endpoint(event_types=event_types, except_types=except_types)
    table = RouteTable([endpoint])
    assert {kind.name for kind in (CONFIRMED, DELIVERED, JOB) if matched_ids(table, kind)} == wanted
    assert {each.name for each in CONTRACT.select(event_types, except_types)} >= wanted
    rule = explain(endpoint, 1, CONFIRMED, None, DATA).rules[2]
    assert rule.wanted == {"event_types": event_types, "except": except_types}
    assert rule.passed is ("OrderConfirmedEvent" in wanted)


def test_paused_endpoint_matches_as_usual() -> None:
    assert matched_ids(RouteTable([an_endpoint(paused=True)])) == [1]


@pytest.mark.parametrize(("application_id", "expected"), [(None, [1]), (7, [1, 2]), (8, [1, 3]), (9, [1]), (0, [1])])
def test_endpoint_of_an_application_takes_only_its_events(application_id: int | None, expected: list[int]) -> None:
    table = RouteTable([an_endpoint(1), an_endpoint(2, application_id=7), an_endpoint(3, application_id=8)])
    assert matched_ids(table, application_id=application_id) == expected


def test_endpoint_that_is_off_or_deleted_never_matches() -> None:
    assert matched_ids(RouteTable([an_endpoint(1, enabled=False), an_endpoint(2, deleted_ms=5)])) == []


def test_filter_is_asked_for_each_event() -> None:
    table = RouteTable([an_endpoint(1, filter={"OrderNo": {"prefix": "A"}}), an_endpoint(2), an_endpoint(3, filter={})])
    assert sorted(matched_ids(table)) == [1, 2, 3]
    assert sorted(matched_ids(table, OrderNo="B-1")) == [2, 3]


def test_same_filter_serves_every_type_and_application() -> None:
    table = RouteTable([an_endpoint(1, filter={"OrderNo": "A-1"}), an_endpoint(2, application_id=7)])
    assert matched_ids(table, CONFIRMED) == matched_ids(table, DELIVERED) == [1]
    assert matched_ids(table, DELIVERED, 7) == [2, 1]


def test_candidates_stay_the_same_until_an_endpoint_of_the_client_changes() -> None:
    table = RouteTable([an_endpoint(1, filter={"OrderNo": {"contains": "A"}}), an_endpoint(2, client_id=2)])
    before = table.candidates(1, CONFIRMED, None)
    table.put(an_endpoint(2, client_id=2, enabled=False))
    assert table.candidates(1, CONFIRMED, None) is before
    table.put(an_endpoint(3))
    assert table.candidates(1, CONFIRMED, None) is not before


def test_match_steps_find_what_match_finds_and_yield_after_each_condition() -> None:
    either = {"any": [{"OrderNo": "B"}, {"OrderNo": "A-1"}]}
    table = RouteTable([an_endpoint(1, filter=either), an_endpoint(2), an_endpoint(3, filter={"OrderNo": "B"})])
    candidates = table.candidates(1, CONFIRMED, None)
    results: list[tuple[Endpoint, ...]] = []

    def run() -> Iterator[None]:
        results.append((yield from candidates.match_steps(DATA)))

    assert len(list(run())) == candidates.condition_count == 3
    assert results == [candidates.match(DATA)]


def test_cost_grows_with_the_number_of_searches_and_the_size_of_the_event() -> None:
    table = RouteTable([an_endpoint(1, filter={"all": [{"OrderNo": {"contains": "A"}}] * 3}), an_endpoint(2)])
    candidates = table.candidates(1, CONFIRMED, None)
    assert candidates.search_count == 3
    assert candidates.cost(100) < candidates.cost(10_000) < candidates.cost(1_000_000)


def test_applications_that_no_endpoint_names_take_no_memory() -> None:
    table = RouteTable([an_endpoint(1), an_endpoint(2, application_id=7)])
    for application_id in range(1000):
        table.match(1, CONFIRMED, application_id, DATA)
        table.match(application_id + 2, CONFIRMED, application_id, DATA)
    assert len(table._routes) == 1
    assert len(table._routes[1]._known) == 2


def test_endpoint_that_changed_takes_the_place_of_its_former_form() -> None:
    table = RouteTable([an_endpoint(1), an_endpoint(2, client_id=2)])
    assert (matched_ids(table), ids_for(table, 2)) == ([1], [2])
    table.put(an_endpoint(1, enabled=False))
    table.put(an_endpoint(3))
    table.put(an_endpoint(2, client_id=2, event_types=("System",)))
    assert (matched_ids(table), ids_for(table, 2)) == ([3], [])
    table.put(an_endpoint(1))
    assert matched_ids(table) == [1, 3]


def ids_for(table: RouteTable, client_id: int) -> list[int]:
    return [endpoint.id for endpoint in table.match(client_id, CONFIRMED, None, DATA)]


def test_explanation_names_every_rule_in_order_also_after_a_failed_one() -> None:
    endpoint = an_endpoint(
        client_id=2,
        application_id=7,
        event_types=("System",),
        enabled=False,
        disabled_reason="gone",
        filter={"OrderNo": "B"},
    )
    verdict = explain(endpoint, 1, CONFIRMED, 8, DATA)
    assert not verdict.matched
    assert [(rule.name, rule.passed, rule.wanted, rule.found) for rule in verdict.rules[:4]] == [
        ("client", False, 2, 1),
        ("application", False, 7, 8),
        ("type", False, ("System",), ("OrderConfirmedEvent", "Order")),
        ("enabled", False, "on", "off: gone"),
    ]
    last = verdict.rules[4]
    assert (last.name, last.passed, last.wanted) == ("filter", False, {"OrderNo": "B"})
    assert [(condition.path, condition.found) for condition in last.found] == [("OrderNo", "A-1")]


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({}, []),
        ({"client_id": 2}, ["client"]),
        ({"application_id": 8}, ["application"]),
        ({"event_types": ("JobCompletedEvent",)}, ["type"]),
        ({"enabled": False}, ["enabled"]),
        ({"deleted_ms": 1}, ["enabled"]),
        ({"filter": {"OrderNo": "B-1"}}, ["filter"]),
    ],
)
def test_explanation_points_at_the_rule_that_failed(fields: dict[str, Any], failed: list[str]) -> None:
    verdict = explain(an_endpoint(**fields), 1, CONFIRMED, 7, DATA)
    assert failed_rules(verdict) == failed
    assert verdict.matched is (failed == [])


@pytest.mark.parametrize(("fields", "found"), [({}, "on"), ({"enabled": False}, "off"), ({"deleted_ms": 1}, "deleted")])
def test_explanation_says_how_the_endpoint_stands(fields: dict[str, Any], found: str) -> None:
    assert explain(an_endpoint(**fields), 1, CONFIRMED, None, DATA).rules[3].found == found


def test_explanation_becomes_json() -> None:
    verdict = explain(an_endpoint(filter={"OrderId": {"exists": True}}), 1, CONFIRMED, None, DATA)
    assert msgspec.json.decode(msgspec.json.encode(verdict))["rules"][4]["found"][0]["path"] == "OrderId"


ENDPOINTS = st.builds(
    an_endpoint,
    st.integers(1, 1_000_000),
    client_id=st.integers(1, 2),
    application_id=st.none() | st.integers(7, 8),
    event_types=st.lists(st.sampled_from(["*", "Order", "System", "OrderConfirmedEvent", "JobCompletedEvent"])).map(
        tuple
    ),
    except_types=st.just(())
    | st.sampled_from([("Order",), ("OrderConfirmedEvent",), ("System", "OrderDeliveredEvent")]),
    paused=st.booleans(),
    enabled=st.booleans() | st.just(True),
    deleted_ms=st.none() | st.just(3),
    filter=st.sampled_from([None, {}, {"OrderNo": "A"}, {"not": {"OrderNo": "A"}}, {"$.N": {"gt": 1}}]),
)
TYPES = st.sampled_from([CONFIRMED, DELIVERED, JOB])
APPLICATIONS = st.none() | st.integers(6, 9)
BODIES = st.fixed_dictionaries({}, optional={"OrderNo": st.sampled_from(["A", "B"]), "N": st.integers(0, 3)})


@given(
    st.lists(ENDPOINTS, max_size=6, unique_by=lambda endpoint: endpoint.id),
    st.lists(st.tuples(st.integers(1, 3), TYPES, APPLICATIONS, BODIES), min_size=1, max_size=4),
)
@settings(max_examples=50)
def test_explanation_agrees_with_the_table(endpoints: list[Endpoint], events: list[Any]) -> None:
    table = RouteTable(endpoints)
    for event in events:
        explained = {endpoint.id for endpoint in endpoints if explain(endpoint, *event).matched}
        matched = [endpoint.id for endpoint in table.match(*event)]
        assert len(matched) == len(set(matched))
        assert set(matched) == explained


@given(st.lists(ENDPOINTS, max_size=6, unique_by=lambda endpoint: endpoint.id), TYPES, APPLICATIONS, BODIES)
@settings(max_examples=40)
def test_other_clients_endpoints_change_nothing(
    endpoints: list[Endpoint], event_type: Any, application_id: int | None, data: dict[str, Any]
) -> None:
    own = RouteTable(endpoint for endpoint in endpoints if endpoint.client_id == 1)
    everyone = RouteTable(endpoints)
    assert everyone.match(1, event_type, application_id, data) == own.match(1, event_type, application_id, data)
