"""Accuracy against a cost, over methods: the Pareto front, and accuracies at equal cost, interpolated and never extrapolated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .compared import Run
from .seeds import Spread, groups
from .series import Series, of_runs

__all__ = ["Point", "at_equal", "front", "points"]


@dataclass(frozen=True)
class Point:
    """A setting: its series, its cost and its accuracy over seeds, and the 95 % interval of the accuracy of a single run."""

    series: Series
    cost: Spread
    accuracy: Spread
    interval: tuple[float, float] | None


def points(made: Sequence[Run], key: str) -> list[Point]:
    """Return one point per setting that has an accuracy and a cost above 0; `key`: the field of `Run` that is the cost."""
    series = {run.number: one for run, one in zip(made, of_runs(made), strict=True)}
    found: list[Point] = []
    for group in groups(made):
        cost, accuracy = group.of(key), group.of("accuracy")
        if cost is not None and accuracy is not None and cost.mean > 0:
            alone = group.first.interval if len(group.runs) == 1 else None
            found.append(Point(series[group.first.number], cost, accuracy, alone))
    return found


def front(found: Sequence[Point]) -> list[Point]:
    """Return the Pareto front, cheapest first: the points that no other one beats with at most their cost and at least their accuracy."""
    best: list[Point] = []
    for point in sorted(found, key=lambda p: (p.cost.mean, -p.accuracy.mean)):
        if not best or point.accuracy.mean > best[-1].accuracy.mean:
            best.append(point)
    return best


def at_equal(found: Sequence[Point], cost: float) -> dict[str, float | None]:
    """Return each series' accuracy at a cost, linear in the logarithm of the cost between the two means around it.

    None for a series whose measured costs do not reach from below to above it: nothing is extrapolated.
    """
    return {series.name: _between([p for p in found if p.series == series], cost) for series in dict.fromkeys(p.series for p in found)}


def _between(found: list[Point], cost: float) -> float | None:
    ordered = sorted(found, key=lambda p: p.cost.mean)
    for left, right in itertools.pairwise(ordered):
        low, high = left.cost.mean, right.cost.mean
        if low <= cost <= high and low < high:
            share = (math.log(cost) - math.log(low)) / (math.log(high) - math.log(low))
            return left.accuracy.mean + share * (right.accuracy.mean - left.accuracy.mean)
    return next((p.accuracy.mean for p in ordered if p.cost.mean == cost), None)
