"""Kernels of the refinement: neurons that move one at a time between cores; see `pairs` for the rules that they keep."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_allocating, jit_inner
from .pairs import INPUTS, LONGEST, NEURONS, NONE, OUTPUTS, WORDS, ZERO, State, at, build_pairs, draw, fits, move, repeats

__all__ = [
    "INPUTS",
    "LONGEST",
    "NEURONS",
    "OUTPUTS",
    "WORDS",
    "Scratch",
    "State",
    "build_pairs",
    "dissolve",
    "fits",
    "move",
    "scratch",
    "sweep",
]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
PARTNERS, PARTNER_WORK = 24, 300  # neurons that an exchange tries, and their sources in all


@jit_inner
def scores(state: State, v: int, score: Float, seen: Int, touched: Int) -> tuple[Any, Any, Any]:
    """Score the cores that sources of `v` reach already: `score[c]` is (the rate, the number) of those that reach c.

    Returns:
        the saving from leaving its core minus the cost of all its sources on a new one; how many cores are listed in `touched`; the
        number of distinct sources.
    """
    a, stop = state.core_of[v], state.indptr[v + 1]
    leaving, known, distinct = 0.0, ZERO, ZERO
    j = state.indptr[v]
    while j < stop:
        u, n = state.sources[j], repeats(state, j, stop)
        rate = state.rates[u]
        leaving -= rate
        distinct += 1
        for i in range(state.slot[u], state.slot[u] + state.reach[u]):
            c = state.core[i]
            if c == a:
                if state.synapses[i] == n:
                    leaving += rate
            elif seen[c] != v:
                seen[c] = v
                score[c, 0] = rate
                score[c, 1] = 1.0
                touched[known] = c
                known += 1
            else:
                score[c, 0] += rate
                score[c, 1] += 1.0
        j += n
    return leaving, known, distinct


class Scratch(NamedTuple):
    """Arrays of which a kernel uses one item a core: scores (cores, 2), seen -1, changes (cores, 2) zeros, and two lists of cores."""

    score: Float
    seen: Int
    change: Int
    touched: Int
    listed: Int


def scratch(cores: int) -> Scratch:
    """Return what `sweep` and `dissolve` need to remember of each core."""
    empty = np.zeros(cores, np.int64)
    return Scratch(np.zeros((cores, 2)), np.full(cores, -1, np.int64), np.zeros((cores, 2), np.int64), empty, empty.copy())


def sweep(state: State, order: Int, temperature: float, gumbel: Float, random: NDArray[np.uint64]) -> tuple[float, int]:
    """Offer every neuron of `order` the cores that its sources reach: a heat bath, or at temperature 0 the best if it is a gain.

    Core c is drawn with probability ~ exp(gain(c) / temperature), as the largest of gain + temperature * Gumbel noise. It is taken if it
    has room; if not, one of its neurons may come back in exchange. `gumbel`: a table whose length is a power of two.

    Returns:
        messages saved, and moves made.
    """
    return _sweep(state, order, temperature, gumbel, random, *scratch(state.held.shape[0]))


@jit
def _sweep(
    state: State,
    order: Int,
    temperature: float,
    gumbel: Float,
    random: NDArray[np.uint64],
    score: Float,
    seen: Int,
    change: Int,
    touched: Int,
    listed: Int,
) -> tuple[float, int]:
    """Do the work of `sweep`; the last arguments are a `Scratch`."""
    saved, moves, mask = 0.0, ZERO, gumbel.size - 1
    for v in order:
        leaving, known, distinct = scores(state, v, score, seen, touched)
        best, gained = NONE, 0.0
        value = 1e-9 if temperature == 0.0 else temperature * gumbel[draw(random) & mask]
        for i in range(known):
            c = touched[i]
            seen[c] = -1
            if state.held[c, INPUTS] + distinct - score[c, 1] > max(state.cap[c, INPUTS], state.held[c, INPUTS]):
                continue
            gain = leaving + score[c, 0]
            noisy = gain if temperature == 0.0 else gain + temperature * gumbel[draw(random) & mask]
            if noisy > value:
                best, gained, value = c, gain, noisy
        if best < 0:
            continue
        if state.held[best, NEURONS] + state.size[v] > state.cap[best, NEURONS]:
            gained = _exchange(state, v, best, gained, temperature, change, listed, random)
            moves += gained != 0.0
            saved += gained
        elif fits(state, v, best, change, listed, ZERO):
            move(state, v, best)
            saved += gained
            moves += 1
    return saved, moves


@jit_inner
def _exchange(state: State, v: int, b: int, gain: float, temperature: float, change: Int, listed: Int, random: NDArray[np.uint64]) -> float:
    """Swap `v` with a neuron on the full core `b` that shares a source with it; return what both moves save, 0 if none is made.

    Accepted with probability exp(saved / temperature) (Metropolis et al. 1953), at temperature 0 if it saves.
    """
    a, start = state.core_of[v], state.indptr[v]
    fan_in = state.indptr[v + 1] - start
    for _ in range(min(PARTNERS, 2 + PARTNER_WORK // fan_in)):
        u = np.int64(state.sources[start + draw(random) % fan_in])
        w = np.int64(state.targets[state.pointers[u] + draw(random) % (state.pointers[u + 1] - state.pointers[u])])
        if state.core_of[w] != b or state.size[w] != state.size[v]:
            continue
        wanted = 1e-9 if temperature == 0.0 else temperature * np.log((draw(random) + 1.0) / 2147483648.0)
        if gain + _gain(state, w, a) < wanted or not fits(state, v, b, change, listed, np.int64(state.size[w])):
            continue  # the first move never increases the gain of the second: shared sources stay where they are
        move(state, v, b)
        saved = gain + _gain(state, w, a)
        if saved >= wanted and fits(state, w, a, change, listed, ZERO):
            move(state, w, a)
            return saved
        move(state, v, a)
    return 0.0


@jit_inner
def _gain(state: State, v: int, b: int) -> Any:
    """Return the messages saved by moving neuron `v` to core `b`."""
    a, stop, gain = state.core_of[v], state.indptr[v + 1], 0.0
    j = state.indptr[v]
    while j < stop:
        u, n = np.int64(state.sources[j]), repeats(state, j, stop)
        if state.synapses[at(state, u, a)] == n:
            gain += state.rates[u]
        if at(state, u, b) < 0:
            gain -= state.rates[u]
        j += n
    return gain


def dissolve(state: State, victim: int, members: Int) -> bool:
    """Move all `members` of core `victim` to where they cost least; if one fits nowhere, undo all moves and return False."""
    return bool(_dissolve(state, victim, members, *scratch(state.held.shape[0])))


@jit_allocating
def _dissolve(state: State, victim: int, members: Int, score: Float, seen: Int, change: Int, touched: Int, listed: Int) -> bool:
    """Do the work of `dissolve`; the last arguments are a `Scratch`."""
    for done in range(members.size):
        v = members[done]
        _, known, distinct = scores(state, v, score, seen, touched)
        found = NONE
        for c in touched[:known][np.argsort(-score[touched[:known], 0])]:
            if state.held[c, INPUTS] + distinct - score[c, 1] > max(state.cap[c, INPUTS], state.held[c, INPUTS]):
                continue
            if state.held[c, NEURONS] > 0 and fits(state, v, c, change, listed, ZERO):
                found = c
                break
        if found < 0:
            found = _elsewhere(state, v, victim, seen, change, listed)
        for i in range(known):
            seen[touched[i]] = -1
        if found < 0:
            for back in range(done):
                move(state, members[back], victim)
            return False
        move(state, v, found)
    return True


@jit_inner
def _elsewhere(state: State, v: int, victim: int, seen: Int, change: Int, listed: Int) -> int:
    """Return the first core in use that has room for `v` and that none of its sources reaches, or -1."""
    new, j = ZERO, state.indptr[v]
    while j < state.indptr[v + 1]:
        j += repeats(state, j, state.indptr[v + 1])
        new += 1
    sent = state.reach[state.outside + v]
    for c in range(state.held.shape[0]):
        if c == victim or seen[c] == v or state.held[c, NEURONS] == 0:
            continue
        if (new and state.held[c, INPUTS] + new > state.cap[c, INPUTS]) or (sent and state.held[c, OUTPUTS] + sent > state.cap[c, OUTPUTS]):
            continue
        if fits(state, v, c, change, listed, ZERO):
            return c
    return NONE
