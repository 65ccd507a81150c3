"""Threads of a process write in the order in which they asked."""

from __future__ import annotations

import threading

from commerce_event_sdk.inbox.turns import Turns

WAIT_S = 20.0


def test_turns_go_to_threads_in_the_order_of_their_coming() -> None:
    turns, order = Turns(), []
    assert turns.acquire(0)

    def take(number: int) -> None:
        assert turns.acquire(WAIT_S)
        order.append(number)
        turns.release()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        while len(turns._waiting) <= number:
            pass
    turns.release()
    for each in threads:
        each.join(WAIT_S)
    assert order == [0, 1, 2, 3, 4]
    assert turns.acquire(0)


def test_turn_that_does_not_come_in_time_is_given_up() -> None:
    turns = Turns()
    assert turns.acquire(0)
    assert not turns.acquire(0.01)
    turns.release()
    assert turns.acquire(0)
