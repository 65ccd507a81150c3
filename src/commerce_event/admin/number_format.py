"""Numbers as people read them: three digits that count, in a unit that fits."""

from typing import Final

_LONG: Final = (
    (48 * 3_600, 86_400, "days"),
    (2 * 3_600, 3_600, "h"),
    (120, 60, "min"),
)  # from, unit (s)


def short(value: float) -> str:
    """Return a number with three digits: 1.2k, 48.7, 0.387."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def took(duration_ms: float) -> tuple[str, str]:
    """Return how long something took, and the unit: ms, or s from a second on."""
    return (f"{duration_ms:.3g}", "ms") if duration_ms < 999.5 else (f"{duration_ms / 1000:.3g}", "s")


def lasting(seconds: float) -> str:
    """Return how long something has lasted, in whole seconds, minutes, hours or days."""
    for least, unit, name in _LONG:
        if seconds >= least:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
