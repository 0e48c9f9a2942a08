"""Partition: neurons to cores, such that few messages are sent and no limit of a core is exceeded.

The objective is messages per step,  sum over sources of rate * distinct target cores. If one core holds everything, no
search is needed; otherwise see `search`.
"""

from __future__ import annotations

import numpy as np

from ...hwmodels.chip import Chip
from .api import Effort, Partition, check_effort
from .bounds.counted import cores_bound
from .loads.load import Wiring, holds
from .progress import Progress, quiet
from .refusals import too_many


def partition(
    wiring: Wiring, chip: Chip, cores_allowed: int, *, effort: Effort = "default", seed: int = 0, progress: Progress = quiet
) -> Partition:
    """Assign a core to every neuron of the chip.

    Args:
        cores_allowed: cores available on all chips together.
        effort: `fast`: orders and tiles, filled greedily; `default`: refined; `best`: every strategy, refined for longer.
        seed: of the refinement; the same seed gives the same partition.
        progress: called now and then with the current stage and the share of it that is complete.

    Raises:
        UsageError: an unknown effort.
        DoesNotFitError: a single neuron exceeds a core, or the network exceeds the chip; layer, limit, need and a way out are named.
    """
    check_effort(effort)
    if not wiring.neurons:
        return Partition(np.zeros(0, np.int64), "none")
    least = cores_bound(wiring, chip)
    if least > cores_allowed:
        raise too_many(wiring, chip, f"at least {least:,} cores", cores_allowed)
    together = np.zeros(wiring.neurons, np.int64)
    if least == 1 and holds(wiring, chip, together):  # each source then sends one message, the optimum
        return Partition(together, "layers")
    from .search import search  # numba takes a while to import

    return search(wiring, chip, cores_allowed, effort, seed, progress)
