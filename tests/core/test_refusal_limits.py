"""How much of the refused events may stay: of each owner, and in all."""

from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.refusal_limits import RefusalLimits, Usage, equal_share, find_excess

SMALL = RefusalLimits(owner_count=10, owner_bytes=100, total_count=20, total_bytes=150)

AMOUNTS = st.lists(st.integers(0, 1_000), max_size=20)


@given(AMOUNTS, st.integers(0, 5_000))
def test_equal_share_keeps_the_total(amounts: list[int], total: int) -> None:
    share = equal_share(amounts, total)
    kept = sum(min(amount, share) for amount in amounts)
    assert kept <= total
    if sum(amounts) <= total:
        assert kept == sum(amounts)
    else:  # with one more for each, it would not
        assert sum(min(amount, share + 1) for amount in amounts) > total


@given(AMOUNTS, st.integers(0, 5_000), st.integers(0, 1_000))
def test_equal_share_of_small_amount_does_not_depend_on_larger_ones(amounts: list[int], total: int, small: int) -> None:
    fair = total // (len(amounts) + 1)
    if small <= fair:
        assert equal_share([*amounts, small], total) >= small


def test_find_excess_within_limits_is_nothing() -> None:
    assert find_excess([Usage("a", "open", 10, 75), Usage("b", "open", 10, 75)], SMALL) == []


def test_find_excess_of_one_owner_is_cut_to_its_limits() -> None:
    assert find_excess([Usage("a", "open", 11, 1), Usage("b", "open", 1, 1)], SMALL) == [Usage("a", "open", 10, 100)]
    assert find_excess([Usage("a", "open", 1, 101), Usage("b", "open", 1, 1)], SMALL) == [Usage("a", "open", 10, 100)]


def test_find_excess_in_all_is_taken_from_those_who_hold_most() -> None:
    usage = [Usage("a", "open", 9, 1), Usage("b", "open", 9, 1), Usage("c", "open", 4, 1)]
    assert find_excess(usage, SMALL) == [Usage("a", "open", 8, 100), Usage("b", "open", 8, 100)]


def test_find_excess_counts_each_state_by_itself() -> None:
    usage = [Usage("a", "open", 10, 1), Usage("a", "accepted", 10, 1), Usage("a", "discarded", 11, 1)]
    assert find_excess(usage, SMALL) == [Usage("a", "discarded", 10, 100)]
