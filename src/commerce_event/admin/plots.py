"""Plots as geometry: what the templates draw as SVG. All lengths are in the units of the picture."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from commerce_event.admin.number_format import short

WIDTH: Final = 520
HEIGHT: Final = 180
_RIGHT, _TOP, _BOTTOM = 8, 10, 24
_LETTER: Final = 8.4  # width of a digit at the largest size that labels are drawn in
_NOW_ROOM: Final = 62.0  # at the right, which "now" has for itself
_GAP: Final = 0.18  # of a step's width, between two bars
# How long a plot is at most, and how far its labels are apart (ms).
_TICKS: Final = ((3_600_000, 900_000), (86_400_000, 4 * 3_600_000), (math.inf, 86_400_000))


class Series(msgspec.Struct, frozen=True):
    """Values of one kind, one for each step; None where there is none."""

    name: str
    tone: str
    values: Sequence[float | None]


class Bar(msgspec.Struct, frozen=True):
    """A part of a column."""

    x: float
    y: float
    width: float
    height: float
    tone: str


class Line(msgspec.Struct, frozen=True):
    """An unbroken stretch of a line."""

    points: str
    tone: str


class Mark(msgspec.Struct, frozen=True):
    """A line of the grid, or a label at the bottom, then with its time."""

    at: float
    text: str
    time: str = ""


class Step(msgspec.Struct, frozen=True):
    """Where the pointer is told what is there."""

    x: float
    width: float
    time: str
    text: str


class Plot(msgspec.Struct, frozen=True):
    """Columns and lines over time. The last step has only begun, and its part is called ``partial``."""

    label: str
    newest: str
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    grid: tuple[Mark, ...]
    times: tuple[Mark, ...]
    steps: tuple[Step, ...]
    left: float
    ms_per_unit: float
    every_ms: int  # between two times
    empty: bool
    width: int = WIDTH
    height: int = HEIGHT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def columns(label: str, starts: Sequence[str], series: Sequence[Series], unit: str = "") -> Plot:
    """Return stacked columns. Values without a unit are counts, which have no fractions."""
    totals = [sum(values) for values in zip(*([value or 0 for value in each.values] for each in series), strict=True)]
    frame = _Frame(starts, _marks(max(totals, default=0.0), whole=not unit))
    return frame.plot(label, series, unit, bars=_bars(frame, series))


def lines(label: str, starts: Sequence[str], series: Sequence[Series], unit: str = "", *, top: float = 0) -> Plot:
    """Return a line for each series; where a value is missing it is broken off. ``top`` ends the scale there."""
    most = max((value for each in series for value in each.values if value is not None), default=0.0)
    frame = _Frame(starts, (0.0, top / 2, top) if top else _marks(most, whole=not unit))
    return frame.plot(label, series, unit, lines=tuple(line for each in series for line in _paths(frame, each)))


class _Frame:
    """The scales of a plot: values upwards, time to the right."""

    def __init__(self, starts: Sequence[str], marks: Sequence[float]) -> None:
        self.starts = starts
        self.marks = marks
        self.labels = [short(value) for value in marks]
        self.left = _round(12 + _LETTER * max(map(len, self.labels)))
        self.step = (WIDTH - self.left - _RIGHT) / max(1, len(starts))

    def x(self, number: float) -> float:
        return self.left + self.step * number

    def height(self, value: float) -> float:
        return (HEIGHT - _TOP - _BOTTOM) * value / self.marks[-1]

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - self.height(value)

    def plot(
        self,
        label: str,
        series: Sequence[Series],
        unit: str,
        *,
        bars: tuple[Bar, ...] = (),
        lines: tuple[Line, ...] = (),
    ) -> Plot:
        steps = self._steps(series, unit)
        step_ms = _step_ms(self.starts)
        every_ms = next(every for most, every in _TICKS if step_ms * len(self.starts) <= most)
        return Plot(
            label=label,
            newest=steps[-1].text.replace("\n", ", ") if steps else "",
            bars=bars,
            lines=lines,
            grid=tuple(Mark(_round(self.y(v)), text) for v, text in zip(self.marks, self.labels, strict=True)),
            times=self._times(step_ms, every_ms),
            steps=steps,
            left=self.left,
            ms_per_unit=_round(step_ms / self.step),
            every_ms=every_ms,
            empty=not any(value for each in series for value in each.values),
        )

    def _steps(self, series: Sequence[Series], unit: str) -> tuple[Step, ...]:
        found = []
        for number, start in enumerate(self.starts):
            shown = [
                f"{each.name} {each.values[number]:,.6g}{unit}" for each in series if each.values[number] is not None
            ]
            text = "\n".join(shown) or "nothing"
            found.append(Step(_round(self.x(number)), _round(self.step), start, text))
        return tuple(found)

    def _times(self, step_ms: int, every_ms: int) -> tuple[Mark, ...]:
        """Return labels at round times, which leave room for "now"."""
        if not self.starts:
            return ()
        first_ms = _ms(self.starts[0])
        marks = []
        for at_ms in range(-(-first_ms // every_ms) * every_ms, first_ms + step_ms * len(self.starts), every_ms):
            x = self.x((at_ms - first_ms) / step_ms)
            if x <= WIDTH - _RIGHT - _NOW_ROOM:
                moment = datetime.fromtimestamp(at_ms / 1000, UTC)
                text = f"{moment:%H:%M}" if every_ms < 86_400_000 else f"{moment:%d/%m}"
                marks.append(Mark(_round(x), text, f"{moment:%Y-%m-%dT%H:%M:%SZ}"))
        return tuple(marks)


def _bars(frame: _Frame, series: Sequence[Series]) -> tuple[Bar, ...]:
    bars = []
    for number in range(len(frame.starts)):
        base = float(HEIGHT - _BOTTOM)
        for each in series:
            height = frame.height(each.values[number] or 0)
            if height > 0:
                base -= height
                x, width = frame.x(number + _GAP / 2), frame.step * (1 - _GAP)
                tone = f"{each.tone} partial" if number == len(frame.starts) - 1 else each.tone
                bars.append(Bar(_round(x), _round(base), _round(width), _round(height), tone.strip()))
    return tuple(bars)


def _paths(frame: _Frame, series: Series) -> list[Line]:
    """Return the unbroken stretches, the way to the last step apart; a value all alone is drawn as a short dash."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(series.values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((frame.x(number + 0.5), frame.y(value)))
    drawn = []
    if series.values and series.values[-1] is not None and len(stretches[-1]) > 1:
        drawn.append(Line(_points(stretches[-1][-2:]), f"{series.tone} partial".strip()))
        stretches[-1].pop()
    for stretch in filter(None, stretches):
        points = stretch if len(stretch) > 1 else [(stretch[0][0] - frame.step / 3, stretch[0][1]), *stretch]
        drawn.append(Line(_points(points), series.tone))
    return drawn


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_round(x)},{_round(y)}" for x, y in points)


def _marks(most: float, *, whole: bool) -> tuple[float, ...]:
    """Return the values that the grid is drawn at, of which the last is round and not below ``most``."""
    if whole and most <= 1:
        return (0.0, 1.0)
    if most <= 0:
        return (0.0, 0.5, 1.0)
    size: float = 10.0 ** math.floor(math.log10(most))
    top = next(
        step * size for step in (1, 2, 4, 5, 6, 8, 10) if step * size >= most and (not whole or step * size % 2 == 0)
    )
    return (0.0, top / 2, top)


def _step_ms(starts: Sequence[str]) -> int:
    return _ms(starts[1]) - _ms(starts[0]) if len(starts) > 1 else 60_000


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _round(value: float) -> float:
    return round(value, 1)
