"""One step of a whole network, one sample: `native.stepping.advance` as a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....hwmodels.crossbar import STATE_MAX
from ....hwmodels.fixed_point import ALIGN
from ....jit import jit, jit_inner
from .step import lif_step

__all__ = ["advance"]


@jit
def advance(
    t: int,
    layers: Any,
    arriving: Any,
    pointers: Any,
    targets: Any,
    weights: Any,
    bias: Any,
    alive: Any,
    u: Any,
    v: Any,
    sums: Any,
    sent: Any,
    places: Any,
    held: Any,
    seen: Any,
    order: Any,
) -> None:
    """Advance all populations by their step t; the arrays are those of `native.stepping`, and change where they do there."""
    begin = 0
    for i in range(layers.shape[0]):
        start, stop, end = layers[i, 0], layers[i, 1], layers[i, 7]
        for j in range(start, stop):
            sums[j] = 0
        for q in range(begin, end):
            if t >= arriving[q, 3]:
                kept = held[places[q, 0] :], seen[places[q, 1] :]
                _add(t, arriving[q], pointers, targets, weights, sent, *kept, order, sums[start:stop])
        begin = end
        row = sent[t % sent.shape[0]]
        if layers[i, 2] == 1:
            _step_crossbars(layers[i], alive, sums, v, row)
        else:
            _step_neurons(layers[i], bias, alive, sums, u, v, row)


@jit
def _add(t: int, projection: Any, pointers: Any, targets: Any, weights: Any, sent: Any, held: Any, seen: Any, order: Any, a: Any) -> None:
    """a += (W s) << exponent; `order` is scratch.

    `held` is W s of the step before, and `seen` its s: only the synapses of sources whose payload changed are added to it, or, if fewer
    sources send something than changed, those of the former to zeros. Sums of integers do not depend on the way.
    """
    source, size, exponent, lag, place = projection[0], projection[1], projection[2], projection[3], projection[4]
    row = sent[(t - lag) % sent.shape[0]][source : source + size]
    active, changed = 0, 0
    for i in range(size):
        active += row[i] != 0
        changed += row[i] != seen[i]
    if changed > active:
        for j in range(a.size):
            held[j] = 0
        for i in range(size):
            seen[i] = 0
    if changed:
        count = np.uint64(0)
        for i in range(size):  # which ones, without a branch that a processor could not predict
            order[count] = i
            count += np.uint64(row[i] != seen[i])
        for n in range(count):
            i = order[n]
            x = np.int64(row[i]) - np.int64(seen[i])
            seen[i] = row[i]
            # indices without a sign, from which numba leaves out the test for counting from the end: a third of the time
            for k in range(np.uint64(pointers[place + i]), np.uint64(pointers[place + i + 1])):
                held[targets[k]] += np.int64(weights[k]) * x
    if active:
        for j in range(a.size):
            a[j] += held[j] << exponent if exponent >= 0 else held[j] >> -exponent


@jit_inner
def _step_neurons(layer: Any, bias: Any, alive: Any, sums: Any, u: Any, v: Any, row: Any) -> None:
    one = np.int64(1)
    keep_u, keep_v, bar, soft = 4095 * one - layer[3], 4096 * one - layer[4], layer[5] << ALIGN, layer[6] == 1
    for j in range(layer[0], layer[1]):
        if alive[j]:
            u[j], _, row[j], v[j] = lif_step(u[j], v[j], sums[j] << ALIGN, bias[j], keep_u, keep_v, bar, soft)
        else:
            row[j] = 0


@jit_inner
def _step_crossbars(layer: Any, alive: Any, sums: Any, v: Any, row: Any) -> None:
    limit, threshold, leak = np.int64(STATE_MAX), layer[3], layer[4]
    for j in range(layer[0], layer[1]):
        x = min(max(v[j] + sums[j], -limit), limit)
        x = max(x - leak, np.int64(0)) if x > 0 else min(x + leak, np.int64(0))
        fired = x >= threshold
        v[j] = np.int64(0) if fired or not alive[j] else x
        row[j] = fired & alive[j]
