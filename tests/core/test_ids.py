"""Ids sort by time, read back, and refuse what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.ids import EPOCH_MS, IdMaker, InvalidIdError, at_time, decode, encode

NUMBERS = st.integers(0, 2**63 - 1)


@given(NUMBERS)
def test_id_reads_back(number: int) -> None:
    assert decode("evt", encode("evt", number)) == number


@given(NUMBERS, NUMBERS)
def test_text_sorts_as_the_number_does(first: int, second: int) -> None:
    assert (encode("dlv", first) < encode("dlv", second)) == (first < second)


@given(st.lists(st.integers(EPOCH_MS, EPOCH_MS + 10**12), min_size=1, max_size=50))
def test_ids_only_grow_whatever_the_clock_does(clock_ms: list[int]) -> None:
    maker = IdMaker()
    made = [maker.next(now_ms) for now_ms in clock_ms]

    assert made == sorted(set(made))


def test_new_maker_goes_on_above_what_the_store_holds() -> None:
    last = IdMaker().next(EPOCH_MS + 10**9)

    assert IdMaker(after=last).next(EPOCH_MS) > last


def test_two_nodes_never_make_the_same_id() -> None:
    makers = [IdMaker(node=node) for node in (0, 1, 255)]
    made = [maker.next(EPOCH_MS + 5) for maker in makers for _ in range(100)]

    assert len(set(made)) == 300


def test_more_ids_than_fit_in_a_millisecond_borrow_from_the_next() -> None:
    maker = IdMaker()
    made = [maker.next(EPOCH_MS + 5) for _ in range(20_000)]

    assert len(set(made)) == 20_000
    assert made[-1] >= at_time(EPOCH_MS + 6)


def test_smallest_id_of_a_time_is_not_above_those_made_then() -> None:
    assert at_time(EPOCH_MS + 77) <= IdMaker().next(EPOCH_MS + 77) < at_time(EPOCH_MS + 78)


@pytest.mark.parametrize(
    "text", ["", "evt_", "dlv_0000000000000", "evt_000000000000", "evt_000000000000u", "evt_zzzzzzzzzzzzz", "evt-0"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdError):
        decode("evt", text)


def test_node_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="node must be 0 to 255"):
        IdMaker(node=256)
