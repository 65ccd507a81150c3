"""Measured durations as people read them."""

from typing import Final

_UNITS: Final = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units, rounded: 45 s, 1 min 30 s, 4 min, 2 h 5 min, 3 days 4 h."""
    whole = max(0, round(seconds))
    for place, (unit, size) in enumerate(_UNITS[:-1]):
        next_unit, next_size = _UNITS[place + 1]
        if whole < size:
            continue
        whole = round(whole / next_size) * next_size
        if place and whole == _UNITS[place - 1][1]:  # 23 h 59 min 59 s is a day
            return _part(1, _UNITS[place - 1][0])
        count, rest = divmod(whole, size)
        return " ".join([_part(count, unit), *([_part(rest // next_size, next_unit)] if rest else [])])
    return _part(whole, "s")


def _part(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'s' if unit == 'day' and count != 1 else ''}"
