"""Bound the memory of request bodies: for all callers together, with a share for each."""

from types import TracebackType
from typing import Self

from commerce_event.core.fair_budget import FairBudget
from commerce_event.core.problems import unavailable


class BodyBudget:
    """The bytes of all bodies that are being read or worked on."""

    def __init__(self, total_bytes: int) -> None:
        self._budget = FairBudget(total_bytes)

    @property
    def used(self) -> int:
        """Bytes that are taken now."""
        return self._budget.used

    def share(self, owner: str) -> "BodyShare":
        """Return the share of one request; it is given back when its block ends."""
        return BodyShare(self._budget, owner)


class BodyShare:
    """The bytes of one request."""

    def __init__(self, budget: FairBudget, owner: str) -> None:
        self._budget = budget
        self._owner = owner
        self._bytes = 0

    def grow_to(self, size: int) -> None:
        """Take so many bytes in all. Raises Problem 503 when the owner's share does not allow it."""
        more = size - self._bytes
        if more <= 0:
            return
        if not self._budget.take(self._owner, more):
            problem = unavailable("Too many large requests are open; wait for the answers of some before sending more")
            problem.headers["Connection"] = "close"
            raise problem
        self._bytes = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.give_back(self._owner, self._bytes)
        self._bytes = 0
