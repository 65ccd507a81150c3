"""The diagnosis of an attempt shows each redirect and how far the last request came."""

from typing import Any

import pytest

from commerce_event.admin.diagnosis import Diagnosis, Hop, diagnosis
from commerce_event.api.response_models import AttemptView
from commerce_event.core.model import Redirect

URL = "https://erp.example/events"


def attempt(status: int | None = None, **fields: Any) -> AttemptView:
    given: dict[str, Any] = {
        "number": 1, "started_at": "2026-01-31T00:00:00.000Z", "duration_ms": 3.5, "error": None, "cause": None,
        "phase": None, "address": None, "redirects": (), "certificate": None, "response_headers": [],
        "response_body": "",
    }  # fmt: skip
    return AttemptView(status=status, **(given | fields))


def found(one: AttemptView, url: str = URL) -> Diagnosis:
    made = diagnosis(one, url)
    assert made is not None
    return made


def steps(made: Diagnosis) -> list[tuple[str, str]]:
    return [(step.name, step.mark) for step in made.steps]


def test_diagnosis_of_success_is_nothing() -> None:
    assert diagnosis(attempt(200), URL) is None


def test_diagnosis_of_attempt_of_an_earlier_version_is_nothing() -> None:
    assert diagnosis(attempt(None, error="timeout"), URL) is None


def test_diagnosis_of_tls_failure_marks_each_phase() -> None:
    made = found(attempt(phase="tls", address="198.51.100.7:443"))

    assert steps(made) == [
        ("name", "done"),
        ("connect", "done"),
        ("TLS", "failed"),
        ("request", "not reached"),
        ("waiting", "not reached"),
        ("reading", "not reached"),
    ]
    assert (made.hops, made.address) == ([], "198.51.100.7:443")


@pytest.mark.parametrize("url", ["http://10.0.0.9/x", "http://[2001:db8::1]:8080/"])
def test_diagnosis_of_request_to_an_address_has_no_name_and_no_tls(url: str) -> None:
    assert [name for name, _ in steps(found(attempt(phase="connect"), url))] == [
        "connect",
        "request",
        "waiting",
        "reading",
    ]


def test_diagnosis_of_redirects_has_each_hop_and_the_phases_of_the_last() -> None:
    redirects = (Redirect(307, "https://b.example/"), Redirect(302, "http://10.0.0.9/x"))

    made = found(attempt(phase="connect", redirects=redirects))

    assert made.hops == [Hop("POST", URL), Hop("307", "https://b.example/"), Hop("302", "http://10.0.0.9/x")]
    assert (made.end, made.tone) == ("failed: connect", "bad")
    assert steps(made)[0] == ("connect", "failed")


@pytest.mark.parametrize(
    ("status", "end", "tone"),
    [(204, "answered 204", "good"), (404, "answered 404", "bad"), (302, "not followed", "bad")],
)
def test_diagnosis_of_answered_redirect_tells_its_end(status: int, end: str, tone: str) -> None:
    made = found(attempt(status, redirects=(Redirect(302, "/x"),)))

    assert (made.end, made.tone, made.steps) == (end, tone, [])
