"""Partition of a network of which a user has said something: those neurons stay where he wants them, the others are mapped as ever.

Pinned layers are shared out among their cores. The remaining neurons go to cores of their own; their messages do not depend on the others,
whose spikes then enter from outside: lambda of a source is the sum over both groups of cores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from .api import Effort, Partition
from .given import LEFT, Settled, said_cores
from .loads.load import RESOURCES, Wiring, core_loads, limits
from .partition import partition
from .progress import Progress, quiet
from .refusals import too_large, too_many

Int = NDArray[np.int64]
OUTPUTS = RESOURCES.index("output_axons")

__all__ = ["partition_given"]


def partition_given(
    wiring: Wiring, chip: Chip, given: Settled, *, effort: Effort = "default", seed: int = 0, progress: Progress = quiet
) -> Partition:
    """Assign a core to every neuron, as said in `given`; the other arguments are those of `partition`.

    Raises:
        DoesNotFitError: a core that exceeds a limit, or too many cores; core, need, limit and a way out are named.
    """
    core_of, changes = given.fixed.copy(), list[str]()
    if given.ignored:
        changes.append(f"{given.ignored:,} neurons in {given.where} were removed by the compiler")
    for cores, members in given.pinned:
        core_of[members] = np.asarray(cores)[_shared(wiring, chip, members, cores)]
    strategy = "given"
    left = core_of == LEFT
    if left.any():
        allowed = chip.cores_available - len(np.unique(core_of[~left]))
        found = partition(wiring.part(left), chip, allowed, effort=effort, seed=seed, progress=progress)
        free = np.setdiff1d(np.arange(chip.cores_available), list(given.named))
        if found.core_of.max() >= free.size:
            raise too_many(wiring, chip, f"{int(found.core_of.max()) + 1:,} cores beside those that {given.where} names", free.size)
        core_of[left] = free[found.core_of]
        core_of = _relieved(wiring, chip, core_of, left, free[int(found.core_of.max()) + 1 :], given)
        strategy, changes = f"given + {found.strategy}", [*changes, *found.changes]
    used, dense = np.unique(core_of, return_inverse=True)
    if used.size and used[-1] != used.size - 1:
        changes.append(
            f"cores are numbered without gaps: core {said_cores(used.tolist())} is {said_cores(range(used.size))} in the mapping"
        )
    _check(wiring, chip, dense.astype(np.int64), used, given)
    return Partition(dense.astype(np.int64), strategy, tuple(changes))


def _shared(wiring: Wiring, chip: Chip, members: Int, cores: tuple[int, ...]) -> Int:
    """Return for each pinned neuron the index of its core: evenly if that fits, otherwise one core full after another."""
    from .fill import fill  # numba takes a while to import

    count = min(len(cores), members.size)
    even = np.arange(members.size) * count // max(members.size, 1)
    if not members.size or _fits(_loads(wiring, chip, members, even)[:count], chip):
        return even
    filled, misfit = fill(wiring, chip, members)
    if misfit >= 0:
        raise too_large(wiring, misfit, chip)
    if filled[members].max() < count:
        return filled[members]
    load = _loads(wiring, chip, members, even)[:count]
    core, k = _first_over(load, chip)
    names = ", ".join(layer.name for layer in wiring.layers if ((members >= layer.start) & (members < layer.stop)).any())
    raise DoesNotFitError(
        f"Layer {names} does not fit the cores that it is pinned to, {said_cores(cores)}: shared out evenly, core {cores[core]} needs "
        f"{load[core, k]:,} {_said(k)}; {chip.name} allows {limits(chip)[k]:,}. Pin it to {int(filled[members].max()) + 1} cores or more."
    )


def _loads(wiring: Wiring, chip: Chip, members: Int, cores: Int) -> Int:
    """Return the loads of cores that hold some neurons, output axons left out; the others are on one core after them."""
    core_of = np.full(wiring.neurons, int(cores.max()) + 1)
    core_of[members] = cores
    load = core_loads(wiring, core_of, chip)
    load[:, OUTPUTS] = 0
    return load


def _fits(load: Int, chip: Chip) -> bool:
    return bool((load <= limits(chip)).all())


def _first_over(load: Int, chip: Chip) -> tuple[int, int]:
    """Return the first core that exceeds a limit, and the first limit that it exceeds."""
    core, k = np.argwhere(load > limits(chip))[0].tolist()
    return core, k


def _said(k: int) -> str:
    return RESOURCES[k].replace("_", " ")


def _relieved(wiring: Wiring, chip: Chip, core_of: Int, left: NDArray[np.bool_], free: Int, given: Settled) -> Int:
    """Halve the mapper's cores that have too many output axons, now that those to the cores of the user count, too."""
    while True:
        used, dense = np.unique(core_of, return_inverse=True)
        over = used[core_loads(wiring, dense.astype(np.int64), chip)[:, OUTPUTS] > chip.limit("output_axons")]
        over = [core for core in over if left[core_of == core].all() and np.count_nonzero(core_of == core) > 1]
        if not over:
            return core_of
        if len(over) > free.size:
            raise too_many(wiring, chip, f"{used.size + len(over):,} cores with those that {given.where} names", chip.cores_available)
        core_of = core_of.copy()
        for core, new in zip(over, free, strict=False):
            members = np.flatnonzero(core_of == core)
            core_of[members[members.size // 2 :]] = new
        free = free[len(over) :]


def _check(wiring: Wiring, chip: Chip, core_of: Int, numbers: Int, given: Settled) -> None:
    """Refuse a mapping that exceeds a limit of a core."""
    load = core_loads(wiring, core_of, chip)
    if _fits(load, chip):
        return
    core, k = _first_over(load, chip)
    here = core_of == core
    names = ", ".join(layer.name for layer in wiring.layers if here[layer.start : layer.stop].any())
    raise DoesNotFitError(
        f"Core {numbers[core]} of {given.where} needs {load[core, k]:,} {_said(k)}; {chip.name} allows {limits(chip)[k]:,}. "
        f"It holds neurons of {names}: spread them over more cores."
    )
