"""Lists: by an opaque cursor that stays right while new things arrive.

Most are newest first, and their cursor holds the last id; a client's sequence goes on behind the last number. The two
kinds of cursor differ, so that one given to the other list is refused instead of leaving something out.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from commerce_event.core.model import Event
from commerce_event.core.problems import invalid
from commerce_event.store.model import Page

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200

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
    """Which page."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None

    def page(self) -> Page:
        """Return the page to ask the store for: one more than wanted, to see whether more follow."""
        return Page(self.limit + 1, None if self.cursor is None else _read(self.cursor, _ID))

    def sequence(self, after: int) -> int:
        """Return behind which number of a sequence the page begins, when the list began behind ``after``."""
        return after if self.cursor is None else max(after, _read(self.cursor, _SEQUENCE))


def listing(found: Sequence[Any], query: PageQuery, view: Callable[[Any], T]) -> Listing[T]:
    """Return the page as it is answered."""
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Listing([view(each) for each in shown], _write(_ID, shown[-1].id) if more else None)


def sequence_listing(found: Sequence[Event], query: PageQuery, view: Callable[[Event], T]) -> Listing[T]:
    """Return a page of a client's sequence; it was asked for one more event than wanted."""
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Listing([view(each) for each in shown], _write(_SEQUENCE, shown[-1].sequence) if more else None)


def _write(kind: bytes, last: int) -> str:
    return base64.urlsafe_b64encode(kind + last.to_bytes(8, "big")).decode().rstrip("=")


def _read(cursor: str, kind: bytes) -> int:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    number = int.from_bytes(raw[len(kind) :], "big")
    if len(raw) != len(kind) + 8 or not raw.startswith(kind) or number >= 2**63:
        raise invalid("?cursor", "the cursor is not one that a list gave; begin without it")
    return number
