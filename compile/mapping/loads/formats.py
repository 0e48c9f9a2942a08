"""Which synapses of a partition are read from the dense format, or from lists that sources share: models may price them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ....hwmodels.prices import EnergyModel, TimeModel
from .load import LAYOUTS, Wiring, layouts
from .one_core import bits_by_format, local_numbers

__all__ = ["dense_synapses", "priced_apart", "shared_synapses"]


def dense_synapses(wiring: Wiring, core_of: NDArray[np.int64], chip: Chip) -> Any:
    """Return the synapses of each source on each core that are read from entries of the dense format, (cores, sources) CSR.

    Those of lists that several sources share are not among them.
    """
    cores = int(core_of.max(initial=0)) + 1
    shape = (cores, wiring.outside + wiring.neurons)
    if not any(f.name == "dense" for f in chip.formats):
        return sp.csr_array(shape, dtype=np.int64)
    pointers, targets = wiring.by_group
    group, core = np.repeat(np.arange(pointers.size - 1), np.diff(pointers)), core_of[targets]
    local = local_numbers(core_of, cores)
    kept = np.lexsort((local[targets], group, core))
    group, core = group[kept], core[kept]
    starts = np.flatnonzero(np.diff(group, prepend=-1) | np.diff(core, prepend=-1))
    counts = np.diff(starts, append=group.size)
    chosen = bits_by_format(starts, counts, local[targets[kept]], layouts(wiring.weight_bits, chip)).argmin(axis=0)
    kinds = np.array([LAYOUTS.index(f.name) for f in chip.formats])[chosen]
    dense = kinds == LAYOUTS.index("dense")
    found = sp.csr_array((counts[dense], (core[starts][dense], group[starts][dense] // wiring.most_kinds)), shape=shape)
    if chip.shared_lists is None:
        return found
    return sp.csr_array(found - found.multiply(shared_synapses(wiring, core_of, chip) > 0))


def shared_synapses(wiring: Wiring, core_of: NDArray[np.int64], chip: Chip) -> Any:
    """Return the synapses of each source on each core that are read from a list that several sources share, (cores, sources) CSR."""
    shape = (int(core_of.max(initial=0)) + 1, wiring.outside + wiring.neurons)
    if wiring.labels is None:
        return sp.csr_array(shape, dtype=np.int64)
    lists = wiring.lists(core_of, chip)
    several = lists.users > 1
    return sp.csr_array((lists.synapses[several], (lists.core[several], lists.source[several])), shape=shape)


def priced_apart(wiring: Wiring, core_of: NDArray[np.int64], chip: Chip, prices: EnergyModel | TimeModel) -> list[tuple[Any, float]]:
    """Return the synapses that have a price of their own, (cores, sources), and by how much it is above that of the others."""
    found: list[tuple[Any, float]] = []
    if prices.synaptic_op_dense is not None:
        found.append((dense_synapses(wiring, core_of, chip), prices.synaptic_op_dense.value - prices.synaptic_op.value))
    if prices.synaptic_op_shared is not None:
        found.append((shared_synapses(wiring, core_of, chip), prices.synaptic_op_shared.value - prices.synaptic_op.value))
    return found
