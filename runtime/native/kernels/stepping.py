"""One step of a whole network, one sample: `native.stepping.advance` as a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....hwmodels.crossbar import STATE_MAX
from ....hwmodels.fixed_point import ALIGN
from ....jit import jit
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
    part: Any,
    sent: Any,
) -> None:
    """Advance all populations by their step t; the arrays are those of `native.stepping`, and change where they do there."""
    begin = 0
    for i in range(layers.shape[0]):
        start, stop, end = layers[i, 0], layers[i, 1], layers[i, 7]
        for j in range(start, stop):
            sums[j] = 0
        for q in range(begin, end):
            if t >= arriving[q, 3]:
                _add(t, arriving[q], pointers, targets, weights, sent, part, sums[start:stop])
        begin = end
        row = sent[t % sent.shape[0]]
        if layers[i, 2] == 1:
            _step_crossbars(layers[i], alive, sums, v, row)
        else:
            _step_neurons(layers[i], bias, alive, sums, u, v, row)


@jit
def _add(t: int, projection: Any, pointers: Any, targets: Any, weights: Any, sent: Any, part: Any, a: Any) -> None:
    """a += (W s) << exponent, the synapses of the sources that sent something alone."""
    source, size, exponent, lag, place = projection[0], projection[1], projection[2], projection[3], projection[4]
    row = sent[(t - lag) % sent.shape[0]]
    quiet = True
    for i in range(size):
        x = np.int64(row[source + i])
        if x == 0:
            continue
        if quiet:
            quiet = False
            for j in range(a.size):
                part[j] = 0
        for k in range(pointers[place + i], pointers[place + i + 1]):
            part[targets[k]] += np.int64(weights[k]) * x
    if quiet:
        return
    for j in range(a.size):
        a[j] += part[j] << exponent if exponent >= 0 else part[j] >> -exponent


@jit
def _step_neurons(layer: Any, bias: Any, alive: Any, sums: Any, u: Any, v: Any, row: Any) -> None:
    one = np.int64(1)
    keep_u, keep_v, bar, soft = 4095 * one - layer[3], 4096 * one - layer[4], layer[5] << ALIGN, layer[6] == 1
    for j in range(layer[0], layer[1]):
        if alive[j]:
            u[j], _, row[j], v[j] = lif_step(u[j], v[j], sums[j] << ALIGN, bias[j], keep_u, keep_v, bar, soft)
        else:
            row[j] = 0


@jit
def _step_crossbars(layer: Any, alive: Any, sums: Any, v: Any, row: Any) -> None:
    limit, threshold, leak = np.int64(STATE_MAX), layer[3], layer[4]
    for j in range(layer[0], layer[1]):
        x = min(max(v[j] + sums[j], -limit), limit)
        x = max(x - leak, np.int64(0)) if x > 0 else min(x + leak, np.int64(0))
        fired = x >= threshold
        v[j] = np.int64(0) if fired or not alive[j] else x
        row[j] = fired & alive[j]
