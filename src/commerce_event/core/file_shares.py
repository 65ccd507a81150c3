"""Divide the files that this process may open between callers of the API and receivers of deliveries.

Every connection is an open file. When the limit is low, callers keep half of what it allows, so that publishing goes on
however many receivers there are.
"""

from typing import Final

import msgspec

CONNECTIONS_MIN: Final = 16  # of callers, even when the limit is very low
IDLE_MAX: Final = 4_096  # connections to receivers that are kept open for the next delivery
_OTHER_FILES: Final = 96  # store, logs, listener, name look-ups
_USABLE_MIN: Final = 2 * CONNECTIONS_MIN


class FileShares(msgspec.Struct, frozen=True):
    """The most connections at the same time."""

    callers: int
    receivers: int  # idle connections included
    in_flight: int  # deliveries; each needs a connection


def share_files(limit: int, *, max_connections: int, max_in_flight: int) -> FileShares:
    """Return how many connections there may be under a limit of open files, and by the settings."""
    usable = max(_USABLE_MIN, limit - _OTHER_FILES)
    receivers = min(max_in_flight + IDLE_MAX, usable // 2)
    return FileShares(
        callers=max(CONNECTIONS_MIN, min(max_connections, usable - receivers)),
        receivers=receivers,
        in_flight=min(max_in_flight, receivers * 3 // 4),
    )
