"""The condition of an endpoint: a word, a tone and a reason."""

from typing import Final, Literal, Protocol

import msgspec

FAILING_FROM: Final = 3  # failures in a row
_GOOD_RATIO: Final = 0.95
Condition = Literal["failing", "degraded", "off", "healthy"]
WORST_FIRST: Final[tuple[Condition, ...]] = ("failing", "degraded", "off", "healthy")
_TONES: Final[dict[Condition, str]] = {"failing": "bad", "degraded": "wait", "off": "", "healthy": "good"}


class Enabled(Protocol):
    """The part of an endpoint that says whether it is on."""

    @property
    def enabled(self) -> bool: ...
    @property
    def disabled_reason(self) -> str | None: ...


class Health(Protocol):
    """How this node treats an endpoint now."""

    @property
    def circuit(self) -> str: ...
    @property
    def consecutive_failures(self) -> int: ...
    @property
    def next_try_in_s(self) -> float | None: ...


class LastHour(Protocol):
    """Attempts of the last hour."""

    @property
    def delivered(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def latency_p95_ms(self) -> float | None: ...


class EndpointCondition(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint is doing, by its newest answers on this node and its success in the last hour."""

    condition: Condition
    word: str
    tone: str
    reason: str
    circuit: str
    circuit_tone: str
    success_ratio: float | None = None
    latency_p95_ms: float | None = None


def condition_of(endpoint: Enabled, health: Health, last_hour: LastHour | None) -> EndpointCondition:
    """Return how an endpoint is doing; ``last_hour`` is None when there were no attempts."""
    attempts = 0 if last_hour is None else last_hour.delivered + last_hour.failed
    ratio = None if last_hour is None or not attempts else last_hour.delivered / attempts
    failures = health.consecutive_failures
    in_a_row = f"{failures:,} failure{'s' if failures != 1 else ''} in a row"
    condition: Condition
    if not endpoint.enabled:
        condition = word = "off"
        reason = "it answered 410 Gone" if endpoint.disabled_reason == "gone" else "switched off"
    elif health.circuit != "closed" or failures >= FAILING_FROM:
        condition = word = "failing"
        reason = in_a_row
    elif ratio is not None and ratio < _GOOD_RATIO:
        condition, word = "degraded", "degraded" if failures else "recovering"
        share = f"{ratio:.0%} succeeded in the last hour"
        reason = f"{in_a_row}, {share}" if failures else share
    else:
        condition = word = "healthy"
        reason = in_a_row if failures else ""
    if health.circuit == "closed":
        circuit = "closed"
    elif health.next_try_in_s is None:
        circuit = "open, one try at a time"
    else:
        circuit = f"open, next try in {max(1, round(health.next_try_in_s))} s"
    return EndpointCondition(
        condition=condition,
        word=word,
        tone=_TONES[condition],
        reason=reason,
        circuit=circuit,
        circuit_tone="good" if health.circuit == "closed" else "bad",
        success_ratio=ratio,
        latency_p95_ms=None if last_hour is None else last_hour.latency_p95_ms,
    )
