"""Text of others as text that a terminal, a log and every database can take."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with escapes for control characters, line breaks and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
