"""Accuracy against a cost: one mark per run, a colour and a shape per series, the cost on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from . import svg
from .format import percent
from .series import Series

__all__ = ["Mark", "chart", "legend", "log_ticks"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 500.0, 330.0, 52.0, 18.0, 12.0, 50.0
_NUMBERED = 20
"""Up to this many marks are numbered."""


@dataclass(frozen=True)
class Mark:
    """A run or the mean of several: its number, name and series, its cost `x` (above 0), its accuracy `y` (0..1), an interval of each."""

    number: int
    name: str
    series: Series
    x: float
    y: float
    interval: tuple[float, float] | None
    group: object = None
    """Runs of one series and group differ in their seed alone: the line of the series goes through their mean."""
    costs: tuple[float, float] | None = None
    """The interval of `x`."""


def chart(marks: Sequence[Mark], label: str, written: Callable[[float], str]) -> Markup:
    """Draw the marks.

    Args:
        marks: at least one.
        label: of the axis of costs.
        written: formats a cost.
    """
    costs = [e for m in marks for e in (m.x, *(m.costs or ())) if e > 0]
    across, up = _Log(costs), _Linear([e for m in marks for e in (m.y, *(m.interval or ()))])
    parts = [*_frame(across, up, label, written), *_lines(marks, across, up)]
    for mark in marks:
        parts.append(_mark(mark, across, up, written))
    parts += _numbers(marks, across, up)
    spoken = f"Accuracy against {label}: " + ", ".join(f"{m.name} {percent(m.y)} at {written(m.x)}" for m in marks[:_NUMBERED])
    return svg.figure(_WIDTH, _HEIGHT, spoken, parts)


class _Log:
    """The axis of costs."""

    def __init__(self, values: list[float]) -> None:
        low, high = math.log10(min(values)), math.log10(max(values))
        room = max(0.06 * (high - low), 0.08)
        self.low, self.high = low - room, high + room

    def place(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high)


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks from 10^low to 10^high: 1, 2 and 5 of each decade; of many decades only 1; of less than half a decade finer ones."""
    span = high - low
    steps = (1,) if span > 3.2 else (1, 2, 5) if span > 0.7 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    decades = range(math.floor(low), math.ceil(high) + 1)
    return [s * 10.0**d for d in decades for s in steps if low <= math.log10(s) + d <= high]


class _Linear:
    """The axis of accuracies, from one round value to another."""

    def __init__(self, values: list[float]) -> None:
        span = max(max(values) - min(values), 0.002)
        magnitude = 10.0 ** math.floor(math.log10(span / 5))
        self.step = magnitude * next(m for m in (1, 2, 5, 10) if m * magnitude >= span / 5 * (1 - 1e-9))
        self.low = self.step * math.floor(min(values) / self.step + 1e-9)
        self.high = self.step * math.ceil(max(values) / self.step - 1e-9)
        if self.high - self.low < self.step / 2:  # all equal one round number
            self.low, self.high = self.low - self.step, self.high + self.step

    def place(self, value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self.high - value) / (self.high - self.low)

    def ticks(self) -> list[float]:
        return [self.low + k * self.step for k in range(round((self.high - self.low) / self.step) + 1)]


def _frame(across: _Log, up: _Linear, label: str, written: Callable[[float], str]) -> list[Markup]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    decimals = max(0, math.ceil(-math.log10(100 * up.step) - 1e-9))
    parts: list[Markup] = []
    for value in up.ticks():
        y = up.place(value)
        parts += [svg.line(_LEFT, y, right, y, "grid"), svg.text(_LEFT - 6, y + 4, f"{100 * value:.{decimals}f}", "end", "small")]
    last = -math.inf
    for value in across.ticks():
        x = across.place(value)
        parts.append(svg.line(x, _TOP, x, bottom, "grid"))
        half = 3.4 * len(written(value))
        if x - half > last:
            parts.append(svg.text(x, bottom + 16, written(value), "middle", "small"))
            last = x + half + 4
    parts += [svg.line(_LEFT, bottom, right, bottom, "axis"), svg.line(_LEFT, _TOP, _LEFT, bottom, "axis")]
    middle = (_TOP + bottom) / 2
    turned = Markup('<text x="13" y="{0}" text-anchor="middle" class="small" transform="rotate(-90 13 {0})">test accuracy, %</text>')
    return [*parts, svg.text((_LEFT + right) / 2, bottom + 36, label, "middle", "small"), turned.format(svg.num(middle))]


