"""How alike the inputs of neurons are: what a list of consecutive targets can save."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....jit import jit
from ..loads.load import Wiring

__all__ = ["WORK", "shared_before"]

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
WORK = 600_000_000  # pairs of synapses of a source that are looked at: two seconds


def shared_before(wiring: Wiring) -> Int:
    """Return, per neuron, the most groups of synapses that it shares with any neuron of a lower number: (neurons,).

    Of two neurons with consecutive numbers on a core, so many lists at most hold both. Where the pairs are more than `WORK`, its
    synapses, which is never less.
    """
    pointers, targets = wiring.by_group
    counts = np.diff(pointers)
    if int((counts * (counts - 1) // 2).sum()) > WORK:
        return np.diff(wiring.indptr).astype(np.int64)
    most = np.zeros(wiring.neurons, np.int64)
    _shared(wiring.indptr, wiring.groups, pointers, targets, np.zeros(wiring.neurons, np.int32), most)
    return most


@jit
def _shared(indptr: Int, groups: Int32, pointers: Int, targets: Int32, seen: Int32, most: Int) -> None:
    """Write to `most`; `seen`: (neurons,) zeros, of which those below the last neuron are used."""
    for v in range(indptr.size - 1):
        visited, top = 0, 0
        for j in range(indptr[v], indptr[v + 1]):
            group = groups[j]
            for i in range(pointers[group], pointers[group + 1]):
                other = targets[i]
                if other >= v:
                    break
                count = seen[other] + 1
                seen[other] = count
                top = max(top, count)
                visited += 1
        most[v] = top
        if visited > v // 16:  # few pairs are undone one by one
            seen[:v] = 0
            continue
        for j in range(indptr[v], indptr[v + 1]):
            group = groups[j]
            for i in range(pointers[group], pointers[group + 1]):
                other = targets[i]
                if other >= v:
                    break
                seen[other] = 0
