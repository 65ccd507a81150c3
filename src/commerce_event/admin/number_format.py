"""Numbers as people read them: three significant digits, in a unit that fits."""

from commerce_event.core.durations import duration_text as duration

__all__ = ["duration", "latency", "short"]


def short(value: float) -> str:
    """Return a number with three digits: 1.2k, 48.7, 0.387."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def latency(duration_ms: float) -> tuple[str, str]:
    """Return a latency and its unit: ms, or s from a second on."""
    return (f"{duration_ms:.3g}", "ms") if duration_ms < 999.5 else (f"{duration_ms / 1000:.3g}", "s")
