"""LIF neurons over all steps of a block, and the counts of what they did."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....hwmodels.fixed_point import ALIGN
from ....jit import jit, jit_inner
from .api import run_lanes
from .lanes import SAMPLES, STEPS
from .plain import put
from .step import lif_step


@jit
def lif_any(
    total: Any, n: int, neuron: Any, registers: Any, state: Any, spikes: Any, place: Any, packing: int, block: Any, sums: Any, at: int
) -> None:
    """Do what `run_lanes` does for any decay of the current, inputs of any size and any number of steps, in 64 bits.

    Args:
        total, n, spikes, packing: as `run_lanes` takes them, but sums of 32 or 64 bits.
        neuron: du, dv, vth; and last 1 for a soft reset, where a spike takes the threshold off the potential.
        registers: of `run_lanes`, of which the shifts count.
        state: int32 (limits.STATE_ROWS, lanes), lanes even: the biases, and scratch.
        place: `start`, `pitch` and `steps` of `run_lanes`.
        block: lanes of a neuron, and how many of them hold samples.
        sums: (2, neurons), added to from `at` on: spikes and active updates.
    """
    start, pitch, steps = place
    lanes, filled = block
    live, right, left = total.shape[0], np.int64(registers[0]), np.int64(registers[1])
    bar = np.int64(neuron[2]) << ALIGN
    keep_u, keep_v = np.int64(4095 - neuron[0]), np.int64(4096 - neuron[1])
    kept = state.reshape(state.size)[state.shape[1] :].view(np.int64)  # what is left of a current after one wrap may pass 32 bits
    currents, voltages = kept[:n], kept[state.shape[1] : state.shape[1] + n]
    currents[:] = 0
    voltages[:] = 0
    for t in range(steps):
        for i in range(n):
            a = np.int64(total[t, i]) >> right << left if t < live else np.int64(0)
            u, v, fired, after = lif_step(currents[i], voltages[i], a, np.int64(state[0, i]), keep_u, keep_v, bar, neuron[4])
            currents[i], voltages[i] = u, after
            put(fired, spikes, start, pitch, t, i, packing)
            if i % lanes < filled:
                sums[0, at + i // lanes] += fired
                sums[1, at + i // lanes] += (u != 0) | (v != 0)


@jit_inner
def add_lanes(counts: Any, words: Any, neurons: int, block: Any, sums: Any, at: int) -> None:
    """Add each neuron's lanes that hold samples, of uint8 (2, at least neurons * lanes), to `sums`, (2, neurons), from `at` on.

    `words`: the counts by eight; `block`: lanes of a neuron, and how many of them hold samples.
    """
    mask, one = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)
    lanes, filled = block
    if not filled:  # not needed
        return
    each = lanes // 8
    for kind in range(2):
        if lanes == 1:
            for neuron in range(neurons):
                sums[kind, at + neuron] += counts[kind, neuron]
            continue
        for neuron in range(neurons):
            total = 0
            if filled == lanes and each:  # pairs of bytes in 16 bits, four of them in a word, added up by a product: at most 64 * 255
                pairs = np.uint64(0)
                for i in range(neuron * each, (neuron + 1) * each):
                    pairs += (words[kind, i] & mask) + ((words[kind, i] >> np.uint64(8)) & mask)
                total = np.int64((pairs * one) >> np.uint64(48))
            else:
                for i in range(neuron * lanes, neuron * lanes + filled):
                    total += counts[kind, i]
            sums[kind, at + neuron] += total


@jit
def begin(ordered: Any, value: int) -> int:
    """Return where the numbers from `value` on begin."""
    low, high = 0, ordered.size
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def run_states(
    total: Any,
    neuron: Any,
    registers: Any,
    dead: Any,
    first: int,
    size: int,
    block: Any,
    packing: int,
    state: Any,
    spikes: Any,
    place: Any,
    counts: Any,
    words: Any,
    sums: Any,
) -> None:
    """Run `size` neurons on `total`, (live steps, at least size * lanes). Arrays are not sliced: a slice counts its references.

    Args:
        neuron: du, dv, vth, 1 where `run_lanes` serves (then `total` has 32 bits), and 1 for a soft reset, which it does not have.
        registers: as `run_lanes` takes them.
        dead: int64, neurons that were removed, which neither spike nor count, in order; those that are run here are from `first` on.
        block: lanes of a neuron, and how many of them hold samples.
        state: int32 (limits.STATE_ROWS, as wide as total), the biases, and scratch.
        spikes, packing: as in `run_lanes`; place: its `start`, `pitch` and `steps`.
        counts: uint8 (2, as wide as total), scratch; words: the same by eight.
        sums: (2, neurons), added to from `first` on: spikes and active updates.
    """
    start, pitch, steps = place
    if neuron[3]:
        run_lanes(total, size * block[0], state, registers, spikes, start, pitch, steps, packing, counts)
        add_lanes(counts, words, size, block, sums, first)
    else:
        lif_any(total, size * block[0], neuron, registers, state, spikes, place, packing, block, sums, first)
    each, groups = block[0] // 8 if packing == SAMPLES else block[0], (steps + 7) // 8 if packing == STEPS else steps
    k = begin(dead, first)
    while k < dead.size and dead[k] < first + size:
        j = dead[k]
        k += 1
        sums[0, j] = sums[1, j] = 0
        for t in range(groups):
            at = start + t * pitch + (j - first) * each
            for i in range(at, at + each):
                spikes[i] = 0
