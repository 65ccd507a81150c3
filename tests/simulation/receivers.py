"""Simulated receivers, whose behaviour changes over days, in place of the network."""

import asyncio
import random
from bisect import bisect_right

import msgspec
from record import Arrival, Record
from virtual_time import VirtualClock, VirtualLoop

from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Endpoint
from commerce_event.store.model import Claimed

DEFAULT_TIMEOUT_S = 5.0
_MODES = ("up", "up", "up", "down", "down", "slow", "hang", "flaky", "limited", "busy", "lost", "ours", "gone")
_WELL_ALL_THE_SAME = {"flaky": 0.5, "limited": 0.3, "busy": 0.3, "lost": 0.5, "ours": 0.3}  # chance by mode
_HOUR_S = 3_600.0


class Behaviour(msgspec.Struct, frozen=True):
    """How a receiver behaves from a moment on."""

    from_s: float
    mode: str


def behaviours(rng: random.Random, until_s: float) -> list[Behaviour]:
    """Return a receiver's behaviour over the simulated time: well from ``until_s`` on."""
    found, at_s = [Behaviour(0.0, "up")], rng.expovariate(1 / (12 * _HOUR_S))
    while at_s < until_s:
        mode = rng.choice(_MODES)
        if mode == "gone" and rng.random() < 0.5:
            mode = "down"
        found.append(Behaviour(at_s, mode))
        at_s += rng.choice((60.0, 600.0, _HOUR_S, 6 * _HOUR_S, 30 * _HOUR_S)) * rng.uniform(0.5, 1.5)
    return [*found, Behaviour(until_s, "up")]


class Answer(msgspec.Struct, frozen=True):
    """What a receiver does with one request."""

    after_s: float
    status: int | None
    error: str | None = None
    took: bool = False
    retry_after_s: float | None = None
    is_internal: bool = False


class Receivers:
    """Takes every request of the node (``SendsEvents``) and writes it down."""

    def __init__(self, loop: VirtualLoop, record: Record, rng: random.Random) -> None:
        self._loop = loop
        self._record = record
        self._rng = rng
        self._behaviours: dict[int, list[Behaviour]] = {}
        self.clock: VirtualClock

    def add(self, endpoint_id: int, behaviours: list[Behaviour]) -> None:
        self._behaviours[endpoint_id] = behaviours

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome:
        started_ms, begin_s = self.clock.now_ms(), self._loop.time()
        timeout_s = DEFAULT_TIMEOUT_S if endpoint.timeout_s is None else endpoint.timeout_s
        arrival = Arrival(
            delivery_id=claimed.delivery_id,
            number=claimed.number,
            endpoint=endpoint,
            event_id=claimed.event_id,
            client_id=claimed.client_id,
            body=claimed.body,
            begin_s=begin_s,
        )
        self._record.arrivals.append(arrival)
        answer = self._answer(endpoint.id)
        try:
            await asyncio.sleep(min(answer.after_s, timeout_s))
        except asyncio.CancelledError:
            arrival.end_s, arrival.cut, arrival.took = self._loop.time(), True, answer.took
            raise
        if answer.after_s > timeout_s:
            answer = Answer(timeout_s, None, "timeout", took=answer.took)
        self._write_down(arrival, answer)
        return Outcome(
            started_ms=started_ms,
            duration_ms=(self._loop.time() - begin_s) * 1000,
            status=answer.status,
            error=answer.error,
            retry_after_s=answer.retry_after_s,
            is_internal=answer.is_internal,
        )

    def _write_down(self, arrival: Arrival, answer: Answer) -> None:
        now_s = self._loop.time()
        arrival.end_s, arrival.status, arrival.took, arrival.is_internal = (
            now_s,
            answer.status,
            answer.took,
            answer.is_internal,
        )
        asked_s = answer.retry_after_s
        if answer.status in {429, 503} and asked_s is not None and asked_s > 0:
            arrival.pause_s = min(3_600.0, asked_s)
        self._record.trace(
            now_s, "attempt", delivery=arrival.delivery_id, number=arrival.number, status=answer.status,
            error=answer.error,
        )  # fmt: skip
        if answer.status == 410:
            off = msgspec.structs.replace(arrival.endpoint, enabled=False, disabled_reason="gone")
            self._record.note_doubt(off, now_s)

    def _answer(self, endpoint_id: int) -> Answer:
        of = self._behaviours[endpoint_id]
        mode = of[bisect_right(of, self._loop.time(), key=lambda behaviour: behaviour.from_s) - 1].mode
        rng = self._rng
        fast_s = rng.uniform(0.004, 0.3)
        well = Answer(fast_s, 200, took=True)
        asked = rng.choice((None, 0.0, 1.0, 45.0, 900.0, 7_200.0, float("nan")))
        badly = {
            "down": Answer(rng.choice((0.001, fast_s)), None, rng.choice(("refused", "reset"))),
            "slow": Answer(rng.uniform(0.5, 9.0), 200, took=True),
            "hang": Answer(1_000.0, None, "timeout"),
            "flaky": Answer(fast_s, 500, "http_500"),
            "limited": Answer(fast_s, 429, "http_429", retry_after_s=asked),
            "busy": Answer(fast_s, 503, "http_503", retry_after_s=asked),
            "lost": Answer(fast_s, None, "reset", took=True),
            "ours": Answer(0.0, None, "no_sockets", is_internal=True),
            "gone": Answer(fast_s, 410, "http_410"),
        }
        return well if rng.random() < _WELL_ALL_THE_SAME.get(mode, 0.0) else badly.get(mode, well)
