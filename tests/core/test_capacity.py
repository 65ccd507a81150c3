"""How many more deliveries an endpoint may take: every limit as a table of cases, then laws that always hold."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.capacity import (
    Capacity,
    ClientLoad,
    EndpointLimits,
    EndpointLoad,
    NodeLoad,
    capacity,
    client_room,
    next_opening,
    node_share,
    refill,
)
from commerce_event.core.circuit import Circuit

NOW = 1_000.0
MANY = 1 << 30


def circuit(failures: int = 0, *, opened_at: float | None = None) -> Circuit:
    """Return a circuit after so many failures; opened at that time, its next probe is due a second later."""
    made = Circuit(threshold=0 if opened_at is None else max(1, failures), min_span_s=0.0)
    for _ in range(failures):
        made.record(False, NOW if opened_at is None else opened_at)
    return made


def one_client(load: dict[str, Any], node: dict[str, Any]) -> ClientLoad:
    """Return the load of a client to which every endpoint of the node belongs."""
    held = node.get("in_flight", load.get("in_flight", 0))
    return ClientLoad(held, node.get("untrusted", 0 if load.get("trusted") else load.get("in_flight", 0)))


FAILING = circuit(3)
OPEN = circuit(3, opened_at=NOW)
OPEN_FOR_PROBE = circuit(3, opened_at=NOW - 1.0)

TABLE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], tuple[int, int, int]]] = [
    # what, endpoint's limits, its load, the node's load, (fresh, first tries, retries)
    ("healthy endpoint has twice its slots", {}, {}, {}, (8, 0, 0)),
    ("slots held are taken off", {}, {"in_flight": 5}, {}, (3, 0, 0)),
    ("all slots held", {}, {"in_flight": 8}, {}, (0, 0, 0)),
    ("more held than a lowered limit allows", {}, {"in_flight": 30}, {}, (0, 0, 0)),
    ("failing endpoint has its slots once", {}, {"circuit": FAILING}, {}, (4, 0, 0)),
    ("failing endpoint with slots held", {}, {"circuit": FAILING, "in_flight": 3}, {}, (1, 0, 0)),
    # circuit
    ("open circuit before its probe", {}, {"circuit": OPEN}, {}, (0, 0, 0)),
    ("open circuit lets one probe through", {}, {"circuit": OPEN_FOR_PROBE}, {}, (1, 0, 0)),
    ("open circuit while the probe is under way", {}, {"circuit": OPEN_FOR_PROBE, "in_flight": 1}, {}, (0, 0, 0)),
    ("open circuit with retries due", {}, {"circuit": OPEN_FOR_PROBE, "retries_due": True}, {}, (0, 0, 1)),
    # pause
    ("paused endpoint", {}, {"paused_until": NOW + 0.1, "due_first_tries": 9, "retries_due": True}, {}, (0, 0, 0)),
    ("pause that has just ended", {}, {"paused_until": NOW}, {}, (8, 0, 0)),
    # rate
    ("rate allowance below the slots", {"rate_limit": 50.0}, {"allowance": 3.0}, {}, (3, 0, 0)),
    ("rate allowance above the slots", {"rate_limit": 500.0}, {"allowance": 50.0}, {}, (4, 0, 0)),
    ("rate allowance used up", {"rate_limit": 50.0}, {"allowance": 0.9}, {}, (0, 0, 0)),
    ("rate allowance overdrawn", {"rate_limit": 50.0}, {"allowance": -7.0}, {}, (0, 0, 0)),
    ("rate allowance of one but for rounding", {"rate_limit": 1.0}, {"allowance": 1.0 - 1e-12}, {}, (1, 0, 0)),
    ("allowance without a rate limit means nothing", {}, {"allowance": -7.0}, {}, (8, 0, 0)),
    # due in the store
    ("fresh events leave room for due first tries", {}, {"due_first_tries": 3}, {}, (5, 3, 0)),
    ("due first tries fill the room", {}, {"due_first_tries": 9}, {}, (0, 8, 0)),
    ("due first tries that were not counted", {}, {"due_first_tries": MANY}, {}, (0, 8, 0)),
    ("fresh events leave a quarter to due retries", {}, {"retries_due": True}, {}, (7, 0, 3)),
    # share of retries
    ("retries get three quarters of the slots", {"max_in_flight": 20}, {"retries_due": True}, {"limit": 256}, (35, 0, 15)),
    ("retries held count against their share", {}, {"retries_due": True, "retries": 2, "in_flight": 2}, {}, (5, 0, 1)),
    ("share of retries is used up", {}, {"retries_due": True, "retries": 3, "in_flight": 3}, {}, (4, 0, 0)),
    ("one slot may serve a retry", {"max_in_flight": 1}, {"retries_due": True}, {}, (2, 0, 1)),
    ("next to first tries, every fourth slot", {}, {"due_first_tries": MANY, "retries_due": True}, {}, (0, 6, 2)),
    (
        "slot that cannot be split goes to first tries",
        {"max_in_flight": 1},
        {"due_first_tries": MANY, "retries_due": True, "in_flight": 1},
        {"round": 4},
        (0, 1, 0),
    ),
    (
        "and in every fourth round to a retry",
        {"max_in_flight": 1},
        {"due_first_tries": MANY, "retries_due": True, "in_flight": 1},
        {"round": 7},
        (0, 0, 1),
    ),
    ("retries of the node are at their share", {}, {"retries_due": True}, {"limit": 256, "retries": 192, "in_flight": 192},
     (3, 0, 0)),
    ("two more retries on the node", {}, {"retries_due": True, "trusted": True}, {"retries": 46}, (7, 0, 2)),
    # share of untrusted endpoints
    ("untrusted endpoints hold their share", {}, {}, {"untrusted": 48, "in_flight": 48}, (0, 0, 0)),
    ("untrusted endpoints of a client leave two slots", {}, {}, {"untrusted": 26, "in_flight": 26}, (2, 0, 0)),
    ("untrusted endpoints of a client hold half", {}, {}, {"untrusted": 28, "in_flight": 28}, (0, 0, 0)),
    ("trusted endpoint has more", {}, {"trusted": True}, {"untrusted": 28, "in_flight": 28}, (8, 0, 0)),
    ("untrusted endpoint of a small node", {}, {}, {"limit": 1}, (1, 0, 0)),
    # fair share of all slots
    ("all slots of the node are held", {}, {"trusted": True}, {"in_flight": 64}, (0, 0, 0)),
    ("as many held as are free in all", {"max_in_flight": 64}, {"trusted": True, "in_flight": 32}, {"in_flight": 32},
     (0, 0, 0)),
    ("half of the node for one endpoint", {"max_in_flight": 64}, {"trusted": True, "in_flight": 20}, {"in_flight": 20},
     (12, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "load", "node", "expected"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_capacity_in_each_case(
    limits: dict[str, Any], load: dict[str, Any], node: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    found = capacity(
        EndpointLimits(**{"max_in_flight": 4} | limits),
        EndpointLoad(**{"circuit": circuit()} | load),
        one_client(load, node),
        NodeLoad(**{"limit": 64} | node),
        NOW,
    )

    assert (found.fresh, found.first_tries, found.retries) == expected


@pytest.mark.parametrize(
    ("load", "node", "starved"),
    [
        ({}, {}, False),
        ({"trusted": True}, {"in_flight": 64}, True),
        ({}, {"untrusted": 48, "in_flight": 48}, True),
        ({"in_flight": 8}, {"in_flight": 64}, False),
        ({"paused_until": NOW + 1.0}, {"in_flight": 64}, False),
    ],
    ids=["room", "node is full", "untrusted share is full", "endpoint is full", "endpoint is paused"],
)
def test_starved_when_only_the_node_lacks_slots(load: dict[str, Any], node: dict[str, Any], starved: bool) -> None:
    found = capacity(
        EndpointLimits(4),
        EndpointLoad(**{"circuit": circuit()} | load),
        one_client(load, node),
        NodeLoad(**{"limit": 64} | node),
        NOW,
    )

    assert found.starved is starved


BULK_TABLE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], tuple[int, int, int, int, int]]] = [
    # what, endpoint's limits, its load, the node's load, (fresh, fresh bulk, first tries, retries, bulk)
    ("bulk leaves a quarter of the slots", {}, {}, {}, (8, 6, 0, 0, 0)),
    ("bulk that is due goes before new bulk", {}, {"due_bulk": 2}, {}, (6, 4, 0, 0, 2)),
    ("new events keep a quarter for bulk that is due", {}, {"due_bulk": MANY}, {}, (6, 0, 0, 0, 6)),
    ("bulk that holds its part keeps no more", {}, {"due_bulk": MANY, "bulk": 2, "in_flight": 2}, {}, (6, 0, 0, 0, 4)),
    ("bulk at its limit", {}, {"due_bulk": MANY, "bulk": 6, "in_flight": 6}, {}, (2, 0, 0, 0, 0)),
    ("next to first tries, every fourth slot", {}, {"due_first_tries": MANY, "due_bulk": MANY}, {}, (0, 0, 6, 0, 2)),
    ("of all three kinds", {"max_in_flight": 8}, {"due_first_tries": MANY, "retries_due": True, "due_bulk": MANY}, {},
     (0, 0, 9, 3, 4)),
    ("first tries alone once bulk holds its part", {},
     {"due_first_tries": MANY, "due_bulk": MANY, "bulk": 2, "in_flight": 2}, {}, (0, 0, 6, 0, 0)),
    ("what few first tries leave", {}, {"due_first_tries": 1, "due_bulk": MANY}, {}, (5, 0, 1, 0, 6)),
    ("one slot goes to first tries", {"max_in_flight": 1}, {"circuit": FAILING, "due_first_tries": 1, "due_bulk": 1}, {},
     (0, 0, 1, 0, 0)),
    ("and in every fourth round to bulk", {"max_in_flight": 1},
     {"circuit": FAILING, "due_first_tries": 1, "due_bulk": 1}, {"round": 1}, (0, 0, 0, 0, 1)),
    ("rate allowance goes to first tries", {"rate_limit": 50.0},
     {"allowance": 3.0, "due_first_tries": MANY, "due_bulk": MANY}, {}, (0, 0, 2, 0, 1)),
    ("bulk of the node is at its limit", {}, {"due_bulk": MANY}, {"in_flight": 48, "bulk": 48}, (2, 0, 0, 0, 0)),
    ("bulk elsewhere leaves room for others", {"max_in_flight": 64}, {"trusted": True, "bulk": 48, "in_flight": 48},
     {"in_flight": 48, "bulk": 48}, (7, 0, 0, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "load", "node", "expected"), [r[1:] for r in BULK_TABLE], ids=[r[0] for r in BULK_TABLE]
)
def test_capacity_for_bulk_in_each_case(
    limits: dict[str, Any], load: dict[str, Any], node: dict[str, Any], expected: tuple[int, int, int, int, int]
) -> None:
    node = {"in_flight": load.get("in_flight", 0), "bulk": load.get("bulk", 0)} | node
    client = ClientLoad(node["in_flight"], bulk=node["bulk"])
    found = capacity(
        EndpointLimits(**{"max_in_flight": 4} | limits),
        EndpointLoad(**{"circuit": circuit()} | load),
        client,
        NodeLoad(**{"limit": 64} | node),
        NOW,
    )

    assert (found.fresh, found.fresh_bulk, found.first_tries, found.retries, found.bulk) == expected


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [(1, EndpointLimits(32, 10.0)), (2, EndpointLimits(16, 5.0)), (3, EndpointLimits(10, 10 / 3)),
     (64, EndpointLimits(1, 10 / 64))],
)  # fmt: skip
def test_node_share_is_an_equal_part_and_at_least_one_slot(nodes: int, expected: EndpointLimits) -> None:
    assert node_share(32, 10.0, nodes) == expected


def test_node_share_without_rate_limit_has_none() -> None:
    assert node_share(32, None, 4) == EndpointLimits(8, None)


@pytest.mark.parametrize(
    ("limits", "load", "expected"),
    [
        ({}, {}, None),
        ({}, {"in_flight": 8}, None),
        ({}, {"paused_until": NOW + 3.0}, NOW + 3.0),
        ({}, {"circuit": OPEN}, NOW + 1.0),
        ({}, {"circuit": OPEN_FOR_PROBE, "in_flight": 1}, None),
        ({"rate_limit": 0.5}, {"allowance": 0.5}, NOW + 1.0),
        ({"rate_limit": 0.5}, {"allowance": 1.0}, None),
    ],
    ids=["room", "full", "pause", "open circuit", "probe under way", "rate limit", "rate limit allows one"],
)
def test_next_opening_in_each_case(limits: dict[str, Any], load: dict[str, Any], expected: float | None) -> None:
    found = next_opening(
        EndpointLimits(**{"max_in_flight": 4} | limits), EndpointLoad(**{"circuit": circuit()} | load), NOW
    )

    assert found == expected


@pytest.mark.parametrize(
    ("allowance", "rate_limit", "elapsed_s", "expected"),
    [(0.0, 50.0, 0.0, 0.0), (0.0, 50.0, 0.04, 2.0), (0.0, 50.0, 9.0, 5.0), (0.0, 0.5, 1.0, 0.5), (0.0, 0.5, 9.0, 1.0),
     (-10.0, 50.0, 0.1, -5.0)],
    ids=["no time", "part of a burst", "at most a burst", "part of one", "at least one", "overdrawn"],
)  # fmt: skip
def test_refill_adds_the_rate_up_to_a_burst(
    allowance: float, rate_limit: float, elapsed_s: float, expected: float
) -> None:
    assert refill(allowance, rate_limit, elapsed_s) == pytest.approx(expected)


# Laws

LIMITS = st.builds(EndpointLimits, st.integers(1, 200), st.none() | st.floats(0.01, 1_000))
CIRCUITS = st.sampled_from([circuit(), FAILING, OPEN, OPEN_FOR_PROBE])
BOOLEANS = st.booleans()


@st.composite
def loads(draw: st.DrawFn) -> EndpointLoad:
    in_flight = draw(st.integers(0, 300))
    return EndpointLoad(
        circuit=draw(CIRCUITS),
        in_flight=in_flight,
        retries=(retries := draw(st.integers(0, in_flight))),
        bulk=draw(st.integers(0, in_flight - retries)),
        due_first_tries=draw(st.integers(0, 20) | st.just(MANY)),
        retries_due=draw(BOOLEANS),
        due_bulk=draw(st.integers(0, 20) | st.just(MANY)),
        trusted=draw(BOOLEANS),
        paused_until=draw(st.sampled_from([0.0, NOW, NOW + 5.0])),
        allowance=draw(st.floats(-100, 100)),
    )


@st.composite
def clients(draw: st.DrawFn, load: EndpointLoad, node: NodeLoad) -> ClientLoad:
    """Return the load of the endpoint's client, which has the endpoint's slots and some of the others'."""
    others = draw(st.integers(0, node.in_flight - load.in_flight))
    own = 0 if load.trusted else load.in_flight
    untrusted = draw(st.integers(0, min(others, node.untrusted - own)))
    return ClientLoad(
        load.in_flight + others,
        own + untrusted,
        load.bulk + draw(st.integers(0, min(others, node.bulk - load.bulk))),
        0 if load.trusted else load.bulk,
    )


