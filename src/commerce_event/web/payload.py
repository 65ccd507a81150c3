"""A payload for people: its size, a readable form next to the exact text, and a fold when it is long."""

import re
from typing import Final

import msgspec
from markupsafe import Markup

from commerce_event.web.highlight import highlight_json, highlight_json_part, json_text

FOLDED_FROM: Final = 8 * 1024  # bytes of a payload; a longer one is folded
_LINES: Final = 40
_CHARACTERS: Final = 8 * 1024  # of those lines: one of them may be the whole payload
# Characters that change the order of the text around them (Unicode's explicit and implicit marks).
_BIDI: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_ESCAPES: Final = re.compile(
    rf"\\u(?P<high>d[89ab][0-9a-f]{{2}})\\u(?P<low>d[c-f][0-9a-f]{{2}})|\\u(?P<code>[0-9a-f]{{4}})|\\.|[{_BIDI}]",
    re.IGNORECASE | re.DOTALL,
)
_CONTROLS: Final = re.compile(f"[{_BIDI}]")


class Payload(msgspec.Struct, frozen=True):
    """A payload as it is shown. ``lines`` is how many it has, ``shown_lines`` how many of them are shown."""

    size_bytes: int
    readable: Markup
    exact: str
    lines: int
    shown_lines: int
    is_folded: bool


def payload(raw: bytes, *, whole: bool = False) -> Payload:
    """Return a payload for a page; ``whole`` shows a long one to its end."""
    text = readable_text(json_text(raw))
    exact = visible_controls(raw.decode("utf-8", "replace"))
    lines = text.count("\n") + 1
    if whole or len(raw) <= FOLDED_FROM:
        return Payload(len(raw), highlight_json(text), exact, lines, lines, is_folded=False)
    shown = "\n".join(text.split("\n", _LINES)[:_LINES])[:_CHARACTERS]
    return Payload(
        len(raw), highlight_json_part(shown), exact[:_CHARACTERS], lines, shown.count("\n") + 1, is_folded=True
    )


def readable_text(text: str) -> str:
    """Return JSON text with the characters that its escapes stand for; it stands for the same values.

    Escapes of quotes, backslashes, control characters and characters without a shape stay. A character that changes the
    direction of the text becomes an escape.
    """
    return _ESCAPES.sub(_readable, text)


def visible_controls(text: str) -> str:
    """Return text in which characters that change the direction of text are shown as escapes such as ``\\u202e``."""
    return _CONTROLS.sub(lambda match: _escape(match[0]), text)


def _readable(match: re.Match[str]) -> str:
    if match["high"]:
        return _shown(chr(0x10000 + (int(match["high"], 16) % 0x400 << 10) + int(match["low"], 16) % 0x400), match[0])
    if match["code"]:
        return _shown(chr(int(match["code"], 16)), match[0])
    return _escape(match[0]) if match[0] in _BIDI else match[0]


def _shown(character: str, escape: str) -> str:
    is_kept = character in _BIDI or character in '"\\' or not character.isprintable()
    return escape if is_kept else character


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}"
