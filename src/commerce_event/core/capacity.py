"""Decide how many more deliveries an endpoint may take on now.

A delivery takes a *slot* from the moment it is reserved or claimed until its attempt is answered. ``capacity`` weighs
all limits at once: the endpoint's own (concurrency, rate, circuit breaker, pause), the shares of retries and of bulk
deliveries, the share of endpoints that do not answer well, and a fair share of the node's slots for the endpoint and
for its client. So an endpoint that hangs holds only its own slots; however many endpoints hang, a quarter of all slots
stays free for the healthy ones; and however many endpoints of one client hang, a client that holds no slot gets one at
once.

Bulk deliveries leave a quarter of the slots of each endpoint and of the node to the others, and do not count against
the fair share of the others: so however many bulk deliveries wait, another delivery gets a slot at once. While others
wait, a quarter of an endpoint's slots is kept for its bulk deliveries.

Times are monotonic seconds, passed in.
"""

from typing import Final

import msgspec

from commerce_event.core.circuit import Circuit

_SHARE: Final = 0.75  # of the slots, for retries, bulk and untrusted endpoints; the rest is kept for the others
_KEPT: Final = 8  # one slot of so many is kept for clients that hold few,
_FEW: Final = 64  # which is at most one of so many
_PER_FREE: Final = 7  # a client holds at most so many slots for each one that it leaves to the others
_BULK_PART: Final = 4  # one slot of so many is kept for bulk deliveries, one for the others
_BURST_S: Final = 0.1  # seconds of a rate limit that may be used at once
_ROUNDING: Final = 1e-9  # an allowance of almost 1 counts as 1, so there is room at the time that next_opening returned


class EndpointLimits(msgspec.Struct, frozen=True):
    """One node's part of an endpoint's limits."""

    max_in_flight: int
    rate_limit: float | None = None  # deliveries a second

    @property
    def max_bulk_in_flight(self) -> int:
        """How many requests of bulk deliveries may be under way: the others find one free at once."""
        return max(1, int(self.max_in_flight * _SHARE))


class EndpointLoad(msgspec.Struct, frozen=True):
    """What one node knows of an endpoint at a moment."""

    circuit: Circuit
    in_flight: int = 0  # slots held
    retries: int = 0  # of them, by retries
    bulk: int = 0  # of them, by bulk deliveries
    due_first_tries: int = 0  # in the store, as far as known
    retries_due: bool = False  # in the store
    due_bulk: int = 0  # in the store, as far as known
    trusted: bool = False  # the last answer was a success
    paused_until: float = 0.0
    allowance: float = 1.0  # deliveries that the rate limit allows now


class NodeLoad(msgspec.Struct):
    """The slots of a node over all endpoints."""

    limit: int
    in_flight: int = 0  # slots held
    retries: int = 0  # of them, by retries
    bulk: int = 0  # of them, by bulk deliveries
    untrusted: int = 0  # of them, by endpoints whose last answer was no success
    round: int = 0  # of claiming; decides who gets the slot that cannot be split


class ClientLoad(msgspec.Struct, eq=False):
    """The slots of one client's endpoints on a node."""

    in_flight: int = 0  # slots held
    untrusted: int = 0  # of them, by endpoints whose last answer was no success
    bulk: int = 0  # of all, by bulk deliveries
    untrusted_bulk: int = 0  # of the untrusted ones, by bulk deliveries


class Capacity(msgspec.Struct, frozen=True):
    """How many more deliveries an endpoint may take on.

    Either ``fresh`` new events (of bulk ones ``fresh_bulk``) go out without waiting in the store, or ``first_tries``,
    ``retries`` and ``bulk`` are claimed from it. ``starved``: the endpoint would allow more, but the node has no slot
    for it, or none for its client; ``starved_bulk``: the same for bulk deliveries that are due.
    """

    fresh: int
    fresh_bulk: int
    first_tries: int
    retries: int
    bulk: int
    starved: bool
    starved_bulk: bool = False


