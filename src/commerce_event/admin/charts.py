"""Charts as geometry, which the templates draw as SVG. All lengths are in units of the drawing."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from commerce_event.admin.number_format import short
from commerce_event.core.clock import rfc3339

WIDTH: Final = 520
HEIGHT: Final = 180
_RIGHT, _TOP, _BOTTOM = 8, 10, 24
_LETTER: Final = 8.4  # width of a digit at the largest size that labels are drawn in
_NOW_WIDTH: Final = 62.0  # at the right, kept free for the label "now"
_GAP: Final = 0.18  # of a step's width, between two bars
# Maximum length of a chart, and the distance of its time labels (ms).
_TICKS: Final = ((3_600_000, 900_000), (86_400_000, 4 * 3_600_000), (math.inf, 86_400_000))


class Series(msgspec.Struct, frozen=True):
    """The values of one series, one for each step; None where there is none."""

    name: str
    tone: str
    values: Sequence[float | None]


class Bar(msgspec.Struct, frozen=True):
    """One segment of a stacked column."""

    x: float
    y: float
    width: float
    height: float
    tone: str


class Polyline(msgspec.Struct, frozen=True):
    """A segment of a line without gaps."""

    points: str
    tone: str


class AxisTick(msgspec.Struct, frozen=True):
    """A grid line with its label, or a label of the time axis with its time."""

    at: float
    text: str
    time: str = ""


class ChartStep(msgspec.Struct, frozen=True):
    """The area of one time step, with the text of its tooltip. ``until`` is its last millisecond."""

    x: float
    width: float
    time: str
    text: str
    until: str


class Chart(msgspec.Struct, frozen=True):
    """Columns and lines over time. The last step is not complete; what belongs to it has the tone ``partial``."""

    label: str
    newest: str
    bars: tuple[Bar, ...]
    lines: tuple[Polyline, ...]
    grid: tuple[AxisTick, ...]
    times: tuple[AxisTick, ...]
    steps: tuple[ChartStep, ...]
    left: float
    ms_per_unit: float
    every_ms: int  # between two times
    empty: bool
    width: int = WIDTH
    height: int = HEIGHT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def column_chart(label: str, starts: Sequence[str], series: Sequence[Series], unit: str = "") -> Chart:
    """Return stacked columns. Values without a unit are counts, so their scale has whole numbers."""
    totals = [sum(values) for values in zip(*([value or 0 for value in each.values] for each in series), strict=True)]
    frame = _Frame(starts, _marks(max(totals, default=0.0), whole=not unit))
    return frame.chart(label, series, unit, bars=_bars(frame, series))


def line_chart(label: str, starts: Sequence[str], series: Sequence[Series], unit: str = "", *, top: float = 0) -> Chart:
    """Return a line for each series, with gaps where values are missing. ``top`` is the end of the scale."""
    highest = max((value for each in series for value in each.values if value is not None), default=0.0)
    frame = _Frame(starts, (0.0, top / 2, top) if top else _marks(highest, whole=not unit))
    return frame.chart(label, series, unit, lines=tuple(line for each in series for line in _paths(frame, each)))


class _Frame:
    """The scales of a chart: values upwards, time to the right."""

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

    def chart(
        self,
        label: str,
        series: Sequence[Series],
        unit: str,
        *,
        bars: tuple[Bar, ...] = (),
        lines: tuple[Polyline, ...] = (),
    ) -> Chart:
        steps = self._steps(series, unit)
        step_ms = _step_ms(self.starts)
        every_ms = next(every for longest, every in _TICKS if step_ms * len(self.starts) <= longest)
        return Chart(
            label=label,
            newest=steps[-1].text.replace("\n", ", ") if steps else "",
            bars=bars,
            lines=lines,
            grid=tuple(AxisTick(_round(self.y(v)), text) for v, text in zip(self.marks, self.labels, strict=True)),
            times=self._times(step_ms, every_ms),
            steps=steps,
            left=self.left,
            ms_per_unit=_round(step_ms / self.step),
            every_ms=every_ms,
            empty=not any(value for each in series for value in each.values),
        )

    def _steps(self, series: Sequence[Series], unit: str) -> tuple[ChartStep, ...]:
        found = []
        for number, start in enumerate(self.starts):
            shown = [
                f"{each.name} {each.values[number]:,.6g}{unit}" for each in series if each.values[number] is not None
            ]
            text = "\n".join(shown) or "no data"
            until = rfc3339(_ms(start) + _step_ms(self.starts) - 1)
            found.append(ChartStep(_round(self.x(number)), _round(self.step), start, text, until))
        return tuple(found)

    def _times(self, step_ms: int, every_ms: int) -> tuple[AxisTick, ...]:
        """Return labels at round times, without those that would overlap "now"."""
        if not self.starts:
            return ()
        first_ms = _ms(self.starts[0])
        marks = []
        for at_ms in range(-(-first_ms // every_ms) * every_ms, first_ms + step_ms * len(self.starts), every_ms):
            x = self.x((at_ms - first_ms) / step_ms)
            if x <= WIDTH - _RIGHT - _NOW_WIDTH:
                moment = datetime.fromtimestamp(at_ms / 1000, UTC)
                text = f"{moment:%H:%M}" if every_ms < 86_400_000 else f"{moment:%d/%m}"
                marks.append(AxisTick(_round(x), text, f"{moment:%Y-%m-%dT%H:%M:%SZ}"))
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


def _paths(frame: _Frame, series: Series) -> list[Polyline]:
    """Return the segments without gaps, the last step apart; a single value is drawn as a short dash."""
    segments: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(series.values):
        if value is None:
            segments.append([])
        else:
            segments[-1].append((frame.x(number + 0.5), frame.y(value)))
    drawn = []
    if series.values and series.values[-1] is not None and len(segments[-1]) > 1:
        drawn.append(Polyline(_points(segments[-1][-2:]), f"{series.tone} partial".strip()))
        segments[-1].pop()
    for segment in filter(None, segments):
        points = segment if len(segment) > 1 else [(segment[0][0] - frame.step / 3, segment[0][1]), *segment]
        drawn.append(Polyline(_points(points), series.tone))
    return drawn


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_round(x)},{_round(y)}" for x, y in points)


def _marks(highest: float, *, whole: bool) -> tuple[float, ...]:
    """Return the values of the grid lines; the last is round and not below ``highest``."""
    if whole and highest <= 1:
        return (0.0, 1.0)
    if highest <= 0:
        return (0.0, 0.5, 1.0)
    size: float = 10.0 ** math.floor(math.log10(highest))
    top = next(
        step * size for step in (1, 2, 4, 5, 6, 8, 10) if step * size >= highest and (not whole or step * size % 2 == 0)
    )
    return (0.0, top / 2, top)


def _step_ms(starts: Sequence[str]) -> int:
    return _ms(starts[1]) - _ms(starts[0]) if len(starts) > 1 else 60_000


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _round(value: float) -> float:
    return round(value, 1)