@st.composite
def nodes(draw: st.DrawFn, load: EndpointLoad) -> NodeLoad:
    """Return the load of a node that has the endpoint's share in it, and other endpoints'."""
    others, retries, untrusted, bulk = (draw(st.integers(0, 300)) for _ in range(4))
    return NodeLoad(
        limit=draw(st.integers(1, 600)),
        in_flight=load.in_flight + others,
        retries=load.retries + min(retries, others),
        bulk=load.bulk + min(bulk, others),
        untrusted=(0 if load.trusted else load.in_flight) + min(untrusted, others),
        round=draw(st.integers(0, 9)),
    )


@given(st.data(), LIMITS, loads())
def test_capacity_is_never_negative_and_never_above_a_limit(
    data: st.DataObject, limits: EndpointLimits, load: EndpointLoad
) -> None:
    node = data.draw(nodes(load))
    client = data.draw(clients(load, node))
    found: Capacity = capacity(limits, load, client, node, NOW)

    claimed = found.first_tries + found.retries + found.bulk
    assert min(found.fresh, found.fresh_bulk, found.first_tries, found.retries, found.bulk) >= 0
    for taken in (found.fresh, found.fresh_bulk, claimed):
        assert taken == 0 or load.in_flight + taken <= 2 * limits.max_in_flight
        assert taken == 0 or node.in_flight + taken <= node.limit
        assert taken == 0 or limits.rate_limit is None or taken <= load.allowance + 1e-6
        assert taken == 0 or load.paused_until <= NOW
        assert taken <= 1 or load.circuit.state == "closed"
    assert found.first_tries <= load.due_first_tries
    assert found.retries == 0 or load.retries_due
    assert found.bulk <= load.due_bulk
    for taken in (found.fresh_bulk, found.bulk):
        assert taken == 0 or node.bulk + taken <= max(1, node.limit * 3 // 4)
        assert taken == 0 or load.bulk + taken <= max(1, 2 * limits.max_in_flight - max(1, limits.max_in_flight // 2))
    assert found.retries == 0 or load.retries + found.retries <= max(1, limits.max_in_flight * 3 // 4)
    assert found.retries == 0 or node.retries + found.retries <= max(1, node.limit * 3 // 4)


@given(st.data(), LIMITS, loads())
def test_unhealthy_endpoint_never_takes_slots_beyond_its_own(
    data: st.DataObject, limits: EndpointLimits, load: EndpointLoad
) -> None:
    node = data.draw(nodes(load))
    found = capacity(limits, load, data.draw(clients(load, node)), node, NOW)

    if load.circuit.failures:
        taken = max(found.fresh, found.fresh_bulk, found.first_tries + found.retries + found.bulk)
        assert taken == 0 or load.in_flight + taken <= limits.max_in_flight


@given(st.data(), LIMITS, loads())
def test_new_events_leave_room_for_due_deliveries(
    data: st.DataObject, limits: EndpointLimits, load: EndpointLoad
) -> None:
    node = data.draw(nodes(load))
    found = capacity(limits, load, data.draw(clients(load, node)), node, NOW)

    if found.fresh:
        assert load.due_first_tries + found.fresh <= 2 * limits.max_in_flight - load.in_flight
        assert found.first_tries + found.retries + found.bulk >= min(load.due_first_tries, 1)


class Hanging(NamedTuple):
    """Endpoints that take what they may, and never answer."""

    node: NodeLoad
    client: ClientLoad

    def take(self, max_in_flight: int, *, retries_due: bool, trusted: bool) -> int:
        load = EndpointLoad(circuit(), due_first_tries=MANY, retries_due=retries_due, trusted=trusted)
        found = capacity(EndpointLimits(max_in_flight), load, self.client, self.node, NOW)
        taken = found.first_tries + found.retries
        self._hold(taken, trusted=trusted)
        self.node.retries += found.retries
        return taken

    def take_bulk(self, max_in_flight: int, *, trusted: bool) -> None:
        load = EndpointLoad(circuit(), due_bulk=MANY, trusted=trusted)
        taken = capacity(EndpointLimits(max_in_flight), load, self.client, self.node, NOW).bulk
        self._hold(taken, trusted=trusted)
        for each in (self.node, self.client):
            each.bulk += taken
        self.client.untrusted_bulk += 0 if trusted else taken

    def _hold(self, taken: int, *, trusted: bool) -> None:
        for each in (self.node, self.client):
            each.in_flight += taken
            each.untrusted += 0 if trusted else taken


BULK = st.lists(st.tuples(st.integers(1, 1_000), BOOLEANS), max_size=20)
HANGING = st.lists(st.tuples(st.integers(1, 1_000), BOOLEANS, BOOLEANS), min_size=1, max_size=40)


@given(st.integers(4, 600), BULK, HANGING)
def test_quarter_of_the_slots_stays_free_however_many_endpoints_hang(
    limit: int, bulk: list[tuple[int, bool]], endpoints: list[tuple[int, bool, bool]]
) -> None:
    node, client = NodeLoad(limit), ClientLoad()
    for max_in_flight, _ in bulk if limit >= 16 else ():  # a quarter of fewer is too little for two clients
        Hanging(node, client).take_bulk(max_in_flight, trusted=False)
    for max_in_flight, retries_due, _ in endpoints:
        Hanging(node, client).take(max_in_flight, retries_due=retries_due, trusted=False)

    assert node.in_flight <= limit * 3 // 4
    healthy = EndpointLoad(circuit(), trusted=True)
    assert capacity(EndpointLimits(1), healthy, client, node, NOW).fresh >= 1


@given(st.integers(2, 10_000), BULK, HANGING, BOOLEANS, BOOLEANS)
def test_client_without_slots_gets_one_however_many_endpoints_of_another_hang(
    limit: int,
    bulk: list[tuple[int, bool]],
    endpoints: list[tuple[int, bool, bool]],
    lost_trust: bool,
    trusted: bool,
) -> None:
    node, client = NodeLoad(limit), ClientLoad()
    for max_in_flight, was_trusted in bulk:
        Hanging(node, client).take_bulk(max_in_flight, trusted=was_trusted)
    for max_in_flight, retries_due, was_trusted in endpoints:
        Hanging(node, client).take(max_in_flight, retries_due=retries_due, trusted=was_trusted)
    if lost_trust:
        node.untrusted = client.untrusted = client.in_flight
        client.untrusted_bulk = client.bulk

    for max_in_flight in (1, 32, 1_000):
        fresh = EndpointLoad(circuit(), trusted=trusted)
        assert capacity(EndpointLimits(max_in_flight), fresh, ClientLoad(), node, NOW).fresh >= 1
        waiting = EndpointLoad(circuit(), due_first_tries=MANY, retries_due=True, trusted=trusted)
        assert capacity(EndpointLimits(max_in_flight), waiting, ClientLoad(), node, NOW).first_tries >= 1


@given(st.integers(64, 10_000), st.integers(1, 1_000))
def test_client_without_slots_gets_one_though_several_others_take_all_they_may(limit: int, max_in_flight: int) -> None:
    node = NodeLoad(limit)
    for _ in range(6):
        client = ClientLoad()
        while Hanging(node, client).take(max_in_flight, retries_due=False, trusted=False):
            pass

    assert client_room(ClientLoad(), node, trusted=False) >= 1


@given(st.integers(2, 600), st.booleans(), st.integers(0, 600), st.integers(0, 600))
def test_client_takes_the_same_in_one_piece_and_in_many(limit: int, trusted: bool, others: int, held: int) -> None:
    node, client = NodeLoad(limit, in_flight=min(limit, others)), ClientLoad()
    taken = client_room(client, node, trusted=trusted)
    node.in_flight += max(0, taken)
    client.in_flight += max(0, taken)
    node.untrusted = client.untrusted = 0 if trusted else max(0, taken)

    assert node.in_flight <= limit
    assert client_room(client, node, trusted=trusted) <= 1


@given(st.integers(2, 600), st.integers(1, 1_000), st.integers(1, 1_000))
def test_no_single_endpoint_takes_more_than_half_of_the_node(limit: int, max_in_flight: int, due: int) -> None:
    node, held = NodeLoad(limit), 0
    while True:
        load = EndpointLoad(circuit(), in_flight=held, trusted=True, due_first_tries=due)
        found = capacity(EndpointLimits(max_in_flight), load, ClientLoad(), node, NOW)
        if not found.first_tries:
            break
        held += found.first_tries
        node.in_flight = held

    assert held <= (limit + 1) // 2


@given(st.integers(16, 10_000), st.lists(st.tuples(st.integers(1, 1_000), BOOLEANS), min_size=1, max_size=40), BOOLEANS)
def test_other_delivery_gets_a_slot_however_many_bulk_deliveries_wait(
    limit: int, endpoints: list[tuple[int, bool]], same_client: bool
) -> None:
    """Also at an endpoint whose bulk deliveries hold all that they may, and of the same client."""
    node, client = NodeLoad(limit), ClientLoad()
    held = []
    for max_in_flight, trusted in endpoints:
        before = client.bulk
        Hanging(node, client).take_bulk(max_in_flight, trusted=trusted)
        held.append(client.bulk - before)

    for (max_in_flight, trusted), bulk in zip(endpoints, held, strict=True):
        load = EndpointLoad(circuit(), in_flight=bulk, bulk=bulk, trusted=trusted)
        owner = client if same_client else ClientLoad(bulk, 0 if trusted else bulk, bulk, 0 if trusted else bulk)
        assert capacity(EndpointLimits(max_in_flight), load, owner, node, NOW).fresh >= 1


class Share(NamedTuple):
    """How many slots each kind of deliveries of an endpoint got."""

    others: int
    bulk: int


@given(
    st.integers(1, 64),
    st.none() | st.floats(1.0, 1_000.0),
    st.sampled_from([circuit(), FAILING]),
    BOOLEANS,
    st.integers(0, 3),
)
def test_bulk_and_others_both_get_their_share_while_both_wait(
    max_in_flight: int, rate_limit: float | None, state: Circuit, retries_due: bool, first_round: int
) -> None:
    """All slots are freed and claimed again, many times."""
    limits, node = EndpointLimits(max_in_flight, rate_limit), NodeLoad(10_000)
    got = Share(0, 0)
    for round_number in range(first_round, first_round + 64):
        node.round = round_number
        load = EndpointLoad(
            state, due_first_tries=MANY, retries_due=retries_due, due_bulk=MANY, trusted=True, allowance=1.0
        )
        found = capacity(limits, load, ClientLoad(), node, NOW)
        got = Share(got.others + found.first_tries + found.retries, got.bulk + found.bulk)
        assert found.first_tries + found.retries + found.bulk >= 1

    assert got.bulk >= (got.others + got.bulk) // 7  # a quarter, rounded down: at worst one of seven slots
    assert got.others >= (got.others + got.bulk) * 3 // 4 - 1


@given(LIMITS, loads())
def test_endpoint_has_room_at_its_next_opening(limits: EndpointLimits, load: EndpointLoad) -> None:
    now, node = NOW, NodeLoad(1_000)
    load = EndpointLoad(load.circuit, allowance=load.allowance, trusted=True, paused_until=load.paused_until)
    allowance = load.allowance
    for _ in range(3):  # pause, rate limit and circuit, one after the other
        opening = next_opening(limits, load, now)
        if opening is None:
            break
        assert opening >= now
        if limits.rate_limit is not None:
            allowance = refill(allowance, limits.rate_limit, opening - now)
        now = opening
        load = EndpointLoad(load.circuit, allowance=allowance, trusted=True, paused_until=load.paused_until)

    assert next_opening(limits, load, now) is None
    assert capacity(limits, load, ClientLoad(), node, now).fresh >= 1
