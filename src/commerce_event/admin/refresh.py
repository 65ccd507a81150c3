"""How soon an open page is read again: quickly only while something is about to change."""

from collections.abc import Iterable
from typing import Final, Protocol

from commerce_event.api.response_models import ReplayView
from commerce_event.core.clock import parse_rfc3339

_QUICKLY_S: Final = 2
_REPLAY_S: Final = 1
_SOON_MS: Final = 10_000
_COUNTED_QUICKLY_MAX: Final = 10_000  # deliveries of a replay, which each reading counts
_HELD: Final = frozenset({"paused", "off"})


class _Delivery(Protocol):
    @property
    def sending(self) -> bool: ...

    @property
    def next_attempt_at(self) -> str | None: ...


def delivery_refresh_s(deliveries: Iterable[_Delivery], now_ms: int, usual_s: int) -> int:
    """Return 2 s while a delivery is sent or due about now, else ``usual_s``: others wait for minutes or for people."""
    return _QUICKLY_S if any(_is_active(each, now_ms) for each in deliveries) else usual_s


def _is_active(delivery: _Delivery, now_ms: int) -> bool:
    due_at = delivery.next_attempt_at
    return delivery.sending or (due_at is not None and abs(parse_rfc3339(due_at) - now_ms) <= _SOON_MS)


def replay_refresh_s(replay: ReplayView, usual_s: int) -> int:
    """Return 1 s while a replay of few deliveries advances, else ``usual_s``."""
    is_running = replay.state in {"running", "cancelling"} and replay.endpoint_health not in _HELD
    return _REPLAY_S if is_running and sum(replay.deliveries.values()) <= _COUNTED_QUICKLY_MAX else usual_s
