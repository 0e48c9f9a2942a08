"""The load of a network on a single core, in NumPy: nothing has to be searched then, and no kernel compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
RUNLENGTH, DENSE = 1, 2  # positions in `load.LAYOUTS`

__all__ = ["load"]


def load(pointers: Int, targets: NDArray[np.int32], outside: int, layouts: Int, word_bits: int) -> Int:
    """Return (5,) neurons, words, input axons, output axons and the longest list, as `kernels.loads` counts them for one core.

    Args:
        pointers, targets: the synapses by source, targets ascending; every neuron is on the core, so targets are local numbers.
        outside: number of sources off chip, which precede the neurons.
        layouts: (formats, 5) kind, bits per entry, per synapse and per skip, synapses per entry.
        word_bits: bits of a memory word.
    """
    counts = np.diff(pointers)
    sending = np.flatnonzero(counts)
    words = _list_words(pointers[sending], counts[sending], targets, layouts, word_bits)
    leaving = np.count_nonzero(counts[outside:])
    return np.array([counts.size - outside, words.sum(), sending.size, leaving, words.max(initial=0)], np.int64)


def _list_words(starts: Int, counts: Int, targets: NDArray[np.int32], layouts: Int, word_bits: int) -> Int:
    """Return the words of each list, in its cheapest format."""
    if not starts.size:
        return np.zeros(0, np.int64)
    gaps = np.diff(targets.astype(np.int64), prepend=0)
    gaps[starts] = 0  # gap from one list to the next
    spans = targets[starts + counts - 1].astype(np.int64) - targets[starts] + 1
    best = np.full(starts.size, np.iinfo(np.int64).max)
    for kind, per_entry, per_synapse, skip, most in layouts.tolist():
        slots = counts
        if kind == RUNLENGTH:
            slots = counts + np.add.reduceat(np.where(gaps > 1, gaps - 1 >> skip, 0), starts)
        elif kind == DENSE:
            slots = np.maximum(counts, spans)
        bits = -(-slots // most) * per_entry + slots * per_synapse
        best = np.minimum(best, -(-bits // word_bits))
    return best
