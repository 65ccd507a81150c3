"""Ids: 63-bit integers that sort by time, written as ``evt_0c1m5k…`` in the API.

An id has 41 bits of milliseconds since 2020, 8 bits of node and 14 bits of counter. It is the primary key in the store,
so no index on time is needed.
"""

from typing import Final, Literal

EPOCH_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00:00Z
NODE_BITS: Final = 8
COUNTER_BITS: Final = 14
TIME_SHIFT: Final = NODE_BITS + COUNTER_BITS
_MAX_ID: Final = 2**63 - 1
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford: no i, l, o, u
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_LENGTH: Final = 13  # 13 letters of 5 bits hold 63 bits

Prefix = Literal["evt", "dlv", "end", "key", "rpl", "aud", "rfs", "chg", "set"]


class InvalidIdError(ValueError):
    """The text is not an id of the wanted kind."""


class IdMaker:
    """Makes ids that only grow, even when the wall clock steps back. Not thread-safe: use one per event loop."""

    def __init__(self, *, node: int = 0, after: int = 0) -> None:
        """``after`` is the largest id already in the store: new ones are larger, even if the clock is behind."""
        if not 0 <= node < 2**NODE_BITS:
            raise ValueError(f"node must be 0 to {2**NODE_BITS - 1}, not {node}")
        self._node = node
        self._slot = after >> TIME_SHIFT << COUNTER_BITS | (2**COUNTER_BITS - 1) if after else 0

    def next(self, now_ms: int) -> int:
        """Return the next id at wall time ``now_ms``."""
        self._slot = max(self._slot + 1, (now_ms - EPOCH_MS) << COUNTER_BITS)
        time, counter = self._slot >> COUNTER_BITS, self._slot & (2**COUNTER_BITS - 1)
        return time << TIME_SHIFT | self._node << COUNTER_BITS | counter


def at_time(ms: int) -> int:
    """Return the smallest id that could have been made at wall time ``ms``."""
    return max(0, ms - EPOCH_MS) << TIME_SHIFT


def encode(prefix: Prefix, number: int) -> str:
    """Return the text form of an id, such as ``evt_0c1m5k8s40000``."""
    pairs = _PAIRS
    return (
        f"{prefix}_{_ALPHABET[number >> 60]}{pairs[number >> 50 & 1023]}{pairs[number >> 40 & 1023]}"
        f"{pairs[number >> 30 & 1023]}{pairs[number >> 20 & 1023]}{pairs[number >> 10 & 1023]}{pairs[number & 1023]}"
    )


def decode(prefix: Prefix, text: str) -> int:
    """Return the number of an id in text form.

    Raises InvalidIdError when the prefix, the length or a letter is wrong.
    """
    head, _, tail = text.partition("_")
    if head != prefix or len(tail) != _LENGTH:
        raise InvalidIdError(f"{text[:40]!r} is no id; such a one is {prefix}_ and {_LENGTH} letters and digits")
    number = 0
    for letter in tail:
        value = _VALUES.get(letter)
        if value is None:
            raise InvalidIdError(f"{text!r} has a letter that ids do not use: {letter!r}")
        number = number << 5 | value
    if number > _MAX_ID:
        raise InvalidIdError(f"{text!r} is larger than any id")
    return number
