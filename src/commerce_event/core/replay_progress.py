"""The state and the progress of a replay, derived from what is stored. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from commerce_event.core.model import DeliveryState, Replay, ReplayState

_FINISHED: Final[tuple[DeliveryState, ...]] = ("delivered", "dead", "cancelled")


class ReplayProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the deliveries of a replay are."""

    finished: int
    pace_per_s: float | None  # finished deliveries since the start; None: it does not run, or none has finished
    ends_ms: int | None  # when the last one is finished at this pace; None: unknown, as while events are queued


def state_of(replay: Replay, *, has_pending: bool) -> ReplayState:
    """Return the state that people see. The stored ``done`` means queued: it is ``running`` while some are pending."""
    return "running" if replay.state == "done" and has_pending else replay.state


def progress_of(replay: Replay, counts: Mapping[DeliveryState, int], *, now_ms: int) -> ReplayProgress:
    """Return the progress of a replay from the numbers of its deliveries by state."""
    pending = counts.get("pending", 0)
    finished = sum(counts.get(state, 0) for state in _FINISHED)
    elapsed_s = (now_ms - replay.created_ms) / 1000
    if state_of(replay, has_pending=pending > 0) != "running" or not finished or elapsed_s <= 0:
        return ReplayProgress(finished=finished, pace_per_s=None, ends_ms=None)
    pace = finished / elapsed_s
    is_queued = replay.state == "done"
    return ReplayProgress(
        finished=finished,
        pace_per_s=round(pace, 3),
        ends_ms=now_ms + round(pending / pace * 1000) if is_queued else None,
    )
