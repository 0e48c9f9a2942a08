"""The search for the mapping with the shortest step, on the chips that the partition with the fewest messages takes.

More cores share the work of a step, but receive more messages and may lengthen the barrier, so several numbers of cores are tried: from
each start, the slowest cores are cut in two until there are as many, neurons then move from slow cores to others (`balance`), and the
mapping whose modelled step is the shortest is kept. That with few messages is among those compared, so the result is never slower.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .... import registry
from ....hwmodels.chip import Chip
from .. import strategies
from ..api import Effort, Partition
from ..fill import fill
from ..loads.load import RESOURCES, Wiring, core_loads, holds
from ..place import Placement, place, places_tried, traffic
from ..progress import Progress, within
from ..strategies.api import Proposal
from .balance import balanced
from .halve import halved
from .step_model import StepModel

__all__ = ["shortest"]

Int = NDArray[np.int64]
OUTPUTS = RESOURCES.index("output_axons")
RATIO = 1.4  # from one number of cores to the next
# (source, core) pairs to look at, in all, some 30 ns each; sweeps of a candidate and of one of the best, at most.
WORK = {"fast": 5e7, "default": 5e8, "best": 1e10}
SWEEPS = {"fast": (2, 8), "default": (6, 60), "best": (12, 400)}
BEST = 3  # candidates that are refined further
STAGE = "step times"


class _Candidate(NamedTuple):
    time: float
    core_of: Int
    name: str


@dataclass(frozen=True)
class _Search:
    """What the steps of a search share. `most`: cores that it may use."""

    model: StepModel
    most: int
    effort: Effort
    seed: int
    progress: Progress

    def measured(self, core_of: Int, name: str) -> _Candidate:
        """Return a candidate with its time: placed quickly where the links between tiles count, else on the fewest tiles."""
        model, chip = self.model, self.model.chip
        if chip.time.links == "free":
            return _Candidate(model.unplaced(core_of), core_of, name)
        placed = place(*traffic(model.wiring, core_of), chip, seed=self.seed, effort="fast")
        return _Candidate(model.step(core_of, placed).total, core_of, name)

    def refined(self, one: _Candidate, work: float, sweeps: int, begin: float, share: float) -> _Candidate:
        """Return the candidate after as many sweeps as `work` pays for, up to `sweeps`; the share of the search that this makes up."""
        wiring = self.model.wiring
        pairs = float((wiring.reach(one.core_of) * wiring.fan_out).sum()) + wiring.neurons * _count(one.core_of)
        told = within(self.progress, STAGE, begin, share)
        count = int(np.clip(work / pairs, 1, sweeps))
        return self.measured(balanced(self.model, one.core_of, _count(one.core_of), count, self.seed, told), one.name)

    def split(self, start: Int, name: str) -> list[_Candidate]:
        """Return a start on more and more cores."""
        wiring, found = self.model.wiring, list[_Candidate]()
        synaptic = (wiring.rates * self.model.synapse_times(start))[wiring.sources]
        core_of = start
        for cores in _ladder(_count(start), self.most):
            core_of = halved(self.model, core_of, cores, synaptic)
            kept = _within_limits(self.model, core_of, self.most)
            if kept is not None:
                found.append(_Candidate(0.0, kept, name))
        return found


def shortest(wiring: Wiring, chip: Chip, start: Partition, effort: Effort, seed: int, progress: Progress) -> tuple[Partition, Placement]:
    """Return the partition and the placement with the shortest step on as many chips as `start` takes; those of `start` if none is shorter.

    Args:
        start: the partition with few messages.
        effort, seed, progress: as of `partition`; the stage is called `step times`.
    """
    model, chips = StepModel(wiring, chip), chip.chips_for(_count(start.core_of))
    most = min(chips * chip.cores_offered(chips), chip.cores_available, wiring.neurons)
    search = _Search(model, most, effort, seed, progress)
    few, many = SWEEPS[effort]
    begin = search.measured(start.core_of, start.strategy)
    tried = [
        one for core_of, name in [(start.core_of, start.strategy), *_starts(wiring, chip, most)] for one in search.split(core_of, name)
    ]
    share = 0.5 / max(len(tried), 1)
    found = [search.refined(one, share * WORK[effort], few, share * k, share) for k, one in enumerate(tried)]
    found = sorted([begin, *found], key=lambda c: c.time)[:BEST]
    share = 0.5 / len(found)
    found += [search.refined(one, share * WORK[effort], many, 0.5 + share * k, share) for k, one in enumerate(found)]
    best = sorted((c for c in found if c is not begin), key=lambda c: c.time)[:BEST]
    parts = [replace(start, core_of=_numbered(c.core_of), strategy=f"{c.name} + step times") for c in best]
    quick = [one for part in parts for one in _steps(model, part, "fast", seed)]
    return _placed(model, [start, *([min(quick, key=_total).part] if quick else [])], effort, seed)  # that one is placed with care


class _Step(NamedTuple):
    total: float
    part: Partition
    placed: Placement


def _total(step: _Step) -> float:
    return step.total


def _steps(model: StepModel, part: Partition, effort: Effort, seed: int) -> list[_Step]:
    """Return the step of a partition under every placement that is tried, that of `place` first."""
    tried = places_tried(*traffic(model.wiring, part.core_of), model.chip, seed=seed, effort=effort)
    return [_Step(model.step(part.core_of, placed).total, part, placed) for placed in tried]


def _placed(model: StepModel, parts: list[Partition], effort: Effort, seed: int) -> tuple[Partition, Placement]:
    """Return the partition and the placement with the shortest step, the first of equals."""
    found = [one for part in parts for one in _steps(model, part, effort, seed)]
    before = found[0]
    time, part, placed = min(found, key=_total)
    said = (
        f"for latency: a step of {time / 1000:,.2f} us on {_count(part.core_of):,} cores, {before.total / 1000:,.2f} us on "
        f"{_count(before.part.core_of):,} with few messages ({model.conditions})"
    )
    return replace(part, changes=(*part.changes, said)), placed


def _starts(wiring: Wiring, chip: Chip, most: int) -> list[tuple[Int, str]]:
    """Return partitions to begin from: the orders of the fast strategies, with cores of its own for every layer."""
    found: list[tuple[Int, str]] = []
    for name in registry.names(strategies):
        module: Any = registry.load(strategies, "strategy", name)
        proposal: Proposal | None = module.propose(wiring, chip, most, "fast", 0) if module.EFFORT == "fast" else None
        if proposal is None:
            continue
        layer_of = np.searchsorted([layer.stop for layer in wiring.layers], proposal.order, side="right")
        breaks = np.diff(layer_of, prepend=layer_of[:1]) != 0
        core_of, misfit = fill(wiring, chip, proposal.order, breaks if proposal.breaks is None else breaks | proposal.breaks)
        if misfit < 0 and _count(core_of) <= most:
            found.append((core_of, name))
    return found


def _ladder(cores: int, most: int) -> list[int]:
    """Return the numbers of cores to try, from those in use to the most."""
    rungs = int(np.ceil(np.log(most / cores) / np.log(RATIO))) if cores < most else 0
    return sorted({cores, *(min(round(cores * RATIO**k), most) for k in range(1, rungs + 1)), max(cores, most)})


def _within_limits(model: StepModel, core_of: Int, most: int) -> Int | None:
    """Return the partition with cores halved whose neurons reach too many other cores; None if that takes more than `most` cores."""
    wiring, chip = model.wiring, model.chip
    while not holds(wiring, chip, core_of):
        load = core_loads(wiring, core_of, chip)
        over = np.flatnonzero(load[:, OUTPUTS] > chip.limit("output_axons"))
        over = over[np.bincount(core_of)[over] > 1]
        if not over.size or _count(core_of) + over.size > most:
            return None
        core_of = core_of.copy()
        for new, core in enumerate(over.tolist(), _count(core_of)):
            members = np.flatnonzero(core_of == core)
            core_of[members[members.size // 2 :]] = new
    return core_of


def _count(core_of: Int) -> int:
    return int(core_of.max(initial=-1)) + 1


def _numbered(core_of: Int) -> Int:
    """Number the cores in use in the order of their first neurons."""
    _, first, core = np.unique(core_of, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[core].astype(np.int64)
