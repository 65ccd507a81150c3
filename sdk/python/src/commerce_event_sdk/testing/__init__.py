"""Test a receiver: send it events as a platform does, with repeats, and without a server.

The fixtures ``commerce_event_receiver`` and ``shop`` of the pytest plugin use these classes.
"""

from commerce_event_sdk.testing import lives
from commerce_event_sdk.testing.clock import FakeClock
from commerce_event_sdk.testing.receiver_client import ReceiverClient
from commerce_event_sdk.testing.sender import RETRY_DELAYS_S, SECRET, Attempt, Sent
from commerce_event_sdk.testing.shop import OUTCOMES, Customer, Order, Shop

__all__ = [
    "OUTCOMES",
    "RETRY_DELAYS_S",
    "SECRET",
    "Attempt",
    "Customer",
    "FakeClock",
    "Order",
    "ReceiverClient",
    "Sent",
    "Shop",
    "lives",
]
