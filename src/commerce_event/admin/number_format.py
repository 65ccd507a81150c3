"""Numbers as people read them: three significant digits, in a unit that fits."""

from typing import Final

_UNITS: Final = ((86_400, "days"), (3_600, "h"), (60, "min"))  # s


def short(value: float) -> str:
    """Return a number with three digits: 1.2k, 48.7, 0.387."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def latency(duration_ms: float) -> tuple[str, str]:
    """Return a latency and its unit: ms, or s from a second on."""
    return (f"{duration_ms:.3g}", "ms") if duration_ms < 999.5 else (f"{duration_ms / 1000:.3g}", "s")


def duration(seconds: float) -> str:
    """Return a measured duration, rounded to whole seconds, minutes, hours or days: 119 s, 8 min, 2 h, 3 days."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
