"""Receive: receivers that hang, drip, redirect, fail or answer too much, and calls about deliveries."""

import asyncio
import itertools
import random
import string
from functools import partial
from typing import Final

from benchmarks.isolation.caller import (
    ENDPOINTS_MAX,
    EVENTS,
    JSON_LINES,
    ORDER_CONFIRMED,
    PAGE_MAX,
    Caller,
    batch,
    batch_of,
    order,
)
from benchmarks.isolation.client import Request
from benchmarks.isolation.names import SILENT_ZONE
from benchmarks.isolation.receivers import OK, answers, drips, hangs, never_ends
from benchmarks.isolation.registry import Attack, scenario

_FAILS: Final = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
_TIMEOUT_MAX_S: Final = 30
_IN_FLIGHT_MAX: Final = 1_000
_BEGINNING: Final = "2020-01-01T00:00:00Z"


def _one_event_at_a_time(a: Caller, pause_s: float = 0.1) -> Attack:
    return partial(a.flood, 1, lambda n: Request("POST", ORDER_CONFIRMED, order(n), a.key), pause_s)


def _batches(a: Caller, events: int, pause_s: float = 0.2) -> Attack:
    body = batch([order(n) for n in range(events)])
    return partial(a.flood, 1, lambda _: Request("POST", EVENTS, body, a.key, JSON_LINES), pause_s)


@scenario()
async def hanging_endpoints(a: Caller) -> Attack:
    """Have 200 endpoints with default settings that never answer, and publish ten events a second.

    Limits: 200 endpoints, 8 requests in flight of an endpoint, 512 of a node, 5 s of an attempt.
    """
    await a.add_endpoints(ENDPOINTS_MAX, await a.receive(hangs))
    return _one_event_at_a_time(a)


@scenario()
async def greedy_hanging_endpoints(a: Caller) -> Attack:
    """Have 200 endpoints that never answer, with the largest timeout and the most requests in flight.

    Limits: 30 s of an attempt, 1,000 requests in flight of an endpoint.
    """
    port = await a.receive(hangs)
    await a.add_endpoints(ENDPOINTS_MAX, port, timeout_s=_TIMEOUT_MAX_S, max_in_flight=_IN_FLIGHT_MAX)
    return _one_event_at_a_time(a)


@scenario()
async def masked_answers(a: Caller) -> Attack:
    """Have 16 KB of static headers to mask in answers with 16 KB of headers.

    Limits: 16 KiB of static headers, 64 KiB of an answer's head, of which 16 KiB are kept.
    """
    choices = random.Random(1)  # noqa: S311 - the same words in every run
    words = ["".join(choices.choices(string.ascii_letters + string.digits, k=8)) for _ in range(1_780)]
    static = {f"x-{n}": " ".join(words[n : n + 440]) for n in range(0, len(words), 440)}
    lines = [f"x-{n}-{'x' * 200}: {''.join(choices.choices(string.ascii_letters, k=52))}\r\n" for n in range(60)]
    answer = f"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{''.join(lines)}\r\n".encode()
    port = await a.receive(answers(lambda: answer))
    await a.add_endpoints(4, port, headers=static, max_in_flight=_IN_FLIGHT_MAX)
    return _batches(a, 100)


@scenario()
async def endless_answers(a: Caller) -> Attack:
    """Answer deliveries with bodies that do not end, as fast as they are read.

    Limits: 64 KiB of an answer's body are read.
    """
    await a.add_endpoints(50, await a.receive(never_ends), max_in_flight=_IN_FLIGHT_MAX)
    return _batches(a, 20)


@scenario()
async def dripping_answers(a: Caller) -> Attack:
    """Answer deliveries with one byte every 20 ms until the attempt times out.

    Limits: 30 s of an attempt, 64 KiB of an answer's body, 512 requests in flight of a node.
    """
    port = await a.receive(drips)
    await a.add_endpoints(ENDPOINTS_MAX, port, timeout_s=_TIMEOUT_MAX_S, max_in_flight=_IN_FLIGHT_MAX)
    return _one_event_at_a_time(a)


@scenario(silent_names=True)
async def redirects_to_silent_names(a: Caller) -> Attack:
    """Redirect deliveries to ever new names that the name server says nothing about.

    Limits: 5 redirects of an attempt, 16 look-ups at once. B's endpoint has a name that is answered at once.
    """
    numbers = itertools.count()

    def elsewhere() -> bytes:
        location = f"http://h{next(numbers)}.{SILENT_ZONE}:8000/"
        return f"HTTP/1.1 307 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()

    port = await a.receive(answers(elsewhere))
    await a.add_endpoints(20, port, max_in_flight=_IN_FLIGHT_MAX, timeout_s=_TIMEOUT_MAX_S)
    return _batches(a, 20)


