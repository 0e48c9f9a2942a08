"""Runs that differ in their seed alone, as one: mean, standard deviation and number of seeds of each figure.

The standard deviation is that of a sample, with n - 1 in the denominator; of one seed there is none.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .compared import Run

__all__ = ["Group", "Spread", "groups", "spread"]


class Spread(NamedTuple):
    """The mean of a figure over `n` seeds and its standard deviation, None for one seed."""

    mean: float
    deviation: float | None
    n: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return mean, standard deviation (n - 1) and n of the values that are there; None if there are none."""
    found = [float(value) for value in values if value is not None]
    if not found:
        return None
    return Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone."""

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The first of the runs, which says what they share."""
        return self.runs[0]

    def of(self, key: str) -> Spread | None:
        """Return the spread of a figure, by the name of its field in `Run`; None if no run has it."""
        return spread(getattr(run, key) for run in self.runs)


def groups(made: Sequence[Run]) -> list[Group]:
    """Group runs by their `same_but_seed`, in the order of their first runs; of runs with the same seed the first counts."""
    found: dict[str, dict[str | None, Run]] = {}
    for run in made:
        found.setdefault(run.same_but_seed, {}).setdefault(run.seed, run)
    return [Group(tuple(runs.values())) for runs in found.values()]
