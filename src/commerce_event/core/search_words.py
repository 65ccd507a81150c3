"""Words of a text as a search compares them: without case and without marks on letters."""

import re
import unicodedata
from typing import Final

WORD: Final = re.compile(r"[^\W_]+")


class _Bare(dict[int, int | None]):
    """Takes marks off decomposed text with ``str.translate``, looking each letter up in Unicode's tables once."""

    def __missing__(self, letter: int) -> int | None:
        kept = self[letter] = None if unicodedata.combining(chr(letter)) else letter
        return kept


_BARE: Final = _Bare()


def fold(text: str) -> str:
    """Return text in which letters that differ by case or by a mark alone are the same."""
    folded = text.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFKD", folded).translate(_BARE)


def wanted(text: str) -> str:
    """Return what an entry must hold to be found: all words in that order, of which the last may be a beginning.

    Empty when the text has no word: marks alone find nothing.
    """
    found = WORD.findall(fold(text))
    return f" {' '.join(found)}" if found else ""
