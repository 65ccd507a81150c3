"""Every error of an attempt and every reason of an ended delivery has words that say what to check."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import commerce_event
from commerce_event.core.causes import cause, cause_of, cause_of_code, reason_in_words
from commerce_event.core.delivery import POISON
from commerce_event.core.model import Attempt, AttemptDetails, Certificate, Phase, Redirect
from commerce_event.deliver.connection import STALE
from commerce_event.deliver.tls_errors import BY_REASON, BY_VERIFY_CODE

PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
DELIVER = Path(commerce_event.__file__).parent / "deliver"
FAILURES = {"TransportError", "_RedirectError"}
CERTIFICATE = Certificate(
    subject="CN=old.example",
    issuer="CN=R3,O=An Authority",
    names=("old.example", "www.old.example"),
    not_before_ms=1_767_225_600_000,  # 1 Jan 2026
    not_after_ms=1_772_323_200_000,  # 1 Mar 2026
)
TO_LITERAL = (Redirect(302, "http://10.0.0.9/x"),)


def documented(title: str) -> list[str]:
    table = PAGE[PAGE.index(title) :].split("\n\n")[1]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return [code for row in rows for code in re.findall(r"`(\w+)`", row)]


def sent_codes() -> set[str]:
    """Return every error code in the source of the sender."""
    found = {POISON, STALE, "truncated", "interrupted", *BY_VERIFY_CODE.values(), *BY_REASON.values()}
    for path in DELIVER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FAILURES:
                found |= {
                    each.value
                    for each in ast.walk(node.args[0])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "refused" for t in node.targets
            ):
                found |= {str(node.value.value)} if isinstance(node.value, ast.Constant) else set()
    return {code for code in found if not code.startswith("http_")}


def details(**fields: Any) -> AttemptDetails:
    return AttemptDetails(**fields)


@pytest.mark.parametrize("code", documented("## Errors of attempts"))
def test_cause_of_documented_error_has_its_own_words(code: str) -> None:
    assert cause_of_code(code) != code.replace("_", " ")


def test_every_error_of_the_sender_is_documented_and_has_words() -> None:
    codes = sent_codes()

    assert len(codes) > 20
    assert codes <= set(documented("## Errors of attempts"))
    assert all(cause_of_code(code) != code.replace("_", " ") for code in codes)


@pytest.mark.parametrize("code", sorted(sent_codes()))
@pytest.mark.parametrize("redirects", [(), TO_LITERAL, (*TO_LITERAL, Redirect(307, ""))])
def test_cause_leaves_no_placeholder_open(code: str, redirects: tuple[Redirect, ...]) -> None:
    for phase in ("name", "connect", "tls", "request", "waiting", "reading", None):
        text = cause(None, code, details=details(phase=phase, redirects=redirects))
        assert text is not None
        assert not re.search(r"[{}]|\.$", text)


@pytest.mark.parametrize("reason", documented("## Reasons of dead"))
def test_reason_in_words_documented_reason_has_its_own_words(reason: str) -> None:
    assert reason_in_words(reason) != reason.replace("_", " ")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("attempts_exhausted", "every retry was used"),
        ("replay_cancelled", "its replay was cancelled"),
        ("discarded: sent_by hand, see ticket 7", "discarded: sent_by hand, see ticket 7"),
        ("a_new_one", "a new one"),
        (None, ""),
    ],
)
def test_reason_in_words(reason: str | None, words: str) -> None:
    assert reason_in_words(reason) == words


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (200, None, None),
        (200, "truncated", "the body of the answer is incomplete"),
        (404, "http_404", "nothing is at this path: check the URL"),
        (418, "http_418", "the receiver rejected it"),
        (599, "http_599", "the receiver had an internal error"),
        (304, "http_304", "the receiver answered 304, which is no redirect that can be followed: check the URL"),
        (None, "a_new_one", "a new one"),
        (None, None, "no answer"),
    ],
)
def test_cause_of_status_and_error(status: int | None, error: str | None, words: str | None) -> None:
    assert cause(status, error) == words


@pytest.mark.parametrize("code", ["http_401", "http_403"])
def test_cause_of_rejected_credentials_names_the_signing_secret_first(code: str) -> None:
    words = cause_of_code(code)

    assert words.index("signing secret") < words.index("static headers")


@pytest.mark.parametrize("status", [400, 401, 403])
def test_cause_with_signature_in_the_answer_names_the_signature_alone(status: int) -> None:
    words = cause(status, f"http_{status}", body='{"error": "Invalid SIGNATURE"}') or ""

    assert "the signature is wrong" in words
    assert "signing secret" in words
    assert "static headers" not in words


def test_cause_for_endpoint_that_signs_with_ed25519_names_the_public_key() -> None:
    assert "public key" in (cause(401, "http_401", signing="ed25519") or "")
    assert "public key" in (cause(403, "http_403", body="bad signature", signing="ed25519") or "")


def test_cause_of_attempt_reads_its_answer() -> None:
    attempt = Attempt(
        number=1, started_ms=0, duration_ms=1, status=401, error="http_401", response_body=b"\xff invalid signature"
    )

    assert "signature is wrong" in (cause_of(attempt) or "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("connect_failed", "redirected (302) to http://10.0.0.9/x, which cannot be reached"),
        ("connect_refused", "redirected (302) to http://10.0.0.9/x, where nothing listens"),
        ("bad_http", "redirected (302) to http://10.0.0.9/x, whose answer is not valid HTTP"),
    ],
)
def test_cause_after_a_redirect_names_the_redirect(error: str, words: str) -> None:
    assert cause(None, error, details=details(redirects=TO_LITERAL, phase="connect")) == words


def test_cause_after_redirects_counts_them_and_names_the_last() -> None:
    redirects = (Redirect(301, "https://a.example/"), Redirect(307, "https://b.example/x"))

    words = cause(404, "http_404", details=details(redirects=redirects))

    assert words == (
        "redirected 2 times (301, 307), at last to https://b.example/x; there, nothing is at this path: check the URL"
    )


@pytest.mark.parametrize(
    ("status", "error", "location", "words"),
    [
        (303, "redirect_refused", "/x", "redirected (303) to /x, but 303 asks for a GET, which delivers nothing: "
         "answer with 307 or 308"),
        (302, "redirect_refused", "ftp://x/", "redirected (302) to ftp://x/, which is not allowed: a redirect must "
         "lead to a valid URL, and never from https to http"),
        (302, "redirect_refused", "", "redirected (302) without one valid location"),
        (302, "http_302", "/x", "redirected (302) to /x, and this endpoint does not follow redirects"),
    ],
)  # fmt: skip
def test_cause_of_redirect_that_is_not_followed(status: int, error: str, location: str, words: str) -> None:
    assert cause(status, error, details=details(redirects=(Redirect(status, location),))) == words


@pytest.mark.parametrize("status", [302, None])
def test_cause_of_blocked_address_says_no_address(status: int | None) -> None:
    words = cause(status, "blocked_address", details=details(redirects=TO_LITERAL)) or ""

    assert words == "redirected (302) to an address that this server does not deliver to"
    assert not re.search(r"\d+\.\d+", cause(None, "blocked_address", details=details(host="10.0.0.9")) or "")


@pytest.mark.parametrize("code", ["connect_refused", "connect_failed", "timeout", "connection_reset"])
@pytest.mark.parametrize("phase", ["connect", "waiting"])
def test_cause_of_connection_to_an_address_never_speaks_of_names(code: str, phase: Phase) -> None:
    found = details(phase=phase, host="10.0.0.9", address="10.0.0.9:80")

    assert "name" not in (cause(None, code, details=found) or "")


def test_cause_names_the_address_that_was_dialled() -> None:
    found = details(phase="connect", host="shop.example", address="198.51.100.7:443")

    assert cause(None, "connect_refused", details=found) == ("connection refused: nothing listens at 198.51.100.7:443")


def test_cause_of_unknown_name_names_it() -> None:
    found = details(phase="name", host="shpo.example")

    assert cause(None, "dns_not_found", details=found) == (
        "the host name shpo.example has no address: is it spelled right?"
    )


@pytest.mark.parametrize("code", ["tls_expired", "tls_self_signed", "tls_unknown_ca", "tls_wrong_host"])
def test_cause_of_certificate_names_host_issuer_and_dates(code: str) -> None:
    found = details(phase="tls", host="shop.example", certificate=CERTIFICATE)

    words = cause(None, code, details=found) or ""

    assert "shop.example" in words
    assert "issued by CN=R3,O=An Authority, valid from 1 Jan 2026 to 1 Mar 2026" in words
    assert ("old.example" in words) == (code == "tls_wrong_host")


@pytest.mark.parametrize(
    ("phase", "word"),
    [("name", "looked up"), ("connect", "connection"), ("tls", "TLS"), ("request", "take"), ("waiting", "answer")],
)
def test_cause_of_timeout_says_in_which_phase(phase: Phase, word: str) -> None:
    assert word in (cause(None, "timeout", details=details(phase=phase)) or "")