def _lines(marks: Sequence[Mark], across: _Log, up: _Linear) -> list[Markup]:
    """Join the means of each series' groups, cheapest first."""
    drawn: list[Markup] = []
    for series in dict.fromkeys(mark.series for mark in marks):
        groups: dict[object, list[Mark]] = {}
        for mark in marks:
            if mark.series == series:
                groups.setdefault(mark.number if mark.group is None else mark.group, []).append(mark)
        means = sorted((sum(m.x for m in g) / len(g), sum(m.y for m in g) / len(g)) for g in groups.values())
        if len(means) > 1:
            path = "L".join(f"{svg.num(across.place(x))} {svg.num(up.place(y))}" for x, y in means)
            drawn.append(Markup('<path d="M{}" class="series l-{}"/>').format(path, series.colour.name))
    return drawn


def _mark(mark: Mark, across: _Log, up: _Linear, written: Callable[[float], str]) -> Markup:
    x, y = across.place(mark.x), up.place(mark.y)
    colour = mark.series.colour.name
    tip = f"{mark.number}. {mark.name}: {percent(mark.y)} at {written(mark.x)}"
    parts: list[Markup] = []
    if mark.interval:
        parts.append(svg.line(x, up.place(mark.interval[0]), x, up.place(mark.interval[1]), f"series l-{colour}"))
    if mark.costs and mark.costs[0] > 0:
        parts.append(svg.line(across.place(mark.costs[0]), y, across.place(mark.costs[1]), y, f"series l-{colour}"))
    parts.append(Markup('<path d="{}" class="mark {}"><title>{}</title></path>').format(_shape(mark.series.shape, x, y), colour, tip))
    return Markup("").join(parts)


def _numbers(marks: Sequence[Mark], across: _Log, up: _Linear) -> list[Markup]:
    """Write each mark's number beside it, where it touches no other number and no mark; the rest are left to the table."""
    if len(marks) > _NUMBERED:
        return []
    taken = [(across.place(m.x) - 5, up.place(m.y) - 5, 10.0, 10.0) for m in marks]
    parts: list[Markup] = []
    for mark in marks:
        x, y, wide = across.place(mark.x), up.place(mark.y), 7.0 * len(str(mark.number))
        places = [
            (x + dx, y + dy, wide, 10.0)
            for dx, dy in ((7, -11), (-7 - wide, -11), (7, 2), (-7 - wide, 2), (-wide / 2, -19), (-wide / 2, 9))
        ]
        free = next((p for p in places if p[0] + wide < _WIDTH and not any(_touch(p, other) for other in taken)), None)
        if free:
            taken.append(free)
            parts.append(svg.text(free[0], free[1] + 9, mark.number, style="small"))
    return parts


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _shape(kind: int, x: float, y: float) -> str:
    """Return the outline of a circle, square, triangle, diamond, plus, triangle upside down or narrow bar, about 10 pixels across."""
    outlines = (
        "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
        "m-4.5-4.5h9v9h-9z",
        "m0-5.5l5.2 9.4h-10.4z",
        "m0-6l6 6l-6 6l-6-6z",
        "m-1.8-5.5h3.6v3.7h3.7v3.6h-3.7v3.7h-3.6v-3.7h-3.7v-3.6h3.7z",
        "m0 5.5l5.2-9.4h-10.4z",
        "m-2.2-6h4.4v12h-4.4z",
    )
    return f"M{svg.num(x)} {svg.num(y)}{outlines[kind]}"


def legend(series: Sequence[Series]) -> Markup:
    """Return the names of the series with their shapes, as a list that wraps."""
    item = Markup('<li><svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true"><path d="{}" class="mark {}"/></svg>{}</li>')
    items = [item.format(_shape(one.shape, 7, 7), one.colour.name, one.name) for one in series]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
