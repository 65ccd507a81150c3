"""A lock whose waiting threads get it in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """Lets the threads of a process write to an SQLite file in turn.

    SQLite's own lock must be polled, and a thread that has just written gets it again before those that wait.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False

    def acquire(self, timeout_s: float) -> bool:
        """Wait for the turn. False: it did not come in time."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout_s):
            return True
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # it came in the last moment

    def release(self) -> None:
        """Give the turn to the thread that has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