def node_share(max_in_flight: int, rate_limit: float | None, nodes: int) -> EndpointLimits:
    """Return one node's part of an endpoint's limits: equal parts, and at least one slot."""
    return EndpointLimits(max(1, max_in_flight // nodes), None if rate_limit is None else rate_limit / nodes)


def client_room(client: ClientLoad, node: NodeLoad, *, trusted: bool, bulk: bool = False) -> int:
    """Return how many more slots a client's endpoints may take in all.

    A client that holds few slots may use all that are free. One that holds more leaves a part of the slots alone and
    of the others holds at most seven for each free one, or one for each free one by untrusted endpoints. The slots of
    its bulk deliveries count only for more ``bulk`` ones.
    """
    held = client.in_flight if bulk else client.in_flight - client.bulk
    free = node.limit - node.in_flight
    few = min(free, max(1, node.limit // _FEW) - held)
    if client.bulk and not bulk:
        few = min(few, free - 1)  # the last one is for a client that holds none
    open_to_all = free - node.limit // _KEPT
    share = (_PER_FREE * open_to_all - held) // (_PER_FREE + 1)
    if not trusted:
        held = client.untrusted if bulk else client.untrusted - client.untrusted_bulk
        few = min(few, node.limit - node.limit // _KEPT - node.untrusted)
        share = min(share, (open_to_all - held) // 2, max(1, int(node.limit * _SHARE)) - node.untrusted)
    return max(few, share)


def capacity(
    limits: EndpointLimits,
    load: EndpointLoad,
    client: ClientLoad,
    node: NodeLoad,
    now: float,
    *,
    with_fresh_bulk: bool = True,
) -> Capacity:
    """Return how many more deliveries an endpoint may take on now. ``fresh_bulk`` costs time, and may be left out."""
    slots = limits.max_in_flight
    if now < load.paused_until:
        own = 0
    elif limits.rate_limit is not None:
        own = max(0, min(load.circuit.slots(now, load.in_flight, slots), _whole(load.allowance)))
    elif load.circuit.failures:
        own = load.circuit.slots(now, load.in_flight, slots)
    else:  # healthy: keep as many again ready for the moment when a slot becomes free
        slots *= 2
        own = max(0, slots - load.in_flight)

    # No endpoint holds more slots than it leaves free in all.
    free = node.limit - node.in_flight
    fair = (free - (load.in_flight - load.bulk) + 1) // 2
    fair = min(fair, client_room(client, node, trusted=load.trusted))
    room = max(0, min(own, fair))
    fair_bulk = bulk_room = kept_bulk = bulk = 0
    if load.due_bulk or with_fresh_bulk:
        part = max(1, slots // _BULK_PART)
        fair_bulk = min((free - load.in_flight + 1) // 2, _bulk_room(client, node, trusted=load.trusted))
        bulk_room = max(0, min(own, fair_bulk, max(1, slots - part) - load.bulk))
        kept_bulk = max(0, min(part - load.bulk, load.due_bulk))
        if load.due_first_tries or load.retries_due:  # they leave every fourth slot to it, until it has its part
            bulk = min(kept_bulk, bulk_room, (room + (node.round + 2) % 4) // 4)

    left = room - bulk
    retries = kept = 0
    if load.retries_due:
        # While first tries are due as well, retries get every fourth slot.
        retry_part = (left + node.round % 4) // 4 if load.due_first_tries else left
        own_retries = max(1, int(limits.max_in_flight * _SHARE)) - load.retries
        all_retries = max(1, int(node.limit * _SHARE)) - node.retries
        retries = max(0, min(retry_part, own_retries, all_retries))
        kept = limits.max_in_flight // 4
    first_tries = min(load.due_first_tries, left - retries)
    return Capacity(
        fresh=max(0, room - load.due_first_tries - kept - kept_bulk),  # what is due in the store goes first
        fresh_bulk=max(0, min(bulk_room, room - load.due_first_tries - kept) - load.due_bulk),
        first_tries=first_tries,
        retries=retries,
        bulk=min(load.due_bulk, bulk_room, room - first_tries - retries),  # all that the others leave
        starved=fair <= 0 < own,
        starved_bulk=load.due_bulk > 0 and fair_bulk <= 0 < own,
    )


def _bulk_room(client: ClientLoad, node: NodeLoad, *, trusted: bool) -> int:
    """Return how many more slots the bulk deliveries of a client's endpoints may take in all."""
    room = min(client_room(client, node, trusted=trusted, bulk=True), max(1, int(node.limit * _SHARE)) - node.bulk)
    if not trusted:  # leave some of what untrusted endpoints may have
        room = min(room, max(1, int(node.limit * _SHARE * _SHARE)) - node.untrusted)
    return room


def next_opening(limits: EndpointLimits, load: EndpointLoad, now: float) -> float | None:
    """Return when time alone gives the endpoint room again; None when only an answer can."""
    if now < load.paused_until:
        return load.paused_until
    if limits.rate_limit is not None and _whole(load.allowance) < 1:
        return now + (1.0 - load.allowance) / limits.rate_limit
    return load.circuit.next_at(now)


def refill(allowance: float, rate_limit: float, elapsed_s: float) -> float:
    """Return a rate limit's allowance after some time: at most a burst of 0.1 seconds, and at least one delivery."""
    return min(max(1.0, rate_limit * _BURST_S), allowance + elapsed_s * rate_limit)


def _whole(allowance: float) -> int:
    return int(allowance + _ROUNDING)
