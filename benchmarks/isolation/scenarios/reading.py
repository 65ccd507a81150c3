"""Read: search, lists, explanations, counts, hints."""

import asyncio
from functools import partial
from itertools import cycle
from typing import Any, Final

from benchmarks.isolation.caller import (
    BATCH_BYTES_MAX,
    BODY_BYTES_MAX,
    CONDITIONS_MAX,
    ENDPOINTS_MAX,
    EVENTS,
    JSON_LINES,
    PAGE_MAX,
    URL_BYTES_MAX,
    Caller,
    batch,
    batch_of,
    order,
)
from benchmarks.isolation.client import Connection, Request
from benchmarks.isolation.registry import Attack, scenario
from commerce_event.api.waiting_calls import WAIT_MAX_S, WAITING_MAX, WAITING_PER_OWNER

_BEGINNING: Final = "2020-01-01T00:00:00Z"
_LARGE: Final = 250_000
_FIRST_WAITING: Final = 100  # client
_WAKE_S: Final = 2.0  # between two batches that wake all waiting calls


async def _publish_large(a: Caller, count: int, text: str) -> list[str]:
    """Publish so many events with a text; return their ids."""
    ids: list[str] = []
    at_once = max(1, BATCH_BYTES_MAX // (len(text.encode()) + 500))
    while len(ids) < count:
        ids += await a.publish(batch([order(len(ids) + n, X=text) for n in range(min(at_once, count - len(ids)))]))
    return ids


@scenario()
async def text_search(a: Caller) -> Attack:
    """Search 1,000 events of 60 KB for a text that is not there, 20 times at once; the callers go before the answer.

    Limits: 256 KiB of an event, 200 characters of a search.
    """
    await _publish_large(a, 1_000, "ab cd ef gh " * 5_000)

    async def search(connection: Connection) -> None:
        await connection.send(Request("GET", f"/v1/events?client_id=1&q=zzz{id(connection)}", key=a.key).encode())
        await asyncio.sleep(1)
        a.count("gone")

    return partial(a.crowd, 20, search)


@scenario()
async def pages_of_large_events(a: Caller) -> Attack:
    """Read pages of 200 events of 250 KB, cut to 4 MiB, on ten connections.

    Limits: 200 items and 4 MiB of a page, 256 KiB of an event, two reads of a client at once.
    """
    await _publish_large(a, PAGE_MAX, "a" * _LARGE)
    path = f"/v1/events?client_id=1&limit={PAGE_MAX}"
    return partial(a.flood, 10, lambda _: Request("GET", path, key=a.key))


@scenario()
async def answers_not_read(a: Caller) -> Attack:
    """Ask for pages of 4 MiB on 40 connections and read none of them.

    Limits: 4 MiB of a page, 64 MiB of answers that are not sent, 30 s for an answer that is not read.
    """
    await _publish_large(a, PAGE_MAX, "a" * _LARGE)
    request = Request("GET", f"/v1/events?client_id=1&limit={PAGE_MAX}", key=a.key).encode()

    async def ask(connection: Connection) -> None:
        await connection.send(request)
        a.count("asked")
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    return partial(a.crowd, 40, ask)


@scenario()
async def explain_of_a_large_event(a: Caller) -> Attack:
    """Ask why an event of 250 KB was sent to 200 endpoints whose 50 conditions are about its text.

    Limits: 200 endpoints, 50 conditions, 256 KiB of an event: each condition repeats what it found.
    """
    conditions = [{"$.X": {"prefix": f"b{n}"}} for n in range(CONDITIONS_MAX)]
    await a.add_endpoints(ENDPOINTS_MAX, filter={"any": conditions})
    (event,) = await a.publish(batch([order(1, X="a" * _LARGE)]))
    return partial(a.flood, 2, lambda _: Request("GET", f"/v1/events/{event}/explain", key=a.key))


@scenario()
async def counts_of_replays(a: Caller) -> Attack:
    """Count on 20 connections what a replay of 400 events of 250 KB would send through 50 `contains` conditions.

    Limits: 10,000 events of a count, 256 KiB of an event.
    """
    conditions = [{"$.X": {"contains": "a" * 60 + "b" + "a" * n}} for n in range(CONDITIONS_MAX)]
    (endpoint,) = await a.add_endpoints(1, filter={"any": conditions}, enabled=False)
    await _publish_large(a, 400, "a" * _LARGE)
    body = {"endpoint_id": endpoint, "since": _BEGINNING, "only": "all"}
    return partial(a.flood, 20, lambda _: Request("POST", "/v1/replays/count", body, a.key))


@scenario()
async def waiting_calls(a: Caller) -> Attack:
    """Wait for the next event with 1,000 calls of 20 clients, and publish events that wake all of them.

    Limits: 50 waiting calls of a client and 1,000 of a node, two reads of a client at once.
    """
    clients = [_FIRST_WAITING + n for n in range(WAITING_MAX // WAITING_PER_OWNER)]
    wanted = {client: {"role": "read", "client_ids": [client], "name": "waits"} for client in clients}
    keys = {
        client: (await a.made(Request("POST", "/v1/keys", body, a.admin_key)))["key"] for client, body in wanted.items()
    }
    body = batch([order(1, ClientId=client) for client in clients])
    turns = cycle(clients)

    async def follow(connection: Connection) -> None:
        client, after = next(turns), 0
        while True:
            path = f"/v1/events?client_id={client}&after={after}&wait_s={WAIT_MAX_S}&limit=20"
            answer = await connection.call(Request("GET", path, key=keys[client]))
            a.count(answer.status)
            items = answer.json()["items"] if answer.status == 200 else []
            after = items[-1]["sequence"] if items else after

    async def attack() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(a.crowd(WAITING_MAX, follow))
            group.create_task(a.flood(1, lambda _: Request("POST", EVENTS, body, a.admin_key, JSON_LINES), _WAKE_S))

    return attack


@scenario()
async def wrong_names_in_a_query(a: Caller) -> Attack:
    """Ask for events of thousands of types that do not exist, so that a hint is looked for with each.

    Limits: 16 KiB of an address.
    """
    names = ",".join(f"OrderEvnt{n % 10}" for n in range(URL_BYTES_MAX // 11 - 10))
    return partial(a.flood, 8, lambda _: Request("GET", f"/v1/events?client_id=1&type={names}", key=a.key))


@scenario()
async def wrong_filters(a: Caller) -> Attack:
    """Send endpoints of 250 KB in which everything is wrong: types, filter, headers, delays.

    Limits: 256 KiB of a call's body, 50 types, 50 headers, 50 delays.
    """
    size = BODY_BYTES_MAX // 60
    body: dict[str, Any] = {
        "client_id": 1,
        "url": "http://127.0.0.1:9999/",
        "event_types": [f"OrderConfirmdEvent{'x' * size}{n}" for n in range(CONDITIONS_MAX)],
        "filter": {f"OrderN{n}": n for n in range(2_000)},
        "headers": {f"x {n}": "x" for n in range(50)},
        "retry_schedule": ["5 lightyears"] * 50,
    }
    return partial(a.flood, 16, lambda _: Request("POST", "/v1/endpoints", body, a.key))


@scenario()
async def lists_of_large_endpoints(a: Caller) -> Attack:
    """Read pages of 200 endpoints whose filters fill what a call may have.

    Limits: 200 endpoints, 256 KiB of a call's body, 100 values of a condition, 200 items of a page.
    """
    values = [f"{n}{'a' * 200}" for n in range(100)]
    conditions = [{"$.X": {"in": values}} for _ in range(10)]
    await a.add_endpoints(ENDPOINTS_MAX, filter={"any": conditions})
    path = f"/v1/endpoints?client_id=1&limit={PAGE_MAX}"
    return partial(a.flood, 8, lambda _: Request("GET", path, key=a.key))


@scenario()
async def activity_and_statistics(a: Caller) -> Attack:
    """Read activity of a week and statistics of 200 endpoints with attempts, on 30 connections.

    Limits: 200 endpoints of a client.
    """
    ids = await a.add_endpoints(ENDPOINTS_MAX)
    await a.publish(b"\n".join(batch_of(order(1)).split(b"\n")[:100]))

    def request(n: int) -> Request:
        endpoint = ids[n % len(ids)]
        paths = (
            f"/v1/endpoints/{endpoint}/stats",
            "/v1/activity?client_id=1&span=week",
            f"/v1/activity?client_id=1&span=day&endpoint_id={endpoint}",
        )
        return Request("GET", paths[n % len(paths)], key=a.key)

    return partial(a.flood, 30, request)


@scenario()
async def dead_letters_and_counts(a: Caller) -> Attack:
    """Read dead letters, delivery counts and the audit log of 20,000 failed deliveries, on 30 connections.

    Limits: 10,000 deliveries that a list of dead letters looks at.
    """
    await a.add_endpoints(20, retry_schedule=[])
    await a.publish(batch_of(order(1)))
    paths = ("/v1/dead-letters?client_id=1", "/v1/books", "/v1/audit?client_id=1&limit=200")
    return partial(a.flood, 30, lambda n: Request("GET", paths[n % len(paths)], key=a.key))
