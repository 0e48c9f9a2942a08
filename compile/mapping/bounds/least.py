"""The lower bounds that a mapping is printed beside: those of `counted`, which need no synapse, and the tighter ones of `expansion`.

No core holds more of a block than fits its synapse words together with the lists that so many neurons must at least have, and its input
axons: lists and axons are those of the sources that it receives. That is a full core, and from it follow messages, then lists, words and
axons of all cores. Cores may hold neurons of several layers: messages, lists, words and axons are sums over blocks, whichever core they
are on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..loads.load import Wiring
from .counted import arriving_bound, cores_bound, list_bits, reach_bound
from .expansion import blocks
from .loaded import SLACK, Loaded
from .output_axons import gained

__all__ = ["SYNAPSES", "Least", "cheap", "least"]

Int = NDArray[np.int64]
SYNAPSES = 5_000_000  # above which the bounds by expansion are not computed: some 10 s and 1 GB


@dataclass(frozen=True)
class Least:
    """What any partition needs at least: `cores`, `messages` per step; `cores_for`: cores that some of the limits require."""

    cores: int
    messages: float
    cores_for: dict[str, int] = field(default_factory=dict[str, int], compare=False)


def cheap(wiring: Wiring, chip: Chip) -> Least:
    """Return the bounds by fan-ins and fan-outs alone."""
    return _cheap(wiring, chip, reach_bound(wiring, chip))


def _cheap(wiring: Wiring, chip: Chip, reached: Int) -> Least:
    leaving, arriving = float((wiring.rates * reached).sum()), arriving_bound(wiring, chip, wiring.rates)
    return Least(cores_bound(wiring, chip, reached), max(leaving, arriving))


def least(wiring: Wiring, chip: Chip) -> Least:
    """Return the tightest bounds known: for more than `SYNAPSES` synapses, the `cheap` ones.

    cores >= (bits of lists and synapses of all blocks) / (bits of a core),  lists / input axons,  the chip's own / output axons
    messages >= sum over blocks, and what output axons add to it (`output_axons`)
    """
    reached = reach_bound(wiring, chip)
    plain = _cheap(wiring, chip, reached)
    if wiring.sources.size > SYNAPSES or (plain.cores == 1 and wiring.neurons <= 1):
        return plain
    from .overlap import shared_before  # numba takes a while to import

    shared = shared_before(wiring)
    found = [Loaded(block, wiring, chip, shared, reached) for block in blocks(wiring)]
    size = max(1, wiring.sources.size)
    beside = float(shared.sum()) / size
    guess = list_bits(wiring, chip, sum(each.reached for each in found) / size, beside)
    lists = sum(each.lists(guess) for each in found)
    bits = list_bits(wiring, chip, lists / size, beside)  # how many lists there are says which line is the best
    counts = [each.lists(bits) for each in found]
    needs = {
        "synapse_words": (bits.entry * sum(counts) + sum(float(each.cost(bits).sum()) for each in found)) / chip.word_bits,
        "input_axons": sum(counts),
        "output_axons": sum(count for each, count in zip(found, counts, strict=True) if each.block.first >= wiring.outside),
    }
    cores_for = {name: math.ceil(need / chip.limit(name) / SLACK) for name, need in needs.items()}
    messages = sum(each.messages(bits) for each in found) + gained(found, counts, bits, chip)
    return Least(max(plain.cores, *cores_for.values()), max(plain.messages, messages), cores_for)
