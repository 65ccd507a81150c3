"""Text of payloads as a person looks for it: without case, without marks on letters, word by word."""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

_WORD: Final = re.compile(r"[^\W_]+")
_LEXEME_MAX: Final = 64  # letters that lead to candidates; the folded text decides
_LEXEMES_MAX: Final = 20_000  # more than this does not fit one row's vector of at most 1 MB
_QUERY_WORDS_MAX: Final = 32


def fold(text: str) -> str:
    """Return text in which letters that differ by case or by a mark alone are the same."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(letter for letter in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(letter))


def folded_values(body: bytes) -> list[str]:
    """Return every value in a payload, folded; a body that is no JSON is one value."""
    try:
        value = json.loads(body, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return [fold(body.decode(errors="replace"))]
    return [fold(text) for text in _values(value)]


def entry(body: bytes) -> str:
    """Return all words of a payload in their order, with a blank before and after each."""
    return f" {' '.join(word for value in folded_values(body) for word in _WORD.findall(value))} "


def wanted(text: str) -> str:
    """Return what an entry must hold to be found: all words in that order, of which the last may be a beginning.

    Empty when the text has no word: marks alone find nothing.
    """
    found = _WORD.findall(fold(text))
    return f" {' '.join(found)}" if found else ""


def index_entry(body: bytes) -> tuple[str, str]:
    """Return the different words of a payload, which lead to it as a candidate, and its entry, which decides."""
    text = entry(body)
    lexemes = list(dict.fromkeys(word[:_LEXEME_MAX] for word in text.split()))[:_LEXEMES_MAX]
    return " ".join(lexemes), text


def index_query(wanted_words: str) -> str:
    """Return the text query that leads to the candidates for `wanted`."""
    lexemes = [f"'{word[:_LEXEME_MAX]}'" for word in wanted_words.split()[:_QUERY_WORDS_MAX]]
    lexemes[-1] += ":*"
    return " & ".join(lexemes)


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _values(member)
    elif isinstance(value, list):
        for member in value:
            yield from _values(member)
    elif value is not None:
        yield str(value)
