"""Answers to publishers: for one event, and for a batch."""

import msgspec

from commerce_event.core.problems import Fault


class AcceptedView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that is stored durably, with its deliveries. ``warnings`` only if it breaks the contract."""

    id: str
    duplicate: bool
    deliveries: int
    warnings: tuple[Fault, ...] = ()


class ItemView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one event of a batch."""

    index: int
    status: int
    id: str | None = None
    duplicate: bool | None = None
    deliveries: int | None = None
    title: str | None = None
    detail: str | None = None
    errors: list[dict[str, str]] | None = None
    warnings: tuple[Fault, ...] = ()


class BatchView(msgspec.Struct, frozen=True):
    """The results of a batch, in the order of its events."""

    items: list[ItemView]
    accepted: int
    duplicates: int
    refused: int
