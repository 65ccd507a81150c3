"""Words of a text as a search compares them. Texts and queries are cut by the same rule, so engines only match words.

Case, marks on letters and signs do not count: Yıldız is YILDIZ, Acme™ is acme. Letters and digits are separate words,
so SO10023, SO-10023 and SO 10023 are the same two. Numerals that are no decimal digits, such as ፩, count as letters. In
scripts without spaces, each letter begins a word of two letters, so a part of a name is found: 京市 in 北京市.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

# Letters that Unicode does not decompose, by what people type for them; apostrophes that count as letters, as signs.
_LETTERS: Final = {
    "ı": "i", "ȷ": "j", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "þ": "th", "æ": "ae", "œ": "oe",
    "ŋ": "n", "ĸ": "k", "ɨ": "i", "ƶ": "z", "ƀ": "b", "ʹ": " ", "ʺ": " ", "ʻ": " ", "ʼ": " ", "ʽ": " ",
}  # fmt: skip
# Han, kana, bopomofo; Thai, Lao; Burmese; Khmer.
_UNSPACED: Final = (
    "\u3005-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_KEPT_MAX: Final = 0xFFFF  # the last letter whose folded form is kept; all letters would take 100 MB
_ASCII_RUN: Final = re.compile(r"[0-9]+|[a-z]+")
_RUN: Final = re.compile(r"\d+|[^\W\d_]+")
_BY_SPACING: Final = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]").match


class _Folded(dict[int, str]):
    """What each letter becomes, for ``str.translate``."""

    def __missing__(self, letter: int) -> str:
        folded = "".join(map(_fold_decomposed, unicodedata.normalize("NFKD", chr(letter)).casefold()))
        if letter <= _KEPT_MAX:
            self[letter] = folded
        return folded


def _fold_decomposed(letter: str) -> str:
    if letter in _LETTERS:
        return _LETTERS[letter]
    kind = unicodedata.category(letter)
    if kind[0] == "M" or kind == "Cf":  # marks, and what is invisible, such as a soft hyphen
        return ""
    return str(unicodedata.decimal(letter)) if kind == "Nd" else letter


_FOLDED: Final = _Folded({ord(sign): " " for sign in "™℠"})  # they would become letters of the word before


def fold(text: str) -> str:
    """Return text in which letters that differ by case or marks, and digits of all scripts, are the same.

    Each letter is folded by itself: the folded parts of a text make up the folded text. To decompose a whole text takes
    time by the square of its length when it has many marks, which would be sorted.
    """
    return text.lower() if text.isascii() else text.translate(_FOLDED)


def words(text: str) -> list[str]:
    """Return the words of a text in order."""
    return _words(fold(text))


def _words(folded: str) -> list[str]:
    if folded.isascii():
        return _ASCII_RUN.findall(folded)
    found: list[str] = []
    for run in _runs(folded):
        found += [run[at : at + 2] for at in range(len(run))] if _IS_UNSPACED(run) else [run]
    return found


def _runs(folded: str) -> Iterator[str]:
    """Yield the runs of digits, of letters, and of letters of scripts without spaces."""
    for run in _RUN.findall(folded):
        if run.isascii():
            yield run
        else:
            yield from _BY_SPACING.findall(run)


def entry(text: str) -> str:
    """Return all words of a text, with a blank before and after each."""
    return f" {' '.join(words(text))} "


def wanted(text: str) -> str:
    """Return what an entry must hold to be found: all words in that order, of which the last may be a beginning.

    Empty when the text has no word: signs alone find nothing.
    """
    found = words(text)
    return f" {' '.join(found)}" if found else ""


def find_span(text: str, query: str) -> tuple[int, int] | None:
    """Return where the words of a query are in a text, as (start, end); None when they are not in it."""
    runs = list(_runs(fold(query)))
    if not runs:
        return None
    pattern = r"[\W_]*".join(map(re.escape, runs))
    if not _IS_UNSPACED(runs[0]):  # it begins a word
        pattern = (r"(?<!\d)" if runs[0].isdecimal() else r"(?<![^\W\d_])") + pattern
    places: list[int] = []  # of each folded letter in the text
    folded = ""
    for at, letter in enumerate(text):
        part = fold(letter)
        folded += part
        places += [at] * len(part)
    match = re.search(pattern, folded)
    return (places[match.start()], places[match.end() - 1] + 1) if match else None


def no_result_message(text: str, *, is_filtered: bool) -> str:
    """Return the message for a search of events without a result: what was searched, and what to try.

    ``is_filtered`` tells whether there were other filters.
    """
    others = " and matches the other filters" if is_filtered else ""
    remove = ", or remove filters" if is_filtered else ""
    return (
        f"No stored event that your key may read has “{text}” in its payload{others}. "
        f"Try a part of it, such as the digits alone or one name{remove}. "
        "Events older than the retention are deleted. Refused events are not searched; look in their list."
    )
