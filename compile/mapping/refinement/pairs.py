"""Kernels over a partition that changes: the cores of every source, and the load of every core, kept up to date as neurons move.

Written so that they compile fast: every integer passed on is of 64 bits (numba compiles a function again for each type, and for each
literal), no array is made or sorted here, and none is assigned to a part of another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inner

__all__ = [
    "INPUTS",
    "LONGEST",
    "NEURONS",
    "NONE",
    "ONE",
    "OUTPUTS",
    "WORDS",
    "ZERO",
    "State",
    "at",
    "build_pairs",
    "draw",
    "fits",
    "move",
    "repeats",
]

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float = NDArray[np.float64]
NEURONS, WORDS, INPUTS, OUTPUTS, LONGEST = range(5)
# Not literals, whose types would be their own.
NONE: Any = np.int64(-1)
ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)


class State(NamedTuple):
    """A partition that changes in place.

    Each source has its distinct cores and the synapses on each in `core[i]`, `synapses[i]`, slot[u] <= i < slot[u] + reach[u].
    `held`, `cap`: (cores, 5) loads and their limits, words as `least` of a list's synapses; `size`: neurons that a row represents.
    """

    indptr: Int
    sources: Int32
    pointers: Int
    targets: Int32
    outside: int
    rates: Float
    size: Int32
    least: Int
    core_of: Int
    slot: Int
    reach: Int32
    core: Int32
    synapses: Int32
    held: Int
    cap: Int


def build_pairs(state: State) -> None:
    """Fill in the cores of each source and the loads that follow from `core_of`."""
    state.held[:] = 0
    _build_pairs(state, np.full(state.held.shape[0], -1, np.int64))


@jit
def _build_pairs(state: State, seen: Int) -> None:
    """Do the work of `build_pairs`; `seen` (cores,): -1, also on return."""
    for v in range(state.core_of.size):
        state.held[state.core_of[v], NEURONS] += state.size[v]
    for u in range(state.pointers.size - 1):
        start = end = state.slot[u]
        for j in range(state.pointers[u], state.pointers[u + 1]):
            c = state.core_of[state.targets[j]]
            if seen[c] < start:
                seen[c] = end
                state.core[end], state.synapses[end] = c, 0
                end += 1
            state.synapses[seen[c]] += 1
        state.reach[u] = end - start
        for i in range(start, end):
            c = state.core[i]
            state.held[c, WORDS] += state.least[min(state.synapses[i], state.least.size - 1)]
            state.held[c, INPUTS] += 1
            seen[c] = -1
        if u >= state.outside:
            state.held[state.core_of[u - state.outside], OUTPUTS] += end - start


@jit_inner
def at(state: State, u: int, core: int) -> int:
    """Return the position of `core` in the list of source `u`, or -1."""
    for i in range(state.slot[u], state.slot[u] + state.reach[u]):
        if state.core[i] == core:
            return i
    return NONE


@jit_inner
def repeats(state: State, j: int, stop: int) -> int:
    """Return how often the source of synapse `j` occurs in the row: parallel projections repeat it."""
    n = ONE
    while j + n < stop and state.sources[j + n] == state.sources[j]:
        n += 1
    return n


@jit_inner
def _words(state: State, count: int) -> int:
    return state.least[min(count, state.least.size - 1)]


@jit_inner
def fits(state: State, v: int, b: int, change: Int, touched: Int, spare: int) -> bool:
    """Return whether core `b` may take neuron `v` once `spare` neurons have left it.

    `change` (cores, 2) zeros, also on return, and `touched` (cores,): scratch.
    """
    a, stop = state.core_of[v], state.indptr[v + 1]
    words, inputs, known, allowed = ZERO, ZERO, ZERO, state.held[b, NEURONS] + state.size[v] - spare <= state.cap[b, NEURONS]
    j = state.indptr[v]
    while allowed and j < stop:
        u, n = np.int64(state.sources[j]), repeats(state, j, stop)
        at_a, at_b = at(state, u, a), at(state, u, b)
        before = np.int64(state.synapses[at_b]) if at_b >= 0 else ZERO
        grown = _words(state, before + n)
        words += grown - _words(state, before)
        inputs += at_b < 0
        allowed = grown <= state.cap[b, LONGEST]
        more = np.int64(at_b < 0) - np.int64(state.synapses[at_a] == n)
        if more and u >= state.outside:
            home = b if u - state.outside == v else state.core_of[u - state.outside]
            known = _note(change, touched, known, home, more)
        j += n
    sent = np.int64(state.reach[state.outside + v])
    known = _note(change, touched, known, b, sent)
    known = _note(change, touched, known, a, -sent)
    allowed &= words <= 0 or state.held[b, WORDS] + words <= state.cap[b, WORDS]
    allowed &= inputs == 0 or state.held[b, INPUTS] + inputs <= state.cap[b, INPUTS]
    for i in range(known):
        c = touched[i]
        allowed &= change[c, 0] <= 0 or state.held[c, OUTPUTS] + change[c, 0] <= state.cap[c, OUTPUTS]
        change[c, 0], change[c, 1] = 0, 0
    return allowed


@jit_inner
def _note(change: Int, touched: Int, known: int, core: int, more: int) -> int:
    """Add to the change of a core, and list the core the first time."""
    if not change[core, 1]:
        change[core, 1] = 1
        touched[known] = core
        known += 1
    change[core, 0] += more
    return known


@jit_inner
def move(state: State, v: int, b: int) -> None:
    """Put neuron `v` on core `b` without checking the limits."""
    a, stop = state.core_of[v], state.indptr[v + 1]
    state.core_of[v] = b
    sent = state.reach[state.outside + v]
    state.held[a, OUTPUTS] -= sent
    state.held[b, OUTPUTS] += sent
    state.held[a, NEURONS] -= state.size[v]
    state.held[b, NEURONS] += state.size[v]
    j = state.indptr[v]
    while j < stop:
        u, n = np.int64(state.sources[j]), repeats(state, j, stop)
        more = _take(state, u, a, n) + _give(state, u, b, n)
        if u >= state.outside:
            state.held[state.core_of[u - state.outside], OUTPUTS] += more
        j += n


@jit_inner
def _take(state: State, u: int, a: int, n: int) -> int:
    """Take `n` synapses of source `u` from core `a`; return the change in the number of cores it reaches."""
    i = at(state, u, a)
    before = np.int64(state.synapses[i])
    left = before - n
    state.held[a, WORDS] += _words(state, left) - _words(state, before)
    state.synapses[i] = left
    if left:
        return 0
    state.held[a, INPUTS] -= 1
    state.reach[u] -= 1
    last = state.slot[u] + state.reach[u]
    state.core[i], state.synapses[i] = state.core[last], state.synapses[last]
    return -1


@jit_inner
def _give(state: State, u: int, b: int, n: int) -> int:
    """Give `n` synapses of source `u` to core `b`; return the change in the number of cores it reaches."""
    i = at(state, u, b)
    if i >= 0:
        before = np.int64(state.synapses[i])
        state.held[b, WORDS] += _words(state, before + n) - _words(state, before)
        state.synapses[i] = before + n
        return 0
    i = state.slot[u] + state.reach[u]
    state.core[i], state.synapses[i] = b, n
    state.reach[u] += 1
    state.held[b, INPUTS] += 1
    state.held[b, WORDS] += _words(state, n)
    return 1


@jit_inner
def draw(random: NDArray[np.uint64]) -> Any:
    """Return the next number of a xorshift generator (Marsaglia, 2003), its upper bits."""
    x = random[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    random[0] = x
    return np.int64(x >> np.uint64(33))
