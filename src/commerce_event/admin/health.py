"""How an endpoint is doing, in a word, a tone and a sentence."""

from typing import Final, Literal

import msgspec

from commerce_event.api.activity import percentile_ms
from commerce_event.core.model import Endpoint
from commerce_event.deliver.endpoint_state import Health
from commerce_event.store.model import Activity

FAILING_FROM: Final = 3  # failures in a row
_GOOD_RATIO: Final = 0.95
Kind = Literal["failing", "unsteady", "off", "well"]
WORST_FIRST: Final[tuple[Kind, ...]] = ("failing", "unsteady", "off", "well")


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """The health of an endpoint: the newest answers on this node, and the share that succeeded in the last hour."""

    kind: Kind
    word: str
    tone: str
    why: str
    circuit: str
    circuit_tone: str
    success_ratio: float | None = None
    latency_p95_ms: float | None = None


def condition_of(endpoint: Endpoint, health: Health, hour: Activity | None) -> Condition:
    """Return how an endpoint is doing; ``hour`` is what was counted in the last hour, None for nothing."""
    attempts = 0 if hour is None else hour.delivered + hour.failed
    ratio = None if hour is None or not attempts else hour.delivered / attempts
    kind, word, why = _judged(endpoint, health, ratio)
    return Condition(
        kind=kind,
        word=word,
        tone={"failing": "bad", "unsteady": "wait", "off": "", "well": "good"}[kind],
        why=why,
        circuit=_circuit(health),
        circuit_tone="good" if health.circuit == "closed" else "bad",
        success_ratio=ratio,
        latency_p95_ms=None if hour is None else percentile_ms(hour.latency, 0.95),
    )


def _judged(endpoint: Endpoint, health: Health, ratio: float | None) -> tuple[Kind, str, str]:
    failures = health.consecutive_failures
    row = f"{failures} failure{'s' if failures != 1 else ''} in a row"
    if not endpoint.enabled:
        gone = endpoint.disabled_reason == "gone"
        return "off", "off", "it answered 410 Gone" if gone else "switched off"
    if health.circuit != "closed" or failures >= FAILING_FROM:
        return "failing", "failing", row
    if ratio is not None and ratio < _GOOD_RATIO:
        share = f"{ratio:.0%} succeeded in the last hour"
        return ("unsteady", "unsteady", f"{row}, {share}") if failures else ("unsteady", "recovering", share)
    return "well", "well", row if failures else ""


def _circuit(health: Health) -> str:
    if health.circuit == "closed":
        return "closed"
    if health.next_try_in_s is None:
        return "open, one try at a time"
    return f"open, next try in {max(1, round(health.next_try_in_s))} s"
