"""Lists: newest first, by an opaque cursor that stays right while new things arrive."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from commerce_event.api.problems import invalid
from commerce_event.store.port import Page

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200

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
        return Page(self.limit + 1, None if self.cursor is None else _read(self.cursor))


def listing(found: Sequence[Any], query: PageQuery, view: Callable[[Any], T]) -> Listing[T]:
    """Return the page as it is answered."""
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Listing([view(each) for each in shown], _write(shown[-1].id) if more else None)


def _write(last_id: int) -> str:
    return base64.urlsafe_b64encode(last_id.to_bytes(8, "big")).decode().rstrip("=")


def _read(cursor: str) -> int:
    try:
        raw = base64.b64decode(cursor + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    number = int.from_bytes(raw, "big")
    if len(raw) != 8 or number >= 2**63:
        raise invalid("?cursor", "the cursor is not one that a list gave; begin without it")
    return number
