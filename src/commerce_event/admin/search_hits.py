"""The property of an event in which a search found its text."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

from commerce_event.contract.labels import plain_text
from commerce_event.core.search_words import entry, find_span, wanted

_SHOWN_MAX: Final = 60
_SEARCHED_MAX: Final = 20_000  # letters of an event: cutting 250,000 into words takes up to 0.7 s


class SearchHit(msgspec.Struct, frozen=True):
    """A property that holds the text of a search, with the text marked."""

    name: str
    value: Markup


def search_hit(body: bytes, text: str) -> SearchHit | None:
    """Return the first property that holds all words of a search, else the first that holds one of them.

    Only the first 20,000 letters of an event are searched.
    """
    phrase = wanted(text)
    if not phrase:
        return None
    members = []
    left = _SEARCHED_MAX
    for name, value in _members(_object(body), ""):
        members.append((name, value, entry(value[:left])))
        left -= len(value)
        if left <= 0:
            break
    for part, part_text in ((phrase, text), *((f" {word}", word) for word in phrase.split())):
        for name, value, words in members:
            if part in words:
                return SearchHit(name, _marked(value, part_text))
    return None


def _marked(value: str, text: str) -> Markup:
    shown = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
    start, end = find_span(shown, text) or (0, len(shown))
    marked = Markup("<mark>{}</mark>").format(shown[start:end])
    return escape(shown[:start]) + marked + escape(shown[end:])


def _members(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _members(member, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for member in value:
            yield from _members(member, name)
    elif value is not None:
        yield name, plain_text(value)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
