"""What output axons add to the bound on messages: neurons that reach many cores cannot share one, so their sources reach more.

Block A ends at the neurons of a layer and block B begins there. On a core, the neurons X of the layer have  sum of lambda(v) <= A  output
axons. If C cores hold targets of B, lambda(v) <= C; so with  l(v) = min(lambda(v), C vol(v) / m),  m the mean volume in A,

    sum over X of l(v)  <=  min(A, C vol(X) / m)
    sum of l(v)         >=  messages of B - C (sum over v of max(0, 1 - vol(v) / m) + neurons of the layer that A does not reach)

For concave received(x), x up to V:  received(x) >= a x + b min(A, C x / m)  with the line a x + b A through x = A m / C and x = V, so that
in all

    messages of A  >=  a R_A + b sum of l(v),    and    messages of B  >=  sigma R_B + delta C

since each of the C cores receives at least what its one neuron does; that line is a chord of received(x) in B. The least over all C is
the bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from .counted import ListBits
from .expansion import Measure
from .loaded import Loaded

__all__ = ["gained"]

Float = NDArray[np.float64]
FURTHER = 20  # times the fewest cores: numbers of cores that are looked at one by one


def gained(found: Sequence[Loaded], lists: Sequence[float], bits: ListBits, chip: Chip) -> float:
    """Return what messages are more than the sum of the blocks' bounds; each block counts in one pair at most.

    Args:
        lists: bounds on the pairs of a source and a core, of each block.
    """
    begins = {each.block.first: number for number, each in enumerate(found)}
    used: set[int] = set()
    total = 0.0
    for number, each in enumerate(found):
        layer = next((n for n in each.wiring.layers if n.start <= each.block.targets[0] and each.block.targets[-1] < n.stop), None)
        second = None if layer is None else begins.get(each.wiring.outside + layer.start)
        if layer is None or second is None or second == number or {number, second} & used:
            continue
        missing = layer.stop - layer.start - each.block.targets.size
        more = _gain(each, found[second], lists[second], missing, bits, chip)
        if more > 0.0:
            used |= {number, second}
            total += more
    return total


def _gain(a: Loaded, b: Loaded, lists: float, missing: int, bits: ListBits, chip: Chip) -> float:
    if min(a.sets, b.sets) == 1 or min(a.rated.total, b.rated.total) <= 0.0:
        return 0.0
    limit, volumes = float(chip.limit("output_axons")), a.rated.volumes
    mean = float(volumes.mean())
    lost = float(np.maximum(0.0, 1.0 - volumes / mean).sum()) + missing
    fewest = b.parts(b.counted, bits).size
    cores = np.arange(fewest, FURTHER * fewest + 2, dtype=np.float64)
    sent = np.maximum(lists, _by_cores(b.counted, b.parts(b.counted, bits)[0], cores)) - cores * lost
    most, joint = a.parts(a.rated, bits)[0], limit * mean / cores
    low, high = a.rated.received(joint), float(a.rated.received(np.array([most]))[0])
    slope = np.where(joint < most, (high - low) / np.where(joint < most, most - joint, 1.0), 0.0)
    first = np.where(joint < most, slope * a.rated.total + (low - slope * joint) / limit * np.maximum(sent, 0.0), 0.0)
    plain = a.messages(bits), b.messages(bits)
    second = np.maximum(plain[1], _by_cores(b.rated, b.parts(b.rated, bits)[0], cores))
    first = np.append(np.maximum(plain[0], first)[:-1], plain[0])  # the last stands for all further numbers of cores
    return float((first + second).min()) * (1.0 - 1e-9) - sum(plain)


def _by_cores(measure: Measure, most: float, cores: Float) -> Float:
    """Return the least messages of a block on so many cores, of which each has a volume of `most` at most."""
    one = min(measure.least_of_one, float(measure.received(np.array([most]))[0]))
    second = measure.squares[1]
    start = one * second / (1.0 - (1.0 - second) * one / measure.total) if one < measure.total else most
    if start >= most or second <= 0.0:
        return cores * 0.0
    slope = (float(measure.received(np.array([most]))[0]) - one) / (most - start)
    return slope * measure.total + (one - slope * start) * cores
