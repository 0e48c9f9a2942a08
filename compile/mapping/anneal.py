"""Simulated annealing of a placement: cores swap slots, or move to an empty one, while a temperature falls.

    cost = sum over pairs of cores of traffic * city-block distance of their slots  +  sum over cores of pull * distance to the entry

A move is evaluated in O(degree): only the traffic of the two cores is looked at. Half of the moves place a core beside one that it
exchanges messages with, the others anywhere within a window that shrinks as the temperature falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...jit import jit, jit_inner

Int = NDArray[np.int64]
Float = NDArray[np.float64]
EPOCHS = 120
PROBES = 2000
COOLING = 0.001  # ratio of the last temperature to the first


@dataclass(frozen=True)
class Problem:
    """The cores to place and the slots available.

    `indptr`, `indices`, `traffic`: symmetric traffic as CSR, the diagonal left out; `pull`: (cores,) traffic with the entry.
    `at`: (slots, 2) coordinates; `entry`: (2,) coordinates. `place`: (slots, 2) column and row of the tile of each slot;
    `table`: (columns, rows, depth) the slots of each tile, -1 where there is none.
    """

    indptr: Int
    indices: Int
    traffic: Float
    pull: Float
    at: Float
    entry: Float
    place: Int
    table: Int

    @property
    def cores(self) -> int:
        """The number of cores to place."""
        return len(self.pull)


def cost(problem: Problem, slot_of: Int) -> float:
    """Return the cost of a placement; `slot_of` (cores,) indexes the slots of the problem."""
    at = problem.at[slot_of]
    rows = np.repeat(np.arange(problem.cores), np.diff(problem.indptr))
    apart = np.abs(at[rows] - at[problem.indices]).sum(axis=1)
    return float(problem.traffic @ apart) / 2 + float(problem.pull @ np.abs(at - problem.entry).sum(axis=1))


def anneal(problem: Problem, slot_of: Int, *, moves: int, heat: float, seed: int) -> Int:
    """Return a placement that costs no more than `slot_of`, the same for the same seed.

    Args:
        slot_of: (cores,) distinct slots to start from.
        moves: how many moves to try.
        heat: the first temperature, relative to the mean cost of a random move that makes things worse.
    """
    if problem.cores < 1 or len(problem.at) < 2 or moves < 1:
        return slot_of
    core_at = np.full(len(problem.at), -1, np.int64)
    core_at[slot_of] = np.arange(problem.cores)
    found = slot_of.copy()
    arrays = (problem.indptr, problem.indices, problem.traffic, problem.pull, problem.at, problem.entry, problem.place, problem.table)
    random = np.array([seed % (1 << 63)], np.uint64)
    _anneal(*arrays, slot_of.copy(), core_at, problem.at[slot_of], found, EPOCHS, max(1, moves // EPOCHS), heat, random)
    return found if cost(problem, found) < cost(problem, slot_of) else slot_of


@jit_inner
def _random(state: Any) -> Any:
    """Return the next 53 bits of SplitMix64 (Steele et al., 2014) as a number in 0..1; `state` (1,) moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 1.1102230246251565e-16


@jit_inner
def _below(state: Any, bound: Any) -> Any:
    """Return a random integer in 0..bound-1."""
    return min(np.int64(_random(state) * bound), bound - 1)


@jit_inner
def _change(core: Any, other: Any, x: Any, y: Any, indptr: Any, indices: Any, traffic: Any, pull: Any, at: Any, entry: Any) -> Any:
    """Return the change in cost when `core` moves to (x, y), leaving out its traffic with `other` (they swap)."""
    a, b = at[core, 0], at[core, 1]
    total = pull[core] * (abs(x - entry[0]) + abs(y - entry[1]) - abs(a - entry[0]) - abs(b - entry[1]))
    for k in range(indptr[core], indptr[core + 1]):
        j = indices[k]
        if j != other:
            total += traffic[k] * (abs(x - at[j, 0]) + abs(y - at[j, 1]) - abs(a - at[j, 0]) - abs(b - at[j, 1]))
    return total


@jit_inner
def _target(core: Any, reach: Any, slot_of: Any, indptr: Any, indices: Any, place: Any, table: Any, state: Any) -> Any:
    """Return a slot to try for `core`, or -1: beside a core it exchanges messages with, or up to `reach` tiles from its own."""
    links = indptr[core + 1] - indptr[core]
    near, span = core, reach
    if links > 0 and _random(state) < 0.5:
        near, span = indices[indptr[core] + _below(state, links)], 1
    column = place[slot_of[near], 0] - span + _below(state, 2 * span + 1)
    row = place[slot_of[near], 1] - span + _below(state, 2 * span + 1)
    depth = _below(state, table.shape[2])
    if column < 0 or row < 0 or column >= table.shape[0] or row >= table.shape[1]:
        return -1
    here = slot_of[core]
    if place[here, 0] == column and place[here, 1] == row:
        return -1
    return table[column, row, depth]


@jit
def _anneal(
    indptr: Any,
    indices: Any,
    traffic: Any,
    pull: Any,
    spots: Any,
    entry: Any,
    place: Any,
    table: Any,
    slot_of: Any,
    core_at: Any,
    at: Any,
    best: Any,
    epochs: int,
    tries: int,
    heat: float,
    state: Any,
) -> None:
    """Run the schedule: epoch -1 measures, the others cool by the same factor each, the last ones accept only improvements.

    `slot_of`, `core_at` and `at`, the coordinates of each core, change. `best` holds the start, and on return the cheapest placement found.
    """
    cores = slot_of.size
    widest = max(table.shape[0], table.shape[1])
    gained, lowest, temperature = 0.0, 0.0, 0.0
    worse, count = 0.0, 0
    for epoch in range(-1, epochs):
        measuring = epoch < 0
        reach = max(1, np.int64(round(widest * (1.0 - epoch / epochs))))
        for _ in range(PROBES if measuring else tries):
            core = _below(state, cores)
            slot = _target(core, reach, slot_of, indptr, indices, place, table, state)
            if slot < 0:
                continue
            other, old = core_at[slot], slot_of[core]
            delta = _change(core, other, spots[slot, 0], spots[slot, 1], indptr, indices, traffic, pull, at, entry)
            if other >= 0:
                delta += _change(other, core, at[core, 0], at[core, 1], indptr, indices, traffic, pull, at, entry)
            if measuring:
                if delta > 0.0:
                    worse += delta
                    count += 1
                continue
            if delta > 0.0 and (temperature <= 0.0 or _random(state) >= np.exp(-delta / temperature)):
                continue
            gained += delta
            slot_of[core], core_at[slot], core_at[old] = slot, core, other
            at[core, 0], at[core, 1] = spots[slot, 0], spots[slot, 1]
            if other >= 0:
                slot_of[other] = old
                at[other, 0], at[other, 1] = spots[old, 0], spots[old, 1]
        if measuring:
            temperature = heat * worse / max(count, 1)
        else:
            if gained < lowest:
                lowest = gained
                for c in range(cores):
                    best[c] = slot_of[c]
            temperature = 0.0 if epoch > 0.95 * epochs else temperature * COOLING ** (1.0 / epochs)
