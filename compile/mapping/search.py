"""The search for a partition: several strategies, each filled into cores under every limit, and the best of them refined.

No strategy is best for every network, so several are tried (the files of `strategies`); `refine` then improves the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import registry
from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from . import strategies
from .api import EFFORTS, Effort, Partition
from .bounds.counted import cores_bound, messages_bound
from .fill import fill
from .loads.load import RESOURCES, Wiring, core_loads, holds
from .progress import Progress, within
from .refinement.refine import Schedule, descend, refine, shrink, sweeps, work_of
from .refinement.settle import settle
from .refusals import other_chip, too_large, too_many
from .strategies.api import Proposal

__all__ = ["search"]

Int = NDArray[np.int64]
ROOM = 0.97  # share of every limit that is filled before a refinement, so that neurons can move
HOPEFUL = 1.5  # times the cores available: a refinement may still bring such a partition within them
# Work of a refinement in (source, core) pairs, some 30 ns each: at least, per synapse, at most; and the most sweeps.
WORK = {"default": (9e8, 300.0, 4e9), "best": (1.2e10, 2000.0, 5e10)}
SWEEPS = {"default": 200, "best": 2000}
HOT, COOL = 1.0, 0.25  # initial temperatures, in mean rates; the second if there is time for only a few sweeps
COLD = 0.3  # final temperature as a share of the initial one
TRIAL = 0.08  # share of the work for each trial
TELLING = 4  # the fewest sweeps from which a trial is informative
ROUND = 0.2  # share of the work for each round on fewer cores
LOSS = 1.01  # times the messages that fewer cores may cost
# Pairs, some 15 s: a refinement of more work than this must show a gain before it continues; not with effort `best`, since noise may
# improve on the result of a descent, as it does for partitions by Mt-KaHyPar.
TRIED = {"default": 5e8, "best": float("inf")}
DESCENT = 4  # sweeps without noise that test this first; one that overfills a core is undone, so two would say little
STALLED = 0.002  # share of the messages: a trial that saves less ends the refinement
OUTPUTS = RESOURCES.index("output_axons")


@dataclass(frozen=True)
class _Candidate:
    name: str
    proposal: Proposal
    core_of: Int
    cores: int
    messages: float


def search(wiring: Wiring, chip: Chip, cores_allowed: int, effort: Effort, seed: int, progress: Progress) -> Partition:
    """Return the best partition found; the arguments and errors are those of `partition`."""
    candidates, changes = _candidates(wiring, chip, cores_allowed, effort, seed, progress)
    best = min(candidates, key=lambda c: (c.cores > cores_allowed, c.messages, c.cores))
    name, core_of = best.name, best.core_of
    improvable = best.messages > messages_bound(wiring, chip) or best.cores > cores_allowed
    if effort != "fast" and improvable and best.cores <= HOPEFUL * cores_allowed:
        refined = _refined(wiring, chip, best, cores_allowed, _budget(wiring, effort), TRIED[effort], seed, progress)
        if _count(refined) <= cores_allowed and (best.cores > cores_allowed or wiring.messages(refined) < best.messages):
            name, core_of = f"{best.name} + refinement", refined
    if _count(core_of) > cores_allowed:
        raise too_many(
            wiring, chip, f"{_count(core_of):,} cores as it is mapped here (at least {cores_bound(wiring, chip):,})", cores_allowed
        )
    return Partition(_numbered(core_of), name, tuple(changes))


def _candidates(
    wiring: Wiring, chip: Chip, cores_allowed: int, effort: Effort, seed: int, progress: Progress
) -> tuple[list[_Candidate], list[str]]:
    """Return the result of each strategy tried at this effort, and why any was left out."""
    found: list[_Candidate] = []
    changes: list[str] = []
    names = registry.names(strategies)
    for number, name in enumerate(names):
        progress("filling cores", number / len(names))
        module: Any = registry.load(strategies, "strategy", name)
        if EFFORTS.index(module.EFFORT) > EFFORTS.index(effort):
            continue
        missing = getattr(module, "missing", None)
        if missing is not None and (why := missing()):
            changes.append(f"mapping without {name}: {why}")
            continue
        proposal: Proposal | None = module.propose(wiring, chip, cores_allowed, effort, seed)
        if proposal is not None:
            core_of = settle(wiring, chip, _filled(wiring, chip, proposal))
            found.append(_Candidate(name, proposal, core_of, _count(core_of), wiring.messages(core_of)))
    return found, changes


def _filled(wiring: Wiring, chip: Chip, proposal: Proposal, share: float = 1.0) -> Int:
    """Fill cores along a proposal up to `share` of the limits, and halve those that reach too many other cores."""
    core_of, misfit = fill(wiring, chip, proposal.order, proposal.breaks, share)
    if misfit >= 0:
        raise too_large(wiring, misfit, chip)
    rank = np.empty(wiring.neurons, np.int64)
    rank[proposal.order] = np.arange(wiring.neurons)
    while True:
        over = np.flatnonzero(core_loads(wiring, core_of, chip)[:, OUTPUTS] > chip.limit("output_axons"))
        if not over.size:
            return core_of
        sizes = np.bincount(core_of)
        if (sizes[over] == 1).all():
            raise DoesNotFitError(
                f"Core {int(over[0])} reaches more cores than its {chip.limit('output_axons'):,} output axons on {chip.name}. "
                f"Try a higher sparsity or a smaller network{other_chip(chip)}."
            )
        core_of = _halved(core_of, over[sizes[over] > 1], rank)


def _halved(core_of: Int, cores: Int, rank: Int) -> Int:
    """Move the second half, in the given order, of each of `cores` to a new core."""
    changed = core_of.copy()
    for new, core in enumerate(cores, core_of.max() + 1):
        members = np.flatnonzero(core_of == core)
        changed[members[np.argsort(rank[members])][members.size // 2 :]] = new
    return changed


def _refined(
    wiring: Wiring, chip: Chip, start: _Candidate, cores_allowed: int, budget: Schedule, enough: float, seed: int, progress: Progress
) -> Int:
    """Return the candidate refined: short trials with and without room first, then the better one on fewer and fewer cores.

    A refinement of more work than `enough` ends as soon as a test saves next to nothing: a few sweeps of descent, then the trials.
    """
    starts = [start.core_of]
    roomy, misfit = fill(wiring, chip, start.proposal.order, start.proposal.breaks, ROOM)
    if misfit < 0 and holds(wiring, chip, roomy) and (_count(roomy) <= cores_allowed or start.cores > cores_allowed):
        starts.append(roomy)
    must_gain = start.cores <= cores_allowed and work_of(wiring, start.core_of, budget) > enough
    if must_gain:
        progress("refinement", 0.0)
        tried = [descend(wiring, chip, c, _count(c), DESCENT, seed) for c in starts]
        if _saved(wiring, start, tried) < STALLED:
            return _closed(wiring, chip, tried[0])
    telling = sweeps(wiring, starts[-1], _part(budget, TRIAL, HOT)) >= TELLING  # expensive sweeps are not spent on trials
    hot, done = HOT if telling else COOL, 0.0
    for i in range(len(starts) if telling else 0):
        told = within(progress, "refinement", done, TRIAL)
        starts[i] = refine(wiring, chip, starts[i], _count(starts[i]), _part(budget, TRIAL, HOT), seed, told)
        done += TRIAL
    if must_gain and telling and _saved(wiring, start, starts) < STALLED:
        return _closed(wiring, chip, starts[0])
    best = min(starts, key=wiring.messages) if telling else starts[-1]
    while done < 1.0:
        fewer = shrink(wiring, chip, best, ROOM)
        last = fewer is None or (_count(best) <= cores_allowed and wiring.messages(fewer) > LOSS * wiring.messages(best))
        best = best if fewer is None or last else fewer
        share = 1.0 - done if last or 1.0 - done <= 2 * ROUND else ROUND
        told = within(progress, "refinement", done, share)
        best = refine(wiring, chip, best, _count(best), _part(budget, share, hot), seed, told)
        done = 1.0 if share == 1.0 - done else done + share
    return _closed(wiring, chip, best)


def _saved(wiring: Wiring, start: _Candidate, tried: list[Int]) -> float:
    """Return the share of the candidate's messages that the best of some partitions saves."""
    return 1.0 - min(wiring.messages(core_of) for core_of in tried) / start.messages


def _closed(wiring: Wiring, chip: Chip, core_of: Int) -> Int:
    """Return a refined partition with its silent neurons moved to free room, and without cores that are not needed."""
    best = settle(wiring, chip, core_of)
    fewer = shrink(wiring, chip, best, 1.0)  # nothing moves after this, so no room has to be left
    return best if fewer is None or wiring.messages(fewer) > LOSS * wiring.messages(best) else fewer


def _part(budget: Schedule, share: float, hot: float) -> Schedule:
    return Schedule(share * budget.work, hot, COLD * hot, max(4, int(share * budget.most)))


def _budget(wiring: Wiring, effort: Effort) -> Schedule:
    """Return the budget of the whole refinement."""
    least, each, most = WORK[effort]
    return Schedule(min(max(least, each * wiring.sources.size), most), HOT, COLD * HOT, SWEEPS[effort])


def _count(core_of: Int) -> int:
    return int(core_of.max(initial=-1)) + 1


def _numbered(core_of: Int) -> Int:
    """Number the cores in use in the order of their first neurons."""
    _, first, core = np.unique(core_of, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[core].astype(np.int64)
