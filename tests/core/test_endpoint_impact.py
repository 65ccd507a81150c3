"""What pausing, switching off and deleting an endpoint would mean, in words with numbers."""

import pytest

from commerce_event.core.endpoint_impact import EndpointImpact, events_per_hour


def impact(pending: int = 0, rate: float = 340.0) -> EndpointImpact:
    return EndpointImpact(pending=pending, in_flight=0, events_per_hour=rate)


def test_impact_says_what_is_held_lost_and_cancelled() -> None:
    found = impact(12)
    assert found.pause == "Pausing holds about 340 events an hour and the 12 pending deliveries; nothing is lost."
    assert found.off == (
        "Switching off tracks nothing: about 340 events an hour would get no delivery here; 12 pending deliveries are "
        "held."
    )
    assert found.delete == "Deleting cancels 12 pending deliveries; the history is kept."
    assert found.resume == "12 pending deliveries are sent now, then new events at once."


def test_impact_of_an_endpoint_with_nothing_pending_names_no_delivery() -> None:
    found = impact()
    assert "0" not in found.delete + found.resume
    assert "pending" not in found.pause + found.off + found.delete


@pytest.mark.parametrize(
    ("rate", "words"),
    [(1_340.2, "about 1,340 events an hour"), (1.0, "about 1 event an hour"), (0.25, "about 6 events a day"),
     (0.0, "new events (none came in the last day)")],
)  # fmt: skip
def test_impact_gives_the_rate_in_a_unit_that_fits(rate: float, words: str) -> None:
    assert words in impact(rate=rate).pause


def test_events_per_hour_counts_no_more_than_the_client_published() -> None:
    assert events_per_hour(ended=20, pending=4, accepted=100, span_h=24.0) == 1.0
    assert events_per_hour(ended=0, pending=5_000, accepted=48, span_h=24.0) == 2.0
