"""The reason in the body of an answer, safe for a terminal."""

import pytest

from commerce_event.receiver_check.reasons import one_line, reason_of


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"reason": "The signature is refused."}', "The signature is refused."),
        (b'{"title": "Bad Request", "detail": "no ClientId"}', "no ClientId"),
        (b'{"error": {"code": 3, "message": "expired"}}', "expired"),
        (b'{"error": 3}', '{"error": 3}'),
        (b"[1, 2]", "[1, 2]"),
        (b"", ""),
        (b"first line\nsecond line", "first line"),
        (b"<html><head><title>502 Bad Gateway</title>", "502 Bad Gateway"),
        (b"<html><body>nothing", ""),
        (b'{"reason": "\\u001b[31mred\\u001b[0m\\u202egnp.exe"}', "[31mred [0m gnp.exe"),
        (b"\x1b]0;title\x07 \x9b31m text", "]0;title 31m text"),
        ("för många".encode("latin-1"), "för många"),
        (b"[" * 100_000, "[" * 199 + "…"),
    ],
)
def test_reason_is_found_and_has_no_controls(body: bytes, reason: str) -> None:
    assert reason_of(body) == reason


def test_line_is_cut() -> None:
    assert one_line("x" * 1_000) == "x" * 199 + "…"


def test_title_with_endless_attributes_is_not_searched_for_its_end() -> None:
    assert reason_of(b"<title " + b"x" * 300 + b">Broken</title>") == ""
