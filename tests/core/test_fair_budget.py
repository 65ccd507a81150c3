"""A budget that many owners share."""

from commerce_event.core.fair_budget import FairBudget


def test_take_one_owner_may_hold_the_whole_total() -> None:
    budget = FairBudget(100)
    assert budget.take("a", 60)
    assert budget.take("a", 40)
    assert not budget.take("a", 1)
    assert budget.used == 100


def test_take_beyond_the_total_leaves_others_an_equal_share() -> None:
    budget = FairBudget(100)
    assert budget.take("a", 100)
    assert budget.take("b", 50)
    assert not budget.take("b", 1)
    assert not budget.take("a", 1)
    assert budget.take("c", 33)
    assert not budget.take("d", 26)


def test_give_back_makes_room_again() -> None:
    budget = FairBudget(10)
    assert budget.take("a", 10)
    budget.give_back("a", 4)
    assert not budget.take("a", 5)
    assert budget.take("a", 4)
    budget.give_back("a", 10)
    assert budget.used == 0
    assert budget.take("b", 10)
