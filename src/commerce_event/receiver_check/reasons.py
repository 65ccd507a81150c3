"""Find the reason in the body of an answer."""

import json
import re
from typing import Any, Final

from commerce_event.core.receiver_text import receiver_text, without_controls

_MAX: Final = 200  # characters
_NAMES: Final = ("reason", "detail", "message", "error", "title")
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]*)", re.IGNORECASE)  # without a bound, time would be quadratic
_MARKS: Final = dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0xD800, 0xE000)), " ")  # of directions; half characters


def reason_of(body: bytes) -> str:
    """Return what a body says: a property such as ``detail``, the title of an HTML page, or else its first line."""
    text = receiver_text(body).strip()
    found = _of_json(text)
    if found is None:
        title = _TITLE.search(text)
        found = title[1] if title else "" if text.startswith("<") else text.partition("\n")[0]
    return one_line(found)


def one_line(text: str) -> str:
    """Return text on one line, without characters that could control a terminal, and cut."""
    line = " ".join(without_controls(text).translate(_MARKS).split())
    return line if len(line) <= _MAX else f"{line[: _MAX - 1]}…"


def _of_json(text: str) -> str | None:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict):
        for name in _NAMES:
            value = content.get(name)
            if isinstance(value, dict):
                value = value.get("message")
            if isinstance(value, str) and value:
                return value
    return None
