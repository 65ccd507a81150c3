"""Payloads for people: readable characters, visible controls, and a fold."""

import msgspec
import pytest

from commerce_event.web.payload import FOLDED_FROM, payload, readable_text, visible_controls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'"Nystr\u00f6m"', '"Nyström"'),
        (r'"\ud83d\ude00"', '"😀"'),
        (r'"\u0022 \u005c \u000a \\u00f6 \" \n"', r'"\u0022 \u005c \u000a \\u00f6 \" \n"'),
        (r'"\ud83d alone"', r'"\ud83d alone"'),
        ('"a\u202eb"', r'"a\u202eb"'),
        (r'"a\u202eb"', r'"a\u202eb"'),
    ],
)
def test_readable_text_shows_characters_and_keeps_the_value(text: str, shown: str) -> None:
    assert readable_text(text) == shown
    if "alone" not in text:
        assert msgspec.json.decode(shown) == msgspec.json.decode(text)


def test_visible_controls_replaces_only_marks_of_direction() -> None:
    assert visible_controls("a\u2067b\u200f عربية") == "a\\u2067b\\u200f عربية"


def test_payload_of_usual_size_is_shown_whole() -> None:
    shown = payload(b'{"A":"\\u00f6"}')
    assert (shown.lines, shown.shown_lines, shown.is_folded) == (3, 3, False)
    assert "ö" in shown.readable
    assert shown.exact == '{"A":"\\u00f6"}'


def test_payload_with_many_lines_is_folded_until_it_is_asked_for() -> None:
    raw = msgspec.json.encode({"Lines": list(range(50_000))})
    folded, whole = payload(raw), payload(raw, whole=True)
    assert folded.is_folded
    assert folded.shown_lines == 40
    assert folded.lines == whole.shown_lines == 50_004
    assert len(folded.readable) < 10_000
    assert not whole.is_folded


def test_payload_of_one_long_line_is_folded() -> None:
    raw = msgspec.json.encode("x" * 200_000)
    folded = payload(raw)
    assert folded.is_folded
    assert len(folded.exact) <= FOLDED_FROM
    assert len(folded.readable) < 10_000


def test_payload_that_is_no_json_is_escaped() -> None:
    assert payload(b"<b>\xff").readable == "&lt;b&gt;\ufffd"
