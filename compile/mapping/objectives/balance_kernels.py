"""Kernels of the search for short steps: neurons leave the slowest cores, and the times of all cores are kept up to date.

What is minimised is a p-norm of the times of the cores, which is close to the largest of them for a large p and still falls when one of
several equally slow cores is relieved. A core has up to three times, `busy` (cores, 3): sending, receiving, and messages in its port; the
first two are one where a core does one after the other.

    F = sum over cores c and times k of  weight_k (busy[c, k] / scale_k)^p  +  weight * toll * messages from off chip
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inner
from ..refinement.pairs import INPUTS, NEURONS, NONE, ONE, ZERO, State, at, draw, fits, move, repeats

__all__ = ["PORT", "RECEIVE", "SEND", "Times", "build_busy", "relieve"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
SEND, RECEIVE, PORT = range(3)


class Times(NamedTuple):
    """What keeps cores busy, in nanoseconds a step.

    `fixed`: (neurons,) updates and spikes; `synapse`: (sources,) a synapse of each; `rates`: (sources,) messages; `out`, `into`, `port`:
    of a message at its sender, its receiver, and the receiver's port; `toll`: of one from off chip on the link by which it enters;
    `columns`: (3,) where in `busy` the three kinds are counted; `busy`, `steep`: (cores, 3) times, and the slope of F by each.
    """

    fixed: Float
    synapse: Float
    rates: Float
    out: float
    into: float
    port: float
    toll: float
    columns: Int
    busy: Float
    steep: Float


@jit
def build_busy(state: State, times: Times) -> None:
    """Count the times of all cores anew."""
    send, receive, port = times.columns[SEND], times.columns[RECEIVE], times.columns[PORT]
    for c in range(times.busy.shape[0]):
        for k in range(3):
            times.busy[c, k] = 0.0
    for v in range(state.core_of.size):
        times.busy[state.core_of[v], send] += times.fixed[v]
    for u in range(state.pointers.size - 1):
        for i in range(state.slot[u], state.slot[u] + state.reach[u]):
            c = state.core[i]
            times.busy[c, receive] += times.rates[u] * times.into + state.synapses[i] * times.synapse[u]
            times.busy[c, port] += times.rates[u] * times.port
        if u >= state.outside:
            times.busy[state.core_of[u - state.outside], send] += times.rates[u] * times.out * state.reach[u]


@jit_inner
def _power(x: float, p: int) -> Any:
    """Return x^p."""
    found, base = 1.0, x
    while p > 0:
        if p & 1:
            found *= base
        base *= base
        p >>= 1
    return found


@jit_inner
def _value(times: Times, c: int, norm: Float, p: int, more: Float) -> Any:
    """Return what core `c` adds to F with `more` (3,) added to its times; `norm`: (7,) scales, weights, weight of the toll."""
    total = 0.0
    for k in range(3):
        if norm[3 + k] > 0.0:
            total += norm[3 + k] * _power(max(times.busy[c, k] + more[k], 0.0) / norm[k], p)
    return total


@jit_inner
def _slope(times: Times, c: int, norm: Float, p: int) -> None:
    """Work out the slopes of core `c`."""
    for k in range(3):
        times.steep[c, k] = 0.0
        if norm[3 + k] > 0.0:
            times.steep[c, k] = norm[3 + k] * p / norm[k] * _power(max(times.busy[c, k], 0.0) / norm[k], p - 1)


@jit_inner
def _shift(state: State, times: Times, v: int, b: int, norm: Float, p: int) -> None:
    """Put neuron `v` on core `b` and keep the times up to date."""
    a, stop = state.core_of[v], state.indptr[v + 1]
    send, receive, port = times.columns[SEND], times.columns[RECEIVE], times.columns[PORT]
    me = state.outside + v
    times.busy[a, send] -= times.fixed[v] + times.rates[me] * times.out * state.reach[me]
    j = state.indptr[v]
    while j < stop:
        u, n = np.int64(state.sources[j]), repeats(state, j, stop)
        rate, work = times.rates[u], n * times.synapse[u]
        left, new = state.synapses[at(state, u, a)] == n, at(state, u, b) < 0
        times.busy[a, receive] -= work + left * rate * times.into
        times.busy[a, port] -= left * rate * times.port
        times.busy[b, receive] += work + new * rate * times.into
        times.busy[b, port] += new * rate * times.port
        if u >= state.outside and u != me and left != new:
            home = state.core_of[u - state.outside]
            times.busy[home, send] += (np.int64(new) - np.int64(left)) * rate * times.out
            _slope(times, home, norm, p)
        j += n
    move(state, v, b)
    times.busy[b, send] += times.fixed[v] + times.rates[me] * times.out * state.reach[me]
    _slope(times, a, norm, p)
    _slope(times, b, norm, p)


@jit_inner
def _look(state: State, times: Times, v: int, norm: Float, score: Float, seen: Int, touched: Int, found: Float) -> tuple[Any, Any]:
    """Score the cores that sources of `v` reach: `score[c]` is the rate, the number and the slopes at home of the sources that reach c.

    `found`: (5,) synaptic time; rate and slopes of all sources; rate and slopes of those that only `v` keeps on its core.

    Returns:
        how many cores are listed in `touched`, and the number of distinct sources.
    """
    a, stop, send = state.core_of[v], state.indptr[v + 1], times.columns[SEND]
    known, distinct = ZERO, ZERO
    for k in range(5):
        found[k] = 0.0
    j = state.indptr[v]
    while j < stop:
        u, n = np.int64(state.sources[j]), repeats(state, j, stop)
        rate = times.rates[u]
        slope = rate * times.toll * norm[6]
        if u >= state.outside:
            slope = rate * times.out * times.steep[state.core_of[u - state.outside], send]
        distinct += 1
        found[0] += n * times.synapse[u]
        found[1] += rate
        found[2] += slope
        for i in range(state.slot[u], state.slot[u] + state.reach[u]):
            c = state.core[i]
            if c == a:
                if state.synapses[i] == n:
                    found[3] += rate
                    found[4] += slope
                continue
            if seen[c] != v:
                seen[c] = v
                score[c, 0], score[c, 1], score[c, 2] = 0.0, 0.0, 0.0
                touched[known] = c
                known += 1
            score[c, 0] += rate
            score[c, 1] += 1.0
            score[c, 2] += slope
        j += n
    return known, distinct


@jit_inner
def _change(
    state: State, times: Times, v: int, c: int, norm: Float, p: int, found: Float, own: Float, known: bool, score: Float, more: Float
) -> Any:
    """Return the change of F if `v` moves to core `c`, that of the senders of its messages by their slopes; `own`: (3,) what it takes."""
    rate, slope = found[1], found[2]
    if known:
        rate, slope = found[1] - score[c, 0], found[2] - score[c, 2]
    more[0], more[1], more[2] = 0.0, 0.0, 0.0
    before = _value(times, c, norm, p, more)
    more[times.columns[SEND]] += own[SEND]
    more[times.columns[RECEIVE]] += own[RECEIVE] + rate * times.into
    more[times.columns[PORT]] += rate * times.port
    return _value(times, c, norm, p, more) - before + slope - found[4]


@jit_inner
def _leaving(state: State, times: Times, v: int, norm: Float, p: int, found: Float, own: Float, more: Float) -> Any:
    """Return the change of F by `v` leaving its core, its messages' senders left out."""
    a = state.core_of[v]
    more[0], more[1], more[2] = 0.0, 0.0, 0.0
    before = _value(times, a, norm, p, more)
    more[times.columns[SEND]] -= own[SEND]
    more[times.columns[RECEIVE]] -= own[RECEIVE] + found[3] * times.into
    more[times.columns[PORT]] -= found[3] * times.port
    return _value(times, a, norm, p, more) - before


