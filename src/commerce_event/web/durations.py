"""Durations of settings, as text."""

from typing import Final

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))  # s


def setting_duration(seconds: float) -> str:
    """Return a duration exactly, in the largest unit that it is a whole number of: 90 s, 1 min, 2 h."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
