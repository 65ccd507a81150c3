"""Publish: matching, batches, refusals."""

import json
from functools import partial
from typing import Any, Final

from benchmarks.isolation.caller import (
    BATCH_BYTES_MAX,
    CONDITIONS_MAX,
    ENDPOINTS_MAX,
    EVENTS,
    JSON_LINES,
    ORDER_CONFIRMED,
    Caller,
    batch_of,
    order,
)
from benchmarks.isolation.client import Request
from benchmarks.isolation.receivers import OK, answers
from benchmarks.isolation.registry import Attack, scenario

# str.__contains__ is slowest for texts of less than 30,000 characters and needles of less than 100.
_SLOW_TEXT: Final = "a" * 29_500
_LARGE_TEXT: Final = "a" * 250_000
_DEPTH: Final = 60


def _contains_filter() -> dict[str, Any]:
    """Return conditions that nearly match everywhere in a text of one letter."""
    needles = [f"{'a' * (45 + n % 9)}b{'a' * (44 - n % 40)}" for n in range(CONDITIONS_MAX)]
    return {"any": [{"$.X": {"contains": needle}} for needle in needles]}


@scenario()
async def contains_on_one_event(a: Caller) -> Attack:
    """Publish one event after the other with a text that 200 x 50 `contains` conditions search.

    Limits: 200 endpoints of a client, 50 conditions of a filter, 256 KiB of an event.
    """
    await a.add_endpoints(ENDPOINTS_MAX, filter=_contains_filter())
    event = order(1, X=_SLOW_TEXT)
    return partial(a.flood, 4, lambda _: Request("POST", ORDER_CONFIRMED, event, a.key))


@scenario()
async def contains_on_a_large_event(a: Caller) -> Attack:
    """Publish events of 250 KB that 200 x 50 `contains` conditions search.

    Limits: as for one event; the text is as long as an event may be.
    """
    await a.add_endpoints(ENDPOINTS_MAX, filter=_contains_filter())
    event = order(1, X=_LARGE_TEXT)
    return partial(a.flood, 4, lambda _: Request("POST", ORDER_CONFIRMED, event, a.key))


