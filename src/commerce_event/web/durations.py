"""Durations of settings, as text."""

from typing import Final

_UNITS: Final = ((86_400, "day"), (3_600, "h"), (60, "min"))  # s


def setting_duration(seconds: float) -> str:
    """Return a duration exactly, in at most four units: 15 s, 1 min 30 s, 2 h, 30 days."""
    milliseconds = round(seconds * 1000)
    parts = []
    for size, unit in _UNITS:
        count, milliseconds = divmod(milliseconds, size * 1000)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    if milliseconds or not parts:
        parts.append(f"{milliseconds / 1000:g} s")
    return " ".join(parts)
