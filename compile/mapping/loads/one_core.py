"""The load of a network on a single core, in NumPy: nothing has to be searched then, and no kernel compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
RUNLENGTH, DENSE = 1, 2  # positions in `load.LAYOUTS`

__all__ = ["bits_by_format", "load", "local_numbers"]


def load(pointers: Int, targets: NDArray[np.int32], kinds: int, outside: int, layouts: Int, word_bits: int) -> Int:
    """Return (5,) neurons, words, input axons, output axons and the longest list, as `kernels.loads` counts them for one core.

    Args:
        pointers, targets: the synapses by group, targets ascending; every neuron is on the core, so targets are local numbers.
        kinds: groups for each source.
        outside: number of sources off chip, which precede the neurons.
        layouts: (formats, 5) kind, bits per entry, per synapse and per skip, synapses per entry.
        word_bits: bits of a memory word.
    """
    counts = np.diff(pointers)
    filled = np.flatnonzero(counts)
    bits = np.zeros(counts.size, np.int64)
    bits[filled] = list_bits(pointers[filled], counts[filled], targets, layouts)
    words = -(-bits.reshape(-1, kinds).sum(axis=1) // word_bits)
    sending = words > 0
    leaving = np.count_nonzero(sending[outside:])
    return np.array([sending.size - outside, words.sum(), sending.sum(), leaving, words.max(initial=0)], np.int64)


def list_bits(starts: Int, counts: Int, targets: NDArray[np.int32], layouts: Int) -> Int:
    """Return the bits of the entries of each group of synapses, `targets` ascending from `starts`, in its cheapest format."""
    return bits_by_format(starts, counts, targets, layouts).min(axis=0)


def bits_by_format(starts: Int, counts: Int, targets: NDArray[Any], layouts: Int) -> Int:
    """Return the bits of the entries of each group in each format, (formats, groups)."""
    bits = np.zeros((len(layouts), starts.size), np.int64)
    if not starts.size:
        return bits
    gaps = np.diff(targets.astype(np.int64), prepend=0)
    gaps[starts] = 0  # gap from one group to the next
    spans = targets[starts + counts - 1].astype(np.int64) - targets[starts] + 1
    for row, (kind, per_entry, per_synapse, skip, most) in zip(bits, layouts.tolist(), strict=True):
        slots = counts
        if kind == RUNLENGTH:
            slots = counts + np.add.reduceat(np.where(gaps > 1, gaps - 1 >> skip, 0), starts)
        elif kind == DENSE:
            slots = spans
        row[:] = -(-slots // most) * per_entry + slots * per_synapse
    return bits


def local_numbers(core_of: Int, cores: int) -> Int:
    """Return the number of each neuron among those of its core, in their order: (neurons,)."""
    order, held = np.argsort(core_of, kind="stable"), np.bincount(core_of, minlength=cores)
    local = np.empty(core_of.size, np.int64)
    local[order] = np.arange(core_of.size) - np.repeat(np.cumsum(held) - held, held)
    return local
