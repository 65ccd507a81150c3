"""Incidents: an endpoint that fails, or several with the same host and cause, from the first failure to the end. Pure.

Nothing of an incident is stored by itself: it follows from the stored health of endpoints, their deliveries and the
audit log, so it is the same on every node.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from commerce_event.core.health import LastHour, health_of
from commerce_event.core.model import Delivery, Endpoint

IncidentState = Literal["open", "ended"]
StepName = Literal["fix", "test", "send_one", "send_all", "closed"]
CHANGES_BEFORE_MS: Final = 3_600_000  # changes of the endpoint that long before the first failure may be its cause


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that fails. ``code`` is the HTTP status or the error code of its newest failure."""

    endpoint_id: int
    host: str
    code: str
    since_ms: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step from an incident to its end; ``at_ms`` is when it was done, where that is known."""

    name: StepName
    done: bool
    at_ms: int | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored about an incident."""

    state: IncidentState
    since_ms: int
    until_ms: int | None  # when the first success ended it
    changed_ms: int | None  # the newest change of the endpoint after the first failure
    tested_ms: int | None  # the newest test after that
    last_success_ms: int | None
    waiting: int  # pending deliveries that have failed before
    dead: int


def is_failing(endpoint: Endpoint, *, failures: int, last_hour: LastHour | None, timeout_s: float) -> bool:
    """Tell whether an endpoint has an open incident: it fails, paused or not. One that is off has none."""
    if not failures or not endpoint.live:
        return False
    sending = msgspec.structs.replace(endpoint, paused=False)
    return health_of(sending, failures=failures, last_hour=last_hour, timeout_s=timeout_s) == "failing"


def failure_code(status: int | None, error: str | None) -> str:
    """Return what two failures must share to have the same cause."""
    return error or (f"http_{status}" if status is not None else "no answer")


def grouped(failing: Iterable[Failing]) -> list[list[Failing]]:
    """Return incidents: the endpoints with the same host and cause, the one that failed first at the front.

    The incident that began first comes first.
    """
    groups: dict[tuple[str, str], list[Failing]] = {}
    for each in sorted(failing, key=_age):
        groups.setdefault((each.host, each.code), []).append(each)
    return sorted(groups.values(), key=lambda group: _age(group[0]))


def _age(each: Failing) -> tuple[int, int]:
    return each.since_ms, each.endpoint_id


def dies_ms(delivery: Delivery, schedule_s: Sequence[float], now_ms: int) -> int:
    """Return when a pending delivery is given up at the earliest, when each attempt from now on fails at once.

    Each failure that is left waits for its delay of the schedule; the attempt after the last delay is the last one.
    """
    starts_ms = now_ms if delivery.leased or delivery.due_ms is None else max(now_ms, delivery.due_ms)
    return starts_ms + round(sum(schedule_s[delivery.failure_count :]) * 1000)


def first_dies_ms(deliveries: Iterable[Delivery], schedule_s: Sequence[float], now_ms: int) -> int | None:
    """Return when the first of the deliveries is given up at the earliest; None without deliveries."""
    return min((dies_ms(each, schedule_s, now_ms) for each in deliveries), default=None)


def steps_of(facts: Facts) -> tuple[Step, ...]:
    """Return the steps of an incident in order, each done or not by what is stored.

    When the receiver was repaired without a change here, a success shows it. A success also counts as the test and as
    the first delivery that was sent.
    """
    success_ms = facts.until_ms
    if success_ms is None and facts.last_success_ms is not None and facts.last_success_ms > facts.since_ms:
        success_ms = facts.last_success_ms
    is_fixed = success_ms is not None
    changed_ms = _within(facts.changed_ms, facts.since_ms)
    tested_ms = _within(facts.tested_ms, changed_ms or facts.since_ms)
    is_sent = is_fixed and not facts.dead and not facts.waiting
    return (
        Step(name="fix", done=is_fixed or changed_ms is not None, at_ms=changed_ms or success_ms),
        Step(name="test", done=is_fixed or tested_ms is not None, at_ms=tested_ms or success_ms),
        Step(name="send_one", done=is_fixed, at_ms=success_ms),
        Step(name="send_all", done=is_sent),
        Step(name="closed", done=facts.state == "ended" and is_sent, at_ms=facts.until_ms if is_sent else None),
    )


def next_step(steps: Sequence[Step]) -> StepName | None:
    """Return the first step that is not done; None when all are."""
    return next((step.name for step in steps if not step.done), None)


def _within(at_ms: int | None, since_ms: int) -> int | None:
    return at_ms if at_ms is not None and at_ms >= since_ms else None
