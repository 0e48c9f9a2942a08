"""Kernels of the refinement: neurons that move one at a time between cores, with the load of every core kept up to date.

Written so that they compile fast: every integer passed on is of 64 bits (numba compiles a function again for each type, and for each
literal), no array is made or sorted here, and none is assigned to a part of another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...jit import jit, jit_allocating, jit_inner

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float = NDArray[np.float64]
NEURONS, WORDS, INPUTS, OUTPUTS, LONGEST = range(5)
# Not literals, whose types would be their own.
NONE: Any = np.int64(-1)
ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)
PARTNERS, PARTNER_WORK = 24, 300  # neurons that an exchange tries, and their sources in all


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
def _build_pairs(state: State, at: Int) -> None:
    """Do the work of `build_pairs`; `at` (cores,): -1, also on return."""
    for v in range(state.core_of.size):
        state.held[state.core_of[v], NEURONS] += state.size[v]
    for u in range(state.pointers.size - 1):
        start = end = state.slot[u]
        for j in range(state.pointers[u], state.pointers[u + 1]):
            c = state.core_of[state.targets[j]]
            if at[c] < start:
                at[c] = end
                state.core[end], state.synapses[end] = c, 0
                end += 1
            state.synapses[at[c]] += 1
        state.reach[u] = end - start
        for i in range(start, end):
            c = state.core[i]
            state.held[c, WORDS] += state.least[min(state.synapses[i], state.least.size - 1)]
            state.held[c, INPUTS] += 1
            at[c] = -1
        if u >= state.outside:
            state.held[state.core_of[u - state.outside], OUTPUTS] += end - start


@jit_inner
def _at(state: State, u: int, core: int) -> int:
    """Return the position of `core` in the list of source `u`, or -1."""
    for i in range(state.slot[u], state.slot[u] + state.reach[u]):
        if state.core[i] == core:
            return i
    return NONE


@jit_inner
def _repeats(state: State, j: int, stop: int) -> int:
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
        u, n = np.int64(state.sources[j]), _repeats(state, j, stop)
        at_a, at_b = _at(state, u, a), _at(state, u, b)
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
        u, n = np.int64(state.sources[j]), _repeats(state, j, stop)
        more = _take(state, u, a, n) + _give(state, u, b, n)
        if u >= state.outside:
            state.held[state.core_of[u - state.outside], OUTPUTS] += more
        j += n


@jit_inner
def _take(state: State, u: int, a: int, n: int) -> int:
    """Take `n` synapses of source `u` from core `a`; return the change in the number of cores it reaches."""
    i = _at(state, u, a)
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
    i = _at(state, u, b)
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
        u, n = state.sources[j], _repeats(state, j, stop)
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
        value = 1e-9 if temperature == 0.0 else temperature * gumbel[_draw(random) & mask]
        for i in range(known):
            c = touched[i]
            seen[c] = -1
            if state.held[c, INPUTS] + distinct - score[c, 1] > max(state.cap[c, INPUTS], state.held[c, INPUTS]):
                continue
            gain = leaving + score[c, 0]
            noisy = gain if temperature == 0.0 else gain + temperature * gumbel[_draw(random) & mask]
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
        u = np.int64(state.sources[start + _draw(random) % fan_in])
        w = np.int64(state.targets[state.pointers[u] + _draw(random) % (state.pointers[u + 1] - state.pointers[u])])
        if state.core_of[w] != b or state.size[w] != state.size[v]:
            continue
        wanted = 1e-9 if temperature == 0.0 else temperature * np.log((_draw(random) + 1.0) / 2147483648.0)
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
        u, n = np.int64(state.sources[j]), _repeats(state, j, stop)
        if state.synapses[_at(state, u, a)] == n:
            gain += state.rates[u]
        if _at(state, u, b) < 0:
            gain -= state.rates[u]
        j += n
    return gain


@jit_inner
def _draw(random: NDArray[np.uint64]) -> Any:
    """Return the next number of a xorshift generator (Marsaglia, 2003), its upper bits."""
    x = random[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    random[0] = x
    return np.int64(x >> np.uint64(33))


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
        j += _repeats(state, j, state.indptr[v + 1])
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
