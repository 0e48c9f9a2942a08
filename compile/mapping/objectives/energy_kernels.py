"""Kernels of the search for little energy: neurons move between placed cores, each message priced by its way.

A message from core h to core c costs  price[h, c];  the last row of `price` is for those from off chip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inner
from ..refinement.pairs import NEURONS, NONE, ONE, ZERO, State, at, draw, fits, move, repeats

__all__ = ["cheapen"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
PARTNERS = 8  # neurons that an exchange tries


@jit_inner
def _home(state: State, u: int, cores: int) -> Any:
    """Return the row of `price` for messages of source `u`."""
    return state.core_of[u - state.outside] if u >= state.outside else np.int64(cores)


@jit_inner
def _saved(state: State, price: Float, v: int, b: int) -> Any:
    """Return what moving neuron `v` to core `b` saves."""
    a, stop, me, cores, gain = state.core_of[v], state.indptr[v + 1], state.outside + v, state.held.shape[0], 0.0
    j = state.indptr[v]
    while j < stop:
        u, n = np.int64(state.sources[j]), repeats(state, j, stop)
        if u != me:
            home = _home(state, u, cores)
            if state.synapses[at(state, u, a)] == n:
                gain += state.rates[u] * price[home, a]
            if at(state, u, b) < 0:
                gain -= state.rates[u] * price[home, b]
        j += n
    for i in range(state.slot[me], state.slot[me] + state.reach[me]):
        gain += state.rates[me] * (price[a, state.core[i]] - price[b, state.core[i]])
    return gain


@jit_inner
def _swapped(state: State, price: Float, v: int, b: int, change: Int, listed: Int, random: NDArray[np.uint64]) -> bool:
    """Exchange `v` with a neuron on the full core `b` that shares a source with it, if that saves."""
    a, start = state.core_of[v], state.indptr[v]
    fan_in = state.indptr[v + 1] - start
    for _ in range(PARTNERS):
        u = np.int64(state.sources[start + draw(random) % fan_in])
        w = np.int64(state.targets[state.pointers[u] + draw(random) % (state.pointers[u + 1] - state.pointers[u])])
        if state.core_of[w] != b or not fits(state, v, b, change, listed, np.int64(state.size[w])):
            continue
        gain = _saved(state, price, v, b)
        move(state, v, b)
        if gain + _saved(state, price, w, a) > 1e-9 and fits(state, w, a, change, listed, ZERO):
            move(state, w, a)
            return True
        move(state, v, a)
    return False


@jit
def cheapen(state: State, price: Float, order: Int, random: NDArray[np.uint64], seen: Int, change: Int, touched: Int, listed: Int) -> int:
    """Offer every neuron of `order` the cores that its sources reach, and those that it reaches; take the one that saves the most.

    A full core gives a neuron in exchange. Within the limits of the state; the other arrays are as in `refine_kernels.Scratch`.

    Returns:
        moves made.
    """
    moves = ZERO
    for v in order:
        a, stop, me, known = state.core_of[v], state.indptr[v + 1], state.outside + v, ZERO
        j = state.indptr[v]
        while j < stop:
            u, n = np.int64(state.sources[j]), repeats(state, j, stop)
            known = _listed(state, u, v, a, seen, touched, known)
            j += n
        known = _listed(state, me, v, a, seen, touched, known)
        best, value = NONE, 1e-9
        for i in range(known):
            c = touched[i]
            seen[c] = NONE
            gain = _saved(state, price, v, c)
            if gain > value:
                best, value = c, gain
        if best < 0:
            continue
        if state.held[best, NEURONS] + state.size[v] > state.cap[best, NEURONS]:
            if stop > state.indptr[v] and _swapped(state, price, v, best, change, listed, random):
                moves += ONE
        elif fits(state, v, best, change, listed, ZERO):
            move(state, v, best)
            moves += ONE
    return moves


@jit_inner
def _listed(state: State, u: int, v: int, a: int, seen: Int, touched: Int, known: int) -> int:
    """List the cores other than `a` that source `u` reaches, each once for neuron `v`."""
    for i in range(state.slot[u], state.slot[u] + state.reach[u]):
        c = state.core[i]
        if c != a and seen[c] != v:
            seen[c] = v
            touched[known] = c
            known += 1
    return known
