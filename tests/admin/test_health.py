"""The health of an endpoint in a word: by the newest answers, and by the share that succeeded."""

from typing import Any

import pytest

from commerce_event.admin.health import condition_of
from commerce_event.core.circuit import Circuit
from commerce_event.core.model import Endpoint
from commerce_event.deliver.endpoint_state import EndpointState, Health
from commerce_event.store.model import Activity

HOUR: dict[str, Any] = {"start_ms": 0, "client_id": 1, "endpoint_id": 7, "accepted": 0, "dead": 0, "latency": (0,) * 11}


def endpoint(**fields: Any) -> Endpoint:
    return Endpoint(id=7, client_id=1, url="https://a.example", event_types=("*",), **fields)


@pytest.mark.parametrize(
    ("failures", "delivered", "failed", "word", "tone"),
    [
        (0, 0, 0, "well", "good"),
        (0, 99, 1, "well", "good"),
        (2, 99, 1, "well", "good"),
        (0, 9, 1, "recovering", "wait"),
        (1, 9, 1, "unsteady", "wait"),
        (3, 99, 1, "failing", "bad"),
    ],
)
def test_health_looks_at_the_newest_answers_and_at_the_last_hour(
    failures: int, delivered: int, failed: int, word: str, tone: str
) -> None:
    hour = Activity(delivered=delivered, failed=failed, **HOUR)
    found = condition_of(endpoint(), Health(0, "closed", failures, None), hour)

    assert (found.word, found.tone) == (word, tone)


def test_what_is_off_is_neither_well_nor_failing() -> None:
    found = condition_of(endpoint(enabled=False, disabled_reason="gone"), Health(0, "closed", 9, None), None)

    assert (found.kind, found.why) == ("off", "it answered 410 Gone")


def test_open_circuit_tells_when_it_tries_next() -> None:
    circuit = Circuit(threshold=1, min_span_s=0, first_pause_s=24)
    circuit.record(False, 100.0)
    state = EndpointState(7, circuit, 100.0)

    assert condition_of(endpoint(), state.health(100.0), None).circuit == "open, next try in 24 s"
    assert condition_of(endpoint(), state.health(124.0), None).circuit == "open, one try at a time"
    circuit.record(True, 125.0)
    assert condition_of(endpoint(), state.health(125.0), None).circuit == "closed"
