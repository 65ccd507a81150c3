"""Plots as geometry: what the templates draw as SVG. All lengths are in the units of the picture."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from commerce_event.admin.figures import short

WIDTH: Final = 520
HEIGHT: Final = 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 24
_GAP: Final = 0.18  # of a step's width, between two bars


class Bar(msgspec.Struct, frozen=True):
    """A part of a column."""

    x: float
    y: float
    width: float
    height: float
    tone: str


class Mark(msgspec.Struct, frozen=True):
    """A line of the grid, or a label at the bottom."""

    at: float
    text: str


class Hover(msgspec.Struct, frozen=True):
    """Where the pointer is told what is there."""

    x: float
    width: float
    text: str


class Plot(msgspec.Struct, frozen=True):
    """Columns and lines over time."""

    label: str
    bars: tuple[Bar, ...]
    lines: tuple[tuple[str, str], ...]  # the class, and the points of it
    grid: tuple[Mark, ...]
    times: tuple[Mark, ...]
    hovers: tuple[Hover, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


class Series(msgspec.Struct, frozen=True):
    """Values of one kind, one for each step; None where there is none."""

    name: str
    tone: str
    values: Sequence[float | None]


def columns(label: str, starts: Sequence[str], series: Sequence[Series], unit: str = "") -> Plot:
    """Return stacked columns."""
    totals = [sum(values) for values in zip(*([value or 0 for value in each.values] for each in series), strict=True)]
    top = _nice(max(totals, default=0.0))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(starts))
    bars: list[Bar] = []
    for number in range(len(starts)):
        base = float(HEIGHT - _BOTTOM)
        for each in series:
            height = _height(each.values[number] or 0, top)
            if height > 0:
                base_of_bar = base - height
                x = _LEFT + step * (number + _GAP / 2)
                bars.append(Bar(_round(x), _round(base_of_bar), _round(step * (1 - _GAP)), _round(height), each.tone))
                base = base_of_bar
    return Plot(label, tuple(bars), (), _grid(top, unit), _times(starts, step), _hovers(starts, series, step, unit))


def lines(label: str, starts: Sequence[str], series: Sequence[Series], unit: str) -> Plot:
    """Return a line for each series; where a value is missing it is broken off."""
    top = _nice(max((value for each in series for value in each.values if value is not None), default=0.0))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(starts))
    drawn = [(each.tone, path) for each in series for path in _paths(each.values, top, step)]
    return Plot(label, (), tuple(drawn), _grid(top, unit), _times(starts, step), _hovers(starts, series, step, unit))


def _paths(values: Sequence[float | None], top: float, step: float) -> list[str]:
    """Return the unbroken stretches; a value all alone is drawn as a short dash."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((_LEFT + step * (number + 0.5), HEIGHT - _BOTTOM - _height(value, top)))
    paths = []
    for stretch in filter(None, stretches):
        points = stretch if len(stretch) > 1 else [(stretch[0][0] - step / 3, stretch[0][1]), *stretch]
        paths.append(" ".join(f"{_round(x)},{_round(y)}" for x, y in points))
    return paths


def _grid(top: float, unit: str) -> tuple[Mark, ...]:
    return tuple(
        Mark(_round(HEIGHT - _BOTTOM - _height(value, top)), f"{short(value)}{unit}") for value in (0, top / 2, top)
    )


def _times(starts: Sequence[str], step: float) -> tuple[Mark, ...]:
    every = max(1, math.ceil(len(starts) / 5))
    days = len(starts) > 1 and starts[0][:10] != starts[-1][:10]
    marks = []
    for number in range(0, len(starts), every):
        text = (
            f"{starts[number][8:10]}/{starts[number][5:7]} {starts[number][11:16]}" if days else starts[number][11:16]
        )
        marks.append(Mark(_round(_LEFT + step * (number + 0.5)), text))
    return tuple(marks)


def _hovers(starts: Sequence[str], series: Sequence[Series], step: float, unit: str) -> tuple[Hover, ...]:
    found = []
    for number, start in enumerate(starts):
        shown = [f"{each.name} {each.values[number]:,.6g}{unit}" for each in series if each.values[number] is not None]
        text = "\n".join([f"{start[:16].replace('T', ' ')} UTC", *shown])
        found.append(Hover(_round(_LEFT + step * number), _round(step), text))
    return tuple(found)


def _height(value: float, top: float) -> float:
    return (HEIGHT - _TOP - _BOTTOM) * value / top


def _nice(value: float) -> float:
    """Return a round number that is not below the value."""
    if value <= 0:
        return 1.0
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 4, 5, 6, 8, 10) if step * size >= value)


def _round(value: float) -> float:
    return round(value, 1)
