"""The retry schedule (backoff): how long to wait after each failed attempt, and how durations are written."""

import re
from typing import Final

# The platform's documented schedule: sixteen delays, so seventeen attempts in about 22 hours
DEFAULT_SCHEDULE_S: Final[tuple[float, ...]] = (
    5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 18_000, 21_600,
)  # fmt: skip
SCHEDULE_MAX: Final = 50  # delays
DELAY_MAX_S: Final = 7 * 86_400.0

_UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1, "": 1_000}
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|)", re.ASCII)


class InvalidDurationError(ValueError):
    """The text is not a duration, or the duration is outside the limits."""


def parse_duration(text: str) -> float:
    """Return seconds, to the millisecond, for ``5s``, ``250ms``, ``1.5m``, ``2h``, ``1d`` or a plain number of seconds.

    Raises InvalidDurationError.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidDurationError(f"{text[:40]!r} is not a duration; write for example 5s, 1m or 2h")
    return round(float(match[1]) * _UNITS_MS[match[2]]) / 1000


def format_duration(seconds: float) -> str:
    """Return the text in the largest whole unit, to the millisecond: ``90`` gives ``90s``, ``7200`` gives ``2h``.

    parse_duration reads it back.
    """
    milliseconds = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % _UNITS_MS[unit] == 0:
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def check_schedule(delays_s: tuple[float, ...]) -> tuple[float, ...]:
    """Return the delays when they are at most 50, each of 0 to 7 days. Raises InvalidDurationError."""
    if len(delays_s) > SCHEDULE_MAX:
        raise InvalidDurationError(f"a retry schedule has at most {SCHEDULE_MAX} delays, not {len(delays_s)}")
    for delay_s in delays_s:
        if not 0 <= delay_s <= DELAY_MAX_S:
            raise InvalidDurationError(f"a retry delay is 0 seconds to 7 days, not {delay_s:g} s")
    return delays_s


def parse_schedule(text: str) -> tuple[float, ...]:
    """Return the delays in seconds of a list such as ``5s,10s,1m``; an empty text means no retries.

    Raises InvalidDurationError.
    """
    parts = [part for part in text.split(",") if part.strip()]
    return check_schedule(tuple(parse_duration(part) for part in parts))
