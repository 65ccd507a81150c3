"""The test kit repeats as the server does."""

from commerce_event.core.retry import DEFAULT_SCHEDULE_S

from commerce_event_sdk.testing import RETRY_DELAYS_S


def test_retry_delays_of_the_test_kit_are_those_of_the_server() -> None:
    assert DEFAULT_SCHEDULE_S == RETRY_DELAYS_S
