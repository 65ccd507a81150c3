"""How many refused events are kept: of each owner, and in all. Each state is counted separately.

So a flood of new ones does not push out those that were accepted or discarded, nor the other way round.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from commerce_event.core.model import RefusalState


class RefusalLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of refused events, and bytes of their bodies and faults."""

    owner_count: int = 1_000
    owner_bytes: int = 16 * 1024**2
    total_count: int = 20_000
    total_bytes: int = 128 * 1024**2


class Usage(msgspec.Struct, frozen=True):
    """What is kept of one owner in one state."""

    owner: str
    state: RefusalState
    count: int
    size: int  # bytes


LIMITS: Final = RefusalLimits()


def find_excess(usage: Sequence[Usage], limits: RefusalLimits = LIMITS) -> list[Usage]:
    """Return the owners of which too much is kept, each with the number and the bytes that may stay.

    When the total is used up, each owner keeps an equal share: no owner loses any because of one that holds more.
    """
    found = []
    for state in {each.state for each in usage}:
        group = [each for each in usage if each.state == state]
        count = min(limits.owner_count, equal_share((each.count for each in group), limits.total_count))
        size = min(limits.owner_bytes, equal_share((each.size for each in group), limits.total_bytes))
        found += [Usage(each.owner, state, count, size) for each in group if each.count > count or each.size > size]
    return found


def equal_share(amounts: Iterable[int], total: int) -> int:
    """Return the largest share for which the amounts, each cut to the share, add up to no more than the total."""
    ordered = sorted(amounts)
    left = total
    for index, amount in enumerate(ordered):
        share = left // (len(ordered) - index)
        if amount > share:
            return share
        left -= amount
    return total
