"""Neurons that receive nothing: the messages do not depend on their core, so they fill the room that the others leave free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ....jit import jit
from ..loads.load import RESOURCES, Wiring, core_loads, limits

Int = NDArray[np.int64]
NEURONS, OUTPUTS = RESOURCES.index("neurons"), RESOURCES.index("output_axons")


def settle(wiring: Wiring, chip: Chip, core_of: Int) -> Int:
    """Return the partition with neurons without synapses moved to cores with free room; unchanged if that needs more cores.

    Those that reach the most cores come first, each on the first core with room for a neuron and for that many output axons.
    """
    silent = np.flatnonzero(np.diff(wiring.indptr) == 0)
    if not silent.size or silent.size == wiring.neurons:
        return core_of
    reach = wiring.reach(core_of)[wiring.outside :]
    load = core_loads(wiring, core_of, chip)[:, [NEURONS, OUTPUTS]]
    np.subtract.at(load[:, 0], core_of[silent], 1)
    np.subtract.at(load[:, 1], core_of[silent], reach[silent])
    used = np.concatenate([np.flatnonzero(load[:, 0] > 0), np.flatnonzero(load[:, 0] == 0)])  # cores that hold only such neurons come last
    order, found = silent[np.argsort(-reach[silent], kind="stable")], core_of.copy()
    if not _place(order, reach, load, limits(chip)[[NEURONS, OUTPUTS]], used, found):
        return core_of
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


@jit
def _place(order: Int, reach: Int, load: Int, most: Int, cores: Int, core_of: Int) -> bool:
    """Place the neurons of `order`, by descending reach; False if one finds no room."""
    k, last = 0, -1
    for v in order:
        if reach[v] != last:  # a core without room for the previous neurons may have room for this one
            k, last = 0, reach[v]
        while k < cores.size and (load[cores[k], 0] >= most[0] or load[cores[k], 1] + reach[v] > most[1]):
            k += 1
        if k == cores.size:
            return False
        core_of[v] = cores[k]
        load[cores[k], 0] += 1
        load[cores[k], 1] += reach[v]
    return True