@scenario()
async def redirect_chains(a: Caller) -> Attack:
    """Redirect every delivery five times, each time to another receiver of the caller.

    Limits: 5 redirects of an attempt, 512 requests in flight of a node.
    """
    ports: list[int] = []
    numbers = itertools.count()

    def onward() -> bytes:
        port = ports[next(numbers) % len(ports)]
        return f"HTTP/1.1 308 On\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n".encode()

    ports += [await a.receive(answers(onward)) for _ in range(20)]
    await a.add_endpoints(50, ports[0], max_in_flight=_IN_FLIGHT_MAX)
    return _batches(a, 20)


@scenario(open_files=1_024)
async def kept_connections(a: Caller) -> Attack:
    """Have 100 receivers that keep connections open, on a server that may open 1,024 files.

    Limits: 8 requests in flight of an endpoint, 4,096 idle connections of a node, the system's limit on open files.
    """
    await a.add_endpoints(100, await a.receive(answers(lambda: OK, after_s=0.05)))
    return _batches(a, 20)


@scenario()
async def retries_without_delay(a: Caller) -> Attack:
    """Have 200 endpoints that fail at once, and a schedule of 50 retries without delay.

    Limits: 50 delays of a schedule, each of 0 s to 7 days; 20 failures in a row open an endpoint's circuit.
    """
    port = await a.receive(answers(lambda: _FAILS))
    await a.add_endpoints(ENDPOINTS_MAX, port, retry_schedule=[0] * 50, max_in_flight=_IN_FLIGHT_MAX)
    return _batches(a, 20)


@scenario()
async def retry_and_cancel_calls(a: Caller) -> Attack:
    """Retry and cancel the same deliveries again and again, on 30 connections.

    Limits: none on how often a delivery is retried.
    """
    await a.add_endpoints(20, await a.receive(answers(lambda: _FAILS)), retry_schedule=["1h"])
    await a.publish(batch([order(n) for n in range(20)]))
    page = await a.made(Request("GET", f"/v1/deliveries?client_id=1&limit={PAGE_MAX}", key=a.key))
    ids = [item["id"] for item in page["items"]]
    verbs = ("retry", "cancel")
    return partial(
        a.flood, 30, lambda n: Request("POST", f"/v1/deliveries/{ids[n % len(ids)]}/{verbs[n % 2]}", key=a.key)
    )


@scenario()
async def replays_at_once(a: Caller) -> Attack:
    """Replay 300 events of 29 KB through 50 `contains` conditions, ten times at once, without end.

    Limits: 10 replays in progress of a client, 200 events of a step, 50 conditions.
    """
    conditions = [{"$.X": {"contains": "a" * 60 + "b" + "a" * n}} for n in range(50)]
    await a.publish(batch([order(n, X="a" * 29_000) for n in range(300)]))
    ids = await a.add_endpoints(10, filter={"any": [*conditions[:49], {"$.X": {"exists": True}}]})

    def request(n: int) -> Request:
        body = {"endpoint_id": ids[n % len(ids)], "since": _BEGINNING, "only": "all"}
        return Request("POST", "/v1/replays", body, a.key)

    return partial(a.flood, 10, request)


@scenario()
async def tests_of_hanging_endpoints(a: Caller) -> Attack:
    """Send examples to a hanging endpoint on 300 connections; each call waits for its attempt.

    Limits: 30 s of an attempt, 4,096 connections.
    """
    (endpoint,) = await a.add_endpoints(1, await a.receive(hangs), timeout_s=_TIMEOUT_MAX_S)
    path = f"/v1/endpoints/{endpoint}/test"
    body = {"type": "OrderConfirmedEvent"}
    return partial(a.flood, 300, lambda _: Request("POST", path, body, a.key))


@scenario()
async def backlog_of_a_switched_off_endpoint(a: Caller) -> Attack:
    """Fill a queue behind 200 endpoints that hang, then switch all of them off and on again and again.

    Limits: 200 endpoints of a client, no limit on what waits.
    """
    ids = await a.add_endpoints(ENDPOINTS_MAX, await a.receive(hangs))
    await a.publish(b"\n".join(batch_of(order(1)).split(b"\n")[:100]))

    async def attack() -> None:
        def request(n: int) -> Request:
            return Request("PATCH", f"/v1/endpoints/{ids[n // 2 % len(ids)]}", {"enabled": bool(n % 2)}, a.key)

        async with asyncio.TaskGroup() as group:
            group.create_task(a.flood(4, request))
            group.create_task(a.flood(1, lambda n: Request("POST", ORDER_CONFIRMED, order(n), a.key), 0.1))

    return attack
