"""LIF neurons over all steps of a block, and the counts of what they did."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ...hwmodels.fixed_point import STATE_LIMIT
from .vectors import run_lanes

_jit = numba.njit(cache=True, nogil=True)


@_jit
def _decayed(state: Any, keep: Any) -> Any:
    """Round  state * keep / 4096  toward zero."""
    product = state * keep
    return (product + ((product >> 63) & 4095)) >> 12


@_jit
def lif_any(total: Any, neuron: Any, registers: Any, state: Any, spikes: Any, lanes: int, filled: int, sums: Any) -> None:
    """Do what `vectors.run_lanes` does for any decay of the current, inputs of any size and any number of steps, in 64 bits.

    Args:
        total: (live steps, at least n) sums, as `run_lanes` takes them but of 32 or 64 bits; later steps get none.
        neuron: du, dv, vth.
        registers: of `run_lanes`, of which the shifts count.
        state: int32 (3, n): the biases, and scratch for u and v.
        spikes: (steps, n) uint8, written.
        sums: (2, neurons), added to: spikes and active updates of the first `filled` lanes.
    """
    live, n, right, left = total.shape[0], state.shape[1], np.int64(registers[0]), np.int64(registers[1])
    limit, bar = np.int64(STATE_LIMIT), np.int64(neuron[2]) << 6
    keep_u, keep_v = np.int64(4095 - neuron[0]), np.int64(4096 - neuron[1])
    state[1:3] = 0
    for t in range(spikes.shape[0]):
        for i in range(n):
            a = np.int64(total[t, i]) >> right << left if t < live else np.int64(0)
            u = _decayed(np.int64(state[1, i]), keep_u) + a
            if u > limit:
                u -= 2 * limit
            elif u <= -limit:
                u += 2 * limit
            v = min(max(_decayed(np.int64(state[2, i]), keep_v) + u + np.int64(state[0, i]), 1 - limit), limit - 1)
            fired = v > bar
            state[1, i] = u
            state[2, i] = 0 if fired else v
            spikes[t, i] = fired
            if i % lanes < filled and i // lanes < sums.shape[1]:
                sums[0, i // lanes] += fired
                sums[1, i // lanes] += (u != 0) | (v != 0)


@_jit
def add_lanes(counts: Any, words: Any, lanes: int, filled: int, sums: Any) -> None:
    """Add the first `filled` lanes' counts, uint8 (2, at least neurons * lanes), to `sums`, (2, neurons). `words`: the counts by eight."""
    mask, one = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)
    each = lanes // 8
    for kind in range(2):
        for neuron in range(sums.shape[1]):
            total = 0
            if filled == lanes:  # pairs of bytes in 16 bits, four of them in a word, added up by a product: at most 64 * 255
                pairs = np.uint64(0)
                for i in range(neuron * each, (neuron + 1) * each):
                    pairs += (words[kind, i] & mask) + ((words[kind, i] >> np.uint64(8)) & mask)
                total = np.int64((pairs * one) >> np.uint64(48))
            else:
                for i in range(neuron * lanes, neuron * lanes + filled):
                    total += counts[kind, i]
            sums[kind, neuron] += total


@_jit
def run_states(
    total: Any, neuron: Any, registers: Any, flags: Any, lanes: int, state: Any, spikes: Any, counts: Any, words: Any, filled: int, sums: Any
) -> None:
    """Run neurons on `total`, (live steps, neurons * lanes).

    Args:
        neuron: du, dv, vth, and 1 where `run_lanes` serves (then `total` has 32 bits).
        registers: as `run_lanes` takes them.
        flags: (neurons,) uint8, 0 for those that were removed: they neither spike nor count.
        state: int32 (3, n); its first row holds the biases.
        spikes: uint8 (steps, neurons * lanes); counts: uint8 (2, neurons * lanes), scratch; words: the same by eight.
        filled: lanes that hold samples.
        sums: (2, neurons), added to: spikes and active updates.
    """
    if neuron[3]:
        run_lanes(total, state[0], registers, spikes, counts)
        add_lanes(counts, words, lanes, filled, sums)
    else:
        lif_any(total, neuron, registers, state, spikes, lanes, filled, sums)
    for j in range(flags.size):
        if not flags[j]:
            spikes[:, j * lanes : (j + 1) * lanes] = 0
            sums[:, j] = 0
