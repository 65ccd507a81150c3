"""Pages of lists, with an opaque cursor that stays correct while new entries arrive.

Most lists are newest first, and their cursor has the last id; the cursor of a client's sequence has the last number.
The two kinds differ, so that a cursor of the wrong list is refused instead of skipping entries.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from commerce_event.core.model import Event
from commerce_event.core.problems import invalid
from commerce_event.store.model import Page

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
BYTES_MAX: Final = 4 * 1024 * 1024  # of the events of a page, unless it has only one
_STEP: Final = 32  # events read at once: of the largest, some MiB

_SEQUENCE: Final = b"s"  # begins the cursor of a sequence
_ID: Final = b""

Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str, Meta(max_length=64)]

T = TypeVar("T")


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list; ``next_cursor`` is null on the last one."""

    items: list[T]
    next_cursor: str | None


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page to read."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None

    def page(self) -> Page:
        """Return the page for the store: one entry more than the limit, to know whether there are more."""
        return Page(self.limit + 1, self.before)

    @property
    def before(self) -> int | None:
        """The id below which the page begins; None for the first page."""
        return None if self.cursor is None else _read(self.cursor, _ID)

    def sequence(self, after: int) -> int:
        """Return the number of the sequence after which the page begins; the list begins after ``after``."""
        return after if self.cursor is None else max(after, _read(self.cursor, _SEQUENCE))


async def read_within(
    limit: int, read: Callable[[int, T | None], Awaitable[Sequence[T]]], size_of: Callable[[T], int]
) -> tuple[list[T], bool]:
    """Read at most ``limit`` entries in small steps, and fewer when they have more than BYTES_MAX bytes together.

    ``read(n, last)`` returns at most ``n`` entries after the entry ``last``. Returns the entries, at least
    one if there is one, and whether there are more.
    """
    found: list[T] = []
    size = 0
    while True:
        wanted = min(limit + 1 - len(found), _STEP)
        some = await read(wanted, found[-1] if found else None)
        for each in some:
            size += size_of(each)
            if len(found) == limit or (found and size > BYTES_MAX):
                return found, True
            found.append(each)
        if len(some) < wanted:
            return found, False


def listing(found: Sequence[Any], query: PageQuery, view: Callable[[Any], T]) -> Listing[T]:
    """Return the page as an answer."""
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Listing([view(each) for each in shown], _write(_ID, shown[-1].id) if more else None)


def cursor_after(entry: Any, *, more: bool) -> str | None:
    """Return the cursor of the page after an entry; None when there are no more."""
    return _write(_ID, entry.id) if more else None


def cursor_after_sequence(event: Event, *, more: bool) -> str | None:
    """Return the cursor of the page after an event of a client's sequence; None when there are no more."""
    return _write(_SEQUENCE, event.sequence) if more else None


def _write(kind: bytes, last: int) -> str:
    return base64.urlsafe_b64encode(kind + last.to_bytes(8, "big")).decode().rstrip("=")


def _read(cursor: str, kind: bytes) -> int:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    number = int.from_bytes(raw[len(kind) :], "big")
    if len(raw) != len(kind) + 8 or not raw.startswith(kind) or number >= 2**63:
        raise invalid("?cursor", "the cursor does not come from this list; begin without a cursor")
    return number
