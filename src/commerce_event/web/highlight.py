"""JSON for the eye: indented and marked up, every character of it escaped."""

import re
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

_TOKEN: Final = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)')


def json_text(value: Any) -> str:
    """Return a value, or JSON bytes as they are, indented; what is no JSON stays as it is."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    try:
        return msgspec.json.format(raw, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")


def shown(value: Any) -> str:
    """Return a value as one line of JSON, plain text as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def highlighted(text: str) -> Markup:
    """Return JSON text as markup. Text that is no JSON is only escaped."""
    pieces: list[Markup] = []
    end = 0
    for match in _TOKEN.finditer(text):
        pieces.append(escape(text[end : match.start()]))
        pieces.append(_marked(match))
        end = match.end()
    pieces.append(escape(text[end:]))
    return Markup().join(pieces)


def _marked(match: re.Match[str]) -> Markup:
    quoted, colon, other = match.groups()
    if other is not None:
        return Markup('<span class="value">{}</span>').format(other)
    kind = "key" if colon is not None else "string"
    return Markup('<span class="{}">{}</span>{}').format(kind, quoted, colon or "")
