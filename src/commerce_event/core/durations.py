"""Durations as people read them: measured ones rounded, configured ones exact."""

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


def setting_duration(seconds: float) -> str:
    """Return a configured duration exactly, in at most four units: 15 s, 1 min 30 s, 2 h, 30 days."""
    milliseconds = round(seconds * 1000)
    parts = []
    for unit, size in _UNITS[:-1]:
        count, milliseconds = divmod(milliseconds, size * 1000)
        if count:
            parts.append(_part(count, unit))
    if milliseconds or not parts:
        parts.append(f"{milliseconds / 1000:g} s")
    return " ".join(parts)


def _part(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'s' if unit == 'day' and count != 1 else ''}"
