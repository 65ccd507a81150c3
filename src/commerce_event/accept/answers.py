"""What a publisher is answered: for one event, and for each of many."""

import msgspec


class AcceptedView(msgspec.Struct, frozen=True):
    """An event is durable, and so are its deliveries."""

    id: str
    duplicate: bool
    deliveries: int


class ItemView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event of a batch."""

    index: int
    status: int
    id: str | None = None
    duplicate: bool | None = None
    deliveries: int | None = None
    title: str | None = None
    detail: str | None = None
    errors: list[dict[str, str]] | None = None


class BatchView(msgspec.Struct, frozen=True):
    """What became of a batch, item by item, in order."""

    items: list[ItemView]
    accepted: int
    duplicates: int
    refused: int
