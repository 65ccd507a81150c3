"""Full-text search of payloads by words; `core/search_words` says what a word is."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from commerce_event.core import search_words
from commerce_event.core.search_words import wanted
from commerce_event.store.model import EventQuery
from commerce_event.store.port import StoreUnavailableError

__all__ = [
    "UNINDEXED_MAX",
    "check_unindexed",
    "entry",
    "former_wanted",
    "index_entry",
    "index_query",
    "longest_word",
    "wanted",
    "wanted_by",
]

_decode: Final = msgspec.json.Decoder(float_hook=str).decode
_LEXEME_MAX: Final = 64  # letters used to find candidates; the folded text decides
_LEXEMES_MAX: Final = 20_000  # more than this does not fit one row's vector of at most 1 MB
_QUERY_WORDS_MAX: Final = 32
_FORMER_WORD: Final = re.compile(r"[^\W_]+")
UNINDEXED_MAX: Final = 20_000  # events that are not indexed yet, which a search reads one by one


def check_unindexed(count: int) -> None:
    """Raises StoreUnavailableError when there are too many events that are not indexed yet."""
    if count > UNINDEXED_MAX:
        raise StoreUnavailableError(
            f"More than {UNINDEXED_MAX:,} events have come in that cannot be searched yet; search again in a moment"
        )


def entry(body: bytes) -> str:
    """Return all words of a payload's values in order, with a blank before and after each.

    A body that is no JSON counts as one value.
    """
    try:
        found: list[str] = []
        _collect(_decode(body), found)
        text = "\n".join(found)  # no word goes from one to the next
    except (ValueError, RecursionError):
        text = body.decode(errors="replace")
    return search_words.entry(text)


def longest_word(wanted_words: str) -> str:
    """Return the word that the fewest texts hold, by its length."""
    return max(wanted_words.split(), key=len)


def index_entry(client_id: int, body: bytes) -> tuple[str, str]:
    """Return the lexemes of a payload (its client, its words), which find candidates, and its entry, which decides."""
    text = entry(body)
    lexemes = list(dict.fromkeys(word[:_LEXEME_MAX] for word in text.split()))[:_LEXEMES_MAX]
    return " ".join([_client(client_id), *lexemes]), text


def index_query(wanted_words: Sequence[str], client_ids: Iterable[int] = ()) -> str:
    """Return the text query for candidates of any `wanted`: those of some clients, or of all."""
    words = " | ".join(_candidates(each) for each in wanted_words)
    clients = " | ".join(f"'{_client(client_id)}'" for client_id in client_ids)
    return f"({clients}) & ({words})" if clients else words


def wanted_by(query: EventQuery) -> str:
    """Return what an entry must hold for the text of a query; a blank at the end ends the last word."""
    found = wanted(query.text or "")
    return f"{found} " if found and query.whole_words else found


def _candidates(wanted_words: str) -> str:
    lexemes = [f"'{word[:_LEXEME_MAX]}'" for word in wanted_words.split()[:_QUERY_WORDS_MAX]]
    if not wanted_words.endswith(" "):
        lexemes[-1] += ":*"
    return f"({' & '.join(lexemes)})"


def former_wanted(text: str) -> str:
    """Return `wanted` by the rule of older versions, for texts that are not indexed anew yet."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    found = _FORMER_WORD.findall("".join(letter for letter in folded if not unicodedata.combining(letter)))
    return f" {' '.join(found)}" if found else ""


def _client(client_id: int) -> str:
    """Return the lexeme of a client, which cannot be a word."""
    return f"@{client_id}"


def _collect(value: Any, found: list[str]) -> None:
    """Append every value as text, in order."""
    if isinstance(value, str):  # numbers with a fraction are, too
        found.append(value)
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            if isinstance(member, str):
                found.append(member)
            else:
                _collect(member, found)
    elif value is not None:
        found.append(str(value))
