"""Let simulated days pass for a real node: the clock moves to the next retry as soon as the node is idle."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from api_server import DEADLINE_S, Api

from commerce_event import server
from commerce_event.core.clock import SystemClock, parse_rfc3339

_CIRCUIT_STEP_S = 1.0  # while an open circuit makes due deliveries wait


class PassingClock(SystemClock):
    """The machine's clock, plus the time that was let pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        super().__init__()

    def now_ms(self) -> int:
        return super().now_ms() + round(self.passed_s * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s

    def drift_ms(self) -> int:
        """Time that passes is no wall clock that was set."""
        return super().drift_ms() + round(self.passed_s * 1000)

    def seconds(self) -> float:
        """Return seconds since 1970, as ``time.time`` does."""
        return self.now_ms() / 1000


@contextmanager
def passing_clock() -> Iterator[PassingClock]:
    """Give the node that is made in this context a clock that can be moved."""
    clock = PassingClock()
    with patch.object(server, "make_clock", lambda _settings: clock):
        yield clock


async def let_pass(api: Api, clock: PassingClock, *, hours: float) -> None:
    """Let hours pass. Every attempt that becomes due is made at its time."""
    end_ms = clock.now_ms() + round(hours * 3_600_000)
    async with asyncio.timeout(DEADLINE_S):
        while clock.now_ms() < end_ms:
            due = [each["next_attempt_at"] for each in await api.deliveries(state="pending")]
            if None in due or api.node.dispatcher.in_flight or api.node.dispatcher.unsettled:
                await asyncio.sleep(0.002)  # until the attempt is on record
                continue
            due_ms = min(map(parse_rfc3339, due), default=end_ms)
            clock.passed_s += max(_CIRCUIT_STEP_S, (min(due_ms, end_ms) - clock.now_ms()) / 1000)
            api.node.dispatcher.wake()
            await asyncio.sleep(0)
