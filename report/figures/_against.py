"""Accuracy against a cost: a line per method through the means over seeds, with error bars, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...errors import UsageError
from ..frontier import Point, at_equal, front, points
from ..scatter import log_ticks
from ..series import Series
from .api import DIM, GRID, INK, MARKERS, Drawn, Named, Page, axes, formatter, labelled, legend, spread_said

__all__ = ["Cost", "draw", "interpolated", "measured"]


@dataclass(frozen=True)
class Cost:
    """A cost: the field of a run, the axis, how values are written."""

    key: str
    label: str
    write: Callable[[float], str]


def measured(runs: Named, cost: Cost) -> list[Point]:
    """Return the points of the figure.

    Raises:
        UsageError: no run has labels, or none has the cost.
    """
    found = points(labelled(runs), cost.key)
    if not found:
        raise UsageError(f"None of these runs has {cost.label} above 0, so there is nothing to draw accuracies against.")
    return found


def draw(runs: Named, page: Page, cost: Cost, at: float | None = None) -> Drawn:
    """Draw accuracies against a cost on a logarithmic axis; `at`: a cost at which the methods are compared."""
    found = measured(runs, cost)
    figure, (panel,) = axes(page, 0.78 * page.width if page.width < 4 else 0.55 * page.width)
    handles = [_series(panel, one, [p for p in found if p.series == one]) for one in dict.fromkeys(p.series for p in found)]
    best = front(found)
    if len(found) > 1:
        handles.append(_front(panel, best))
    _axes(panel, found, cost, page.width)
    if at is not None:
        handles.append(_equal(panel, found, at, cost))
    several = spread_said(p.accuracy for p in found)
    bars = several or ("bars: 95 % interval of the accuracy" if any(p.interval for p in found) else "")
    legend(figure, handles, bars)
    return figure


def _series(panel: Axes, series: Series, found: list[Point]) -> Line2D:
    """Draw a series; return its handle for the legend."""
    ordered = sorted(found, key=lambda p: p.cost.mean)
    style: dict[str, Any] = {
        "color": series.colour.light,
        "marker": MARKERS[series.shape],
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }
    for point in ordered:
        up = _bars(point)
        panel.errorbar(
            point.cost.mean,
            100 * point.accuracy.mean,
            xerr=point.cost.deviation,
            yerr=None if up is None else [[100 * up[0]], [100 * up[1]]],
            fmt="none",
            ecolor=series.colour.light,
            elinewidth=0.8,
            capsize=1.5,
            capthick=0.8,
        )
    panel.plot([p.cost.mean for p in ordered], [100 * p.accuracy.mean for p in ordered], zorder=3, **style)
    return Line2D([], [], label=series.name, **style)


def _bars(point: Point) -> tuple[float, float] | None:
    """Return how far the accuracy's error bar reaches down and up."""
    if point.accuracy.deviation is not None:
        return point.accuracy.deviation, point.accuracy.deviation
    if point.interval is None:
        return None
    return max(0.0, point.accuracy.mean - point.interval[0]), max(0.0, point.interval[1] - point.accuracy.mean)


def _front(panel: Axes, best: Sequence[Point]) -> Line2D:
    """Draw the front as a staircase: the best accuracy that was measured at no more than each cost."""
    style: dict[str, Any] = {"color": INK, "linestyle": (0, (1.2, 1.2)), "linewidth": 0.9}
    panel.step([p.cost.mean for p in best], [100 * p.accuracy.mean for p in best], where="post", zorder=2, **style)
    return Line2D([], [], label="Pareto front", **style)


def _axes(panel: Axes, found: Sequence[Point], cost: Cost, inches: float) -> None:
    ends = [
        math.log10(end) for p in found for end in (p.cost.mean - (p.cost.deviation or 0), p.cost.mean + (p.cost.deviation or 0)) if end > 0
    ]
    room = max(0.05 * (max(ends) - min(ends)), 0.05)
    low, high = min(ends) - room, max(ends) + room
    panel.set_xscale("log")
    panel.set_xlim(10**low, 10**high)
    panel.set_xticks(_thinned(log_ticks(low, high), cost.write, inches))
    panel.xaxis.set_major_formatter(formatter(cost.write))
    panel.xaxis.set_minor_formatter(formatter(lambda _: ""))
    panel.tick_params(axis="x", which="minor", length=0)
    panel.set_xlabel(cost.label)
    panel.set_ylabel("test accuracy, %")
    panel.grid(color=GRID, linewidth=0.5)


def _thinned(ticks: list[float], write: Callable[[float], str], inches: float) -> list[float]:
    """Return the ticks that have room for their words: all, else 1 and 5 of each decade, else 1, else every so many."""
    room = (inches - 0.6) / (max(len(write(tick)) for tick in ticks) * 0.062 + 0.12)
    leading = {tick: f"{tick:.0e}"[0] for tick in ticks}
    for kept in ("125", "15", "1"):
        chosen = [tick for tick in ticks if leading[tick] in kept] if kept != "125" else ticks
        if 2 <= len(chosen) <= room:
            return chosen
    return ticks[:: max(1, math.ceil(len(ticks) / room))]


def _equal(panel: Axes, found: Sequence[Point], at: float, cost: Cost) -> Line2D:
    """Mark the accuracies at one cost."""
    panel.axvline(at, color=DIM, linewidth=0.7, zorder=1)
    for name, accuracy in interpolated(found, at, cost).items():
        series = next(p.series for p in found if p.series.name == name)
        if accuracy is not None:
            panel.plot([at], [100 * accuracy], marker=MARKERS[series.shape], color="white", markeredgecolor=series.colour.light, zorder=4)
    return Line2D([], [], label=f"at {cost.write(at)}, interpolated", color=DIM, linewidth=0.7, marker="o", markerfacecolor="white")


def interpolated(found: Sequence[Point], at: float, cost: Cost) -> dict[str, float | None]:
    """Return the accuracy of each series at a cost, None where it was not measured around it.

    Raises:
        UsageError: no series was measured around it.
    """
    equal = at_equal(found, at) if at > 0 else {}
    if all(accuracy is None for accuracy in equal.values()):
        ranges = "; ".join(f"{name}: {_range(found, name, cost)}" for name in dict.fromkeys(p.series.name for p in found))
        raise UsageError(
            f"at is {cost.write(at)}, which lies outside what was measured ({ranges}), and nothing is extrapolated. Choose a value inside."
        )
    return equal


def _range(found: Sequence[Point], name: str, cost: Cost) -> str:
    costs = [p.cost.mean for p in found if p.series.name == name]
    return f"{cost.write(min(costs))} alone" if len(costs) == 1 else f"{cost.write(min(costs))} to {cost.write(max(costs))}"
