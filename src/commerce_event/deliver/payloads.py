"""The bodies that endpoints with a selection of properties get, made once for each event and selection."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from commerce_event.contract.catalogue import EventType
from commerce_event.core.model import Endpoint
from commerce_event.core.payload import sent_body
from commerce_event.store.model import Claimed

_KEPT_BYTES_MAX: Final = 8 * 1024 * 1024
_ENTRY_BYTES: Final = 500  # of an entry besides its body
_BYTES_PER_START: Final = 16 * 1024  # of a body that is made in the time of a usual request


class Payloads:
    """Makes the bodies of deliveries, and keeps the newest for other endpoints with the same selection."""

    def __init__(self, event_type_of: Callable[[str], EventType]) -> None:
        """``event_type_of`` returns the type of a stored event by its name."""
        self._event_type_of = event_type_of
        self._kept: OrderedDict[tuple[int, tuple[str, ...]], tuple[EventType, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def body(self, endpoint: Endpoint, claimed: Claimed) -> bytes:
        """Return the body that the endpoint gets."""
        if endpoint.properties is None:
            return claimed.body
        event_type = self._event_type_of(claimed.type)
        key = (claimed.event_id, endpoint.properties)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is event_type:  # else it has changed, and perhaps what it requires
            return kept[1]
        body = sent_body(claimed.body, event_type, endpoint.properties)
        self._keep(key, event_type, body)
        return body

    def _keep(self, key: tuple[int, tuple[str, ...]], event_type: EventType, body: bytes) -> None:
        former = self._kept.get(key)
        self._kept[key] = event_type, body
        self._kept_bytes += len(body) - len(former[1]) if former else len(body) + _ENTRY_BYTES
        while self._kept_bytes > _KEPT_BYTES_MAX:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest) + _ENTRY_BYTES


def weight_of(endpoint: Endpoint, claimed: Claimed) -> int:
    """Return how many usual requests take as long to build as this one, at worst."""
    return 1 if endpoint.properties is None else 1 + len(claimed.body) // _BYTES_PER_START
