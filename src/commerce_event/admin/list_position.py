"""Where a page of a list is in the list, and its addresses."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

_NOT_FILTERS: Final = frozenset({"cursor", "before", "page", "format"})


def range_text(before: str, shown: int, total: int | None = None, *, more: bool = False, many: bool = False) -> str:
    """Return which rows are shown, such as ``51–100 of 5,004``.

    ``before`` is the number of rows on the pages before, as the address has it; ``more`` says that others follow, and
    ``many`` that there are more than ``total``.
    """
    first = int(before) if before.isascii() and before.isdecimal() and len(before) < 9 else 0
    last = first + shown
    if total is None and not more and not first:
        return f"{shown:,} row{'s' if shown != 1 else ''}"
    rows = f"{first + 1:,}–{last:,}"
    if total is None:
        return f"{rows}, more follow" if more else f"{rows}, the last"
    return f"{rows} of {'more than ' if many else ''}{max(total, last):,}"


def after_rows(url: str, before: str, shown: int) -> str:
    """Return the address of the next page, with how many rows come before it."""
    first = int(before) if before.isascii() and before.isdecimal() and len(before) < 9 else 0
    return _with(url, {"before": str(first + shown)}, without=frozenset({"before"}))


def export_url(url: str, format_: str) -> str:
    """Return the address of a list as a file, from that of the screen with its filters."""
    path, _, query = url.partition("?")
    return _with(f"{path}/export?{query}", {"format": format_}, without=_NOT_FILTERS)


def _with(url: str, added: dict[str, str], *, without: frozenset[str]) -> str:
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in without]
    anchor = f"#{parts.fragment}" if parts.fragment else ""
    return f"{parts.path}?{urlencode([*kept, *added.items()])}{anchor}"
