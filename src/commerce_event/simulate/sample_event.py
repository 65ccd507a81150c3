"""Single believable events: values of the simulated shop, with ids of their own."""

import random
from collections.abc import Iterator
from typing import Any, Final

from commerce_event.contract.catalogue import EventType
from commerce_event.simulate.shop import Shop, SimulatedEvent

_NUMBERS: Final = {  # properties that identify something, and where their numbers begin
    "BasketId": 700_000, "CapturedInvoiceId": 70_000, "CompanyId": 50_000, "CustomerId": 80_000, "JobId": 900_000,
    "OrderId": 4_000_000, "RecurringOrderId": 20_000, "SubscriptionId": 4_000,
}  # fmt: skip
_TEXTS: Final = {
    "ClientOrderRef": "B-{}", "OrderNo": "SO-{}", "ErpOrderNo": "SO-{}", "PartNo": "NT-{}", "PaymentCode": "PAY-{}",
    "PaymentRef": "REF-{}",
}  # fmt: skip


class SampleEvents:
    """Makes events of a client, each about an order, customer or product of its own. Not for use by several threads."""

    def __init__(self, seed: int, client_id: int = 1, application_id: int = 1) -> None:
        """The same seed gives the same events."""
        self._rng = random.Random(seed)  # noqa: S311 - values of examples, not secrets
        self._routing = {"ClientId": client_id, "ApplicationId": application_id}
        self._events: Iterator[SimulatedEvent] = Shop(seed, client_id, (application_id,)).events()

    def next(self, event_type: EventType) -> dict[str, Any]:
        """Return the next event of a type, which may be an own event type."""
        values = self._values(event_type)
        number = self._rng.randrange(10**6, 10**9)
        for name, value in values.items():
            if name in self._routing:
                values[name] = self._routing[name]
            elif name in _NUMBERS and isinstance(value, int):
                values[name] = _NUMBERS[name] + number
            elif name in _TEXTS and isinstance(value, str):
                values[name] = _TEXTS[name].format(number)
        return values

    def _values(self, event_type: EventType) -> dict[str, Any]:
        if event_type.is_own:
            return dict(event_type.example)
        return dict(next(each.data for each in self._events if each.type == event_type.name))
