"""A budget that many owners share: use by one owner never leaves another without a share."""

from typing import Final


class FairBudget:
    """Counts what each owner holds of ``total``.

    While the total is not used up, an owner may hold any part of it. Beyond it, an owner may hold an equal share: the
    total divided by the number of owners that hold something. So the total is exceeded only by owners with little.
    """

    def __init__(self, total: int) -> None:
        self.total: Final = total
        self.used = 0
        self._held: dict[str, int] = {}

    def take(self, owner: str, amount: int) -> bool:
        """Take an amount for the owner; return False, and take nothing, when its share does not allow it."""
        held = self._held.get(owner, 0)
        if self.used + amount > self.total:
            owners = len(self._held) + (not held)
            if held + amount > self.total // owners:
                return False
        self._held[owner] = held + amount
        self.used += amount
        return True

    def give_back(self, owner: str, amount: int) -> None:
        """Return what was taken."""
        self.used -= amount
        left = self._held.get(owner, 0) - amount
        if left > 0:
            self._held[owner] = left
        else:
            self._held.pop(owner, None)