@scenario()
async def contains_on_a_batch(a: Caller) -> Attack:
    """Publish batches of 16 MB whose every event 200 x 50 `contains` conditions search.

    Limits: as for one event, and 1,000 events or 16 MiB of a batch.
    """
    await a.add_endpoints(ENDPOINTS_MAX, filter=_contains_filter())
    body = batch_of(order(1, X=_SLOW_TEXT))
    return partial(a.flood, 2, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def long_paths_on_a_batch(a: Caller) -> Attack:
    """Publish batches of deep events that 200 x 50 conditions with the longest paths walk through.

    Limits: 256 characters of a path, 64 levels of an event, 50 conditions, 200 endpoints, 1,000 events.
    """
    path = "$.X" + ".a" * (_DEPTH - 2)
    conditions = [{path: {"prefix": f"b{n}"}} for n in range(CONDITIONS_MAX)]
    await a.add_endpoints(ENDPOINTS_MAX, filter={"any": conditions})
    inner: Any = "a"
    for _ in range(_DEPTH - 2):
        inner = {"a": inner}
    body = batch_of(order(1, X=inner))
    return partial(a.flood, 2, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def fan_out_of_a_batch(a: Caller) -> Attack:
    """Publish batches of 1,000 events that 200 endpoints want: 200,000 deliveries in one request.

    Limits: 1,000 events of a batch, 200 endpoints of a client. Nothing listens at the endpoints.
    """
    await a.add_endpoints(ENDPOINTS_MAX)
    body = batch_of(order(1))
    return partial(a.flood, 2, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def fan_out_to_quick_receivers(a: Caller) -> Attack:
    """Publish batches of 100 events that 200 endpoints want and answer at once.

    Limits: 200 endpoints of a client, 1,000 requests in flight of an endpoint.
    """
    port = await a.receive(answers(lambda: OK))
    await a.add_endpoints(ENDPOINTS_MAX, port, max_in_flight=1_000)
    body = b"\n".join(batch_of(order(1)).split(b"\n")[:100])
    return partial(a.flood, 2, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def large_events(a: Caller) -> Attack:
    """Publish events of 250 KB on 50 connections.

    Limits: 256 KiB of an event, 20,000 events and 64 MiB that may wait for a commit.
    """
    body = json.dumps(order(1, X=_LARGE_TEXT)).encode()
    return partial(a.flood, 50, lambda _: Request("POST", ORDER_CONFIRMED, body, a.key))


@scenario()
async def refused_batches(a: Caller) -> Attack:
    """Send 100 batches of 16 MB at once, made of empty lists, so that every item is refused.

    Limits: 16 MiB of a batch, 4,096 connections.
    """
    line = b'{"type":"OrderConfirmedEvent","data":{"ClientId":1,"X":[' + b",".join([b"[]"] * 83_000) + b"]}}"
    body = b"\n".join([line] * (BATCH_BYTES_MAX // (len(line) + 1)))
    return partial(a.flood, 100, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def batches_of_faults(a: Caller) -> Attack:
    """Send batches of 1,000 events with many faults each, so that every item has a long explanation.

    Limits: 1,000 events of a batch, 20 faults of an event.
    """
    near = dict.fromkeys(_near_names("ClientOrderRef"), 1)
    event = {**order(1), "OrderNo": 7, "Source": 5, "OrderId": "x", "FirstName": [], "LastName": {}, **near}
    body = batch_of(event)
    return partial(a.flood, 10, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def deep_batches(a: Caller) -> Attack:
    """Send batches of 16 MB of JSON that is nested as deep as it may be.

    Limits: 64 levels of an event, 16 MiB of a batch.
    """
    nested = "[" * _DEPTH + "]" * _DEPTH
    line = f'{{"type":"OrderConfirmedEvent","data":{{"ClientId":1,"X":[{",".join([nested] * 2_000)}]}}}}'.encode()
    body = b"\n".join([line] * (BATCH_BYTES_MAX // (len(line) + 1)))
    return partial(a.flood, 8, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES))


@scenario()
async def endpoint_changes_during_matching(a: Caller) -> Attack:
    """Publish batches while the filters of the same client's endpoints change all the time.

    Limits: 200 endpoints, 50 conditions; events are matched again when the endpoints have changed.
    """
    ids = await a.add_endpoints(ENDPOINTS_MAX, filter=_contains_filter())
    body = b"\n".join(batch_of(order(1, X="a" * 2_000)).split(b"\n")[:200])

    def request(n: int) -> Request:
        if n % 8 == 0:
            return Request("POST", EVENTS, body, a.key, JSON_LINES)
        change = {"filter": _contains_filter(), "description": str(n)}
        return Request("PATCH", f"/v1/endpoints/{ids[n % len(ids)]}", change, a.key)

    return partial(a.flood, 16, request)


@scenario()
async def endpoints_made_at_once(a: Caller) -> Attack:
    """Make and delete endpoints with 50 conditions on 100 connections at once.

    Limits: 200 endpoints of a client, which are counted before they are stored.
    """

    async def attack() -> None:
        made: list[str] = []

        def request(_: int) -> Request:
            if len(made) > ENDPOINTS_MAX // 2:
                return Request("DELETE", f"/v1/endpoints/{made.pop()}", key=a.key)
            body = {
                "client_id": 1,
                "url": f"http://127.0.0.1:{a.closed_port}/",
                "event_types": ["*"],
                "filter": _contains_filter(),
            }
            return Request("POST", "/v1/endpoints", body, a.key)

        await a.flood(100, request)

    return attack


def _near_names(name: str) -> list[str]:
    """Return names that differ from a property's in capitals only; each is a fault."""
    return [name[:at] + name[at:].swapcase() for at in range(len(name))]