@jit
def relieve(
    state: State,
    times: Times,
    order: Int,
    light: Int,
    norm: Float,
    p: int,
    temperature: float,
    gumbel: Float,
    random: NDArray[np.uint64],
    score: Float,
    seen: Int,
    change: Int,
    touched: Int,
    listed: Int,
    scratch: Float,
) -> int:
    """Offer every neuron of `order` the cores that its sources reach and the cores `light`; take the one that lowers F the most.

    With a temperature, the one with the largest gain + temperature * Gumbel noise, as in `refine_kernels.sweep`. Within the limits of the
    state. `norm`: (7,) scale of each time, its weight, and that of the toll; `scratch`: (11,); the other arrays are as in
    `refine_kernels.Scratch`, scores (cores, 3).

    Returns:
        moves made.
    """
    moves, mask = ZERO, gumbel.size - 1
    found, own, more = scratch[:5], scratch[5:8], scratch[8:11]
    for c in range(times.busy.shape[0]):
        _slope(times, c, norm, p)
    for v in order:
        a, me = state.core_of[v], state.outside + v
        known, distinct = _look(state, times, v, norm, score, seen, touched, found)
        own[SEND] = times.fixed[v] + times.rates[me] * times.out * state.reach[me]
        own[RECEIVE], own[PORT] = found[0], 0.0
        gone = _leaving(state, times, v, norm, p, found, own, more)
        best, value = NONE, 1e-12
        if temperature > 0.0:
            value = temperature * gumbel[draw(random) & mask]
        for i in range(known + light.size):
            c = touched[i] if i < known else light[i - known]
            near = seen[c] == v
            if c == a or (i >= known and near):
                continue
            fresh = distinct - (np.int64(score[c, 1]) if near else ZERO)
            full = state.held[c, NEURONS] + state.size[v] > state.cap[c, NEURONS]
            if full or state.held[c, INPUTS] + fresh > max(state.cap[c, INPUTS], state.held[c, INPUTS]):
                continue
            gain = -gone - _change(state, times, v, c, norm, p, found, own, near, score, more)
            noisy = gain if temperature == 0.0 else gain + temperature * gumbel[draw(random) & mask]
            if noisy > value and fits(state, v, c, change, listed, ZERO):
                best, value = c, noisy
        for i in range(known):
            seen[touched[i]] = NONE
        if best >= 0:
            _shift(state, times, v, best, norm, p)
            moves += ONE
    return moves
