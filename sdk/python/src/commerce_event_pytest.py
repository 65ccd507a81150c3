"""The pytest plugin of the SDK. Every run of pytest loads it, so it imports the SDK only when a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from commerce_event_sdk.testing import FakeClock, ReceiverClient, Shop


@pytest.fixture
def commerce_event_secret() -> str:
    """The secret that events are signed with. Override this fixture to return the secret of your receiver."""
    from commerce_event_sdk.testing import SECRET

    return SECRET


@pytest.fixture
def commerce_event_seed() -> int:
    """The seed of the shop. Override this fixture for other customers, products and orders."""
    return 1


@pytest.fixture
def commerce_event_clock() -> FakeClock:
    """A clock that moves only when a test advances it. The shop and the repeats of events use it."""
    from commerce_event_sdk.testing import FakeClock

    return FakeClock()


@pytest.fixture
def shop(commerce_event_seed: int, commerce_event_clock: FakeClock) -> Shop:
    """A shop that makes believable events: the same seed, the same events."""
    from commerce_event_sdk.testing import Shop

    return Shop(commerce_event_seed, clock=commerce_event_clock)


@pytest.fixture
def commerce_event_receiver(
    commerce_event_secret: str, commerce_event_clock: FakeClock
) -> Iterator[Callable[..., ReceiverClient]]:
    """Wrap a Receiver, an ASGI or WSGI application, or a URL, so that a test can send events to it.

    Options: see ``commerce_event_sdk.testing.ReceiverClient``.
    """
    from commerce_event_sdk.testing import ReceiverClient

    clients: list[ReceiverClient] = []

    def wrap(target: Any, **options: Any) -> ReceiverClient:
        clients.append(
            ReceiverClient(target, **{"secret": commerce_event_secret, "clock": commerce_event_clock, **options})
        )
        return clients[-1]

    yield wrap
    for each in clients:
        each.close()
