"""The inbox: stores events before they are acknowledged, recognises repeats, and calls the handlers afterwards."""

from __future__ import annotations

from commerce_event_sdk.delivery import Delivery


class Inbox:
    """Placeholder of the spine; the slice of the inbox replaces it."""

    def put(self, delivery: Delivery, key: str | None) -> bool:
        raise NotImplementedError

    async def put_async(self, delivery: Delivery, key: str | None) -> bool:
        raise NotImplementedError
