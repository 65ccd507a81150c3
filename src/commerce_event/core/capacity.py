"""Decide how many more deliveries an endpoint may take on now.

A delivery takes a *slot* from the moment it is reserved or claimed until its attempt is answered. ``capacity`` weighs
all limits at once: the endpoint's own (concurrency, rate, circuit breaker, pause), the share of retries, the share of
endpoints that do not answer well, and a fair share of the node's slots for the endpoint and for its client. So an
endpoint that hangs holds only its own slots; however many endpoints hang, a quarter of all slots stays free for the
healthy ones; and however many endpoints of one client hang, a client that holds no slot gets one at once.

Times are monotonic seconds, passed in.
"""

from typing import Final

import msgspec

from commerce_event.core.circuit import Circuit

_SHARE: Final = 0.75  # of the slots, for retries and for untrusted endpoints; the rest is kept for the others
_KEPT: Final = 8  # one slot of so many is kept for clients that hold few,
_FEW: Final = 64  # which is at most one of so many
_PER_FREE: Final = 7  # a client holds at most so many slots for each one that it leaves to the others
_BURST_S: Final = 0.1  # seconds of a rate limit that may be used at once
_ROUNDING: Final = 1e-9  # an allowance of almost 1 counts as 1, so there is room at the time that next_opening returned


class EndpointLimits(msgspec.Struct, frozen=True):
    """One node's part of an endpoint's limits."""

    max_in_flight: int
    rate_limit: float | None = None  # deliveries a second


class EndpointLoad(msgspec.Struct, frozen=True):
    """What one node knows of an endpoint at a moment."""

    circuit: Circuit
    in_flight: int = 0  # slots held
    retries: int = 0  # of them, by retries
    due_first_tries: int = 0  # in the store, as far as known
    retries_due: bool = False  # in the store
    trusted: bool = False  # the last answer was a success
    paused_until: float = 0.0
    allowance: float = 1.0  # deliveries that the rate limit allows now


class NodeLoad(msgspec.Struct):
    """The slots of a node over all endpoints."""

    limit: int
    in_flight: int = 0  # slots held
    retries: int = 0  # of them, by retries
    untrusted: int = 0  # of them, by endpoints whose last answer was no success
    round: int = 0  # of claiming; decides who gets the slot that cannot be split


class ClientLoad(msgspec.Struct, eq=False):
    """The slots of one client's endpoints on a node."""

    in_flight: int = 0  # slots held
    untrusted: int = 0  # of them, by endpoints whose last answer was no success


class Capacity(msgspec.Struct, frozen=True):
    """How many more deliveries an endpoint may take on.

    Either ``fresh`` new events go out without waiting in the store, or ``first_tries`` and ``retries`` are claimed
    from it. ``starved``: the endpoint would allow more, but the node has no slot for it, or none for its client.
    """

    fresh: int
    first_tries: int
    retries: int
    starved: bool


def node_share(max_in_flight: int, rate_limit: float | None, nodes: int) -> EndpointLimits:
    """Return one node's part of an endpoint's limits: equal parts, and at least one slot."""
    return EndpointLimits(max(1, max_in_flight // nodes), None if rate_limit is None else rate_limit / nodes)


def client_room(client: ClientLoad, node: NodeLoad, *, trusted: bool) -> int:
    """Return how many more slots a client's endpoints may take in all.

    A client that holds few slots may use all that are free. One that holds more leaves a part of the slots alone and
    of the others holds at most seven for each free one, or one for each free one by untrusted endpoints.
    """
    free = node.limit - node.in_flight
    few = min(free, max(1, node.limit // _FEW) - client.in_flight)
    open_to_all = free - node.limit // _KEPT
    share = (_PER_FREE * open_to_all - client.in_flight) // (_PER_FREE + 1)
    if not trusted:
        few = min(few, node.limit - node.limit // _KEPT - node.untrusted)
        share = min(share, (open_to_all - client.untrusted) // 2, max(1, int(node.limit * _SHARE)) - node.untrusted)
    return max(few, share)


def capacity(limits: EndpointLimits, load: EndpointLoad, client: ClientLoad, node: NodeLoad, now: float) -> Capacity:
    """Return how many more deliveries an endpoint may take on now."""
    if now < load.paused_until:
        own = 0
    elif limits.rate_limit is not None:
        own = max(0, min(load.circuit.slots(now, load.in_flight, limits.max_in_flight), _whole(load.allowance)))
    elif load.circuit.failures:
        own = load.circuit.slots(now, load.in_flight, limits.max_in_flight)
    else:  # healthy: keep as many again ready for the moment when a slot becomes free
        own = max(0, 2 * limits.max_in_flight - load.in_flight)

    # No endpoint holds more slots than it leaves free in all.
    fair = (node.limit - node.in_flight - load.in_flight + 1) // 2
    fair = min(fair, client_room(client, node, trusted=load.trusted))
    room = max(0, min(own, fair))

    retries = kept = 0
    if load.retries_due:
        # While first tries are due as well, retries get every fourth slot.
        part = (room + node.round % 4) // 4 if load.due_first_tries else room
        own_retries = max(1, int(limits.max_in_flight * _SHARE)) - load.retries
        all_retries = max(1, int(node.limit * _SHARE)) - node.retries
        retries = max(0, min(part, own_retries, all_retries))
        kept = limits.max_in_flight // 4
    return Capacity(
        fresh=max(0, room - load.due_first_tries - kept),  # what is due in the store goes first
        first_tries=min(load.due_first_tries, room - retries),
        retries=retries,
        starved=fair <= 0 < own,
    )


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
