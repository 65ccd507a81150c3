"""Recorded lives of orders."""

import pytest

from commerce_event_sdk import CommerceEvent
from commerce_event_sdk.testing import lives


@pytest.mark.parametrize("name", lives.names())
def test_life_is_a_list_of_known_events_with_headers_in_order_of_time(name: str) -> None:
    arrivals = lives.load(name)
    assert lives.describe(name).endswith(".")
    assert len(arrivals) >= 4
    assert arrivals[0].offset == 0
    assert [each.offset for each in arrivals] == sorted(each.offset for each in arrivals)
    by_id: dict[str, list[tuple[object, str, str]]] = {}
    for _, event, headers in arrivals:
        assert isinstance(event, CommerceEvent)
        assert not event.extra
        assert headers["commerce-event-type"] == event.event_type
        about = (event, headers["commerce-event-sequence"], headers["commerce-event-attempt"])
        by_id.setdefault(headers["webhook-id"], []).append(about)
    for repeats in by_id.values():
        assert [attempt for _, _, attempt in repeats] == [str(number + 1) for number in range(len(repeats))]
        assert all(each[:2] == repeats[0][:2] for each in repeats)


def test_lives_have_repeats_and_arrivals_out_of_order_where_they_say_so() -> None:
    arrivals = lives.load("repeats_and_reordering")
    sequences = [int(each.headers["commerce-event-sequence"]) for each in arrivals]
    assert sequences != sorted(sequences)
    assert len(set(sequences)) < len(sequences)


def test_life_with_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="no life 'nothing'; there are cancelled_after_payment, "):
        lives.load("nothing")
