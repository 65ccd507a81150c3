"""The condition of an endpoint: by its newest answers, and by its success in the last hour."""

import pytest

from commerce_event.admin.endpoint_condition import condition_of
from commerce_event.api.endpoint_stats import LastHourView
from commerce_event.api.response_models import EndpointSummary
from commerce_event.core.capacity import ClientLoad
from commerce_event.core.circuit import Circuit
from commerce_event.deliver.endpoint_state import EndpointState, Health


def endpoint(*, enabled: bool = True, disabled_reason: str | None = None) -> EndpointSummary:
    return EndpointSummary(
        id="end_7", client_id=1, url="https://a.example", description="", event_types=["*"], enabled=enabled,
        disabled_reason=disabled_reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "delivered", "failed", "word", "tone"),
    [
        (0, 0, 0, "healthy", "good"),
        (0, 99, 1, "healthy", "good"),
        (2, 99, 1, "healthy", "good"),
        (0, 9, 1, "recovering", "wait"),
        (1, 9, 1, "degraded", "wait"),
        (3, 99, 1, "failing", "bad"),
    ],
)
def test_condition_of_newest_answers_and_last_hour(
    failures: int, delivered: int, failed: int, word: str, tone: str
) -> None:
    hour = LastHourView(delivered=delivered, failed=failed, latency_p95_ms=None)
    found = condition_of(endpoint(), Health(0, "closed", failures, None), hour)

    assert (found.word, found.tone) == (word, tone)


def test_condition_of_disabled_endpoint_is_off() -> None:
    found = condition_of(endpoint(enabled=False, disabled_reason="gone"), Health(0, "closed", 9, None), None)

    assert (found.condition, found.reason) == ("off", "it answered 410 Gone")


def test_condition_of_open_circuit_says_when_the_next_try_is() -> None:
    circuit = Circuit(threshold=1, min_span_s=0, first_pause_s=24)
    circuit.record(False, 100.0)
    state = EndpointState(7, circuit, 100.0, ClientLoad())

    assert condition_of(endpoint(), state.health(100.0), None).circuit == "open, next try in 24 s"
    assert condition_of(endpoint(), state.health(124.0), None).circuit == "open, one try at a time"
    circuit.record(True, 125.0)
    assert condition_of(endpoint(), state.health(125.0), None).circuit == "closed"
