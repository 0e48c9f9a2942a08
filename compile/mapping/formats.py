"""Which synapses of a partition are held in entries of the dense format, which models may price apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...hwmodels.chip import Chip
from .load import LAYOUTS, Wiring, layouts, local_numbers
from .one_core import bits_by_format

__all__ = ["dense_synapses"]


def dense_synapses(wiring: Wiring, core_of: NDArray[np.int64], chip: Chip) -> Any:
    """Return the synapses of each source on each core that are read from entries of the dense format, (cores, sources) CSR."""
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
    return sp.csr_array((counts[dense], (core[starts][dense], group[starts][dense] // wiring.most_kinds)), shape=shape)
