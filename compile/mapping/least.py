"""The lower bounds that a mapping is printed beside: those of `bounds`, which need no synapse, and those of `expansion`, which are tighter.

No core holds more of a block than fits its synapse words together with the lists that so many neurons must at least have, and its input
axons: lists and axons are the sources that it hears. That is a full core, and from it follow messages, then lists, words and axons of all
cores. Cores may hold neurons of several layers: messages, lists, words and axons are sums over blocks, whichever core they are on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.chip import Chip
from .bounds import ListBits, arriving_bound, bits_of_synapse, cores_bound, list_bits, reach_bound
from .expansion import Block, Cap, Measure, blocks, largest
from .load import Wiring

__all__ = ["SYNAPSES", "Least", "cheap", "least"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
SYNAPSES = 20_000_000  # above which the bounds by expansion are not computed
SLACK = 1.0 + 1e-9  # sums of floating-point numbers round


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
    messages >= sum over blocks
    """
    reached = reach_bound(wiring, chip)
    plain = _cheap(wiring, chip, reached)
    if wiring.sources.size > SYNAPSES or (plain.cores == 1 and wiring.neurons <= 1):
        return plain
    from .overlap import shared_before  # numba takes a while to import

    shared = shared_before(wiring)
    found = [_Loaded(block, wiring, chip, shared, reached) for block in blocks(wiring)]
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
    return Least(max(plain.cores, *cores_for.values()), max(plain.messages, sum(each.messages(bits) for each in found)), cores_for)


@dataclass(frozen=True)
class _Loaded:
    """A block and what its neurons take of a core: `shared` and `reach` as of all neurons and sources of the wiring."""

    block: Block
    wiring: Wiring
    chip: Chip
    shared: Int
    reach: Int

    @cached_property
    def sets(self) -> int:
        """The fewest sets that the limits of a core allow, by the bits of synapses alone."""
        bits = ListBits(0.0, bits_of_synapse(self.wiring.weight_bits, self.chip), 0.0)
        volumes = self.block.measure(np.ones(self.wiring.rates.size), 1).volumes
        room = float(self.chip.limit("synapse_words") * self.chip.word_bits) * SLACK
        axons = volumes, float(self.chip.limit("input_axons")) * SLACK  # a set hears as many sources at least as its volume
        return largest(volumes, [*self._caps(room, bits), axons]).size

    @cached_property
    def counted(self) -> Measure:
        """The block if each source fires once."""
        return self.block.measure(np.ones(self.wiring.rates.size), self.sets)

    @property
    def reached(self) -> float:
        """Lists, by `reach_bound`."""
        return float(self.reach[self.block.first : self.block.last].sum())

    def cost(self, bits: ListBits) -> Float:
        """Return the fewest bits that the synapses of each target take beside their lists' own: (targets,)."""
        synapses = self.block.synapses
        return np.maximum(bits.synapse * synapses - bits.beside * np.minimum(self.shared[self.block.targets], synapses), 1e-9)

    def lists(self, bits: ListBits) -> float:
        """Return the least number of pairs of a source and a core."""
        return max(self.reached, self._least(self.counted, bits))

    def messages(self, bits: ListBits) -> float:
        """Return the least messages per step."""
        rates = self.wiring.rates[self.block.first : self.block.last]
        by_reach = float((rates * self.reach[self.block.first : self.block.last]).sum())
        if rates.size and rates.min() == rates.max():
            return float(rates[0]) * self.lists(bits)
        return max(by_reach, self._least(self.block.measure(self.wiring.rates, self.sets), bits))

    def _least(self, measure: Measure, bits: ListBits) -> float:
        """Return the least cost of the messages, with cores that hold as much as fits."""
        if self.sets == 1:  # one core may hold everything
            return measure.total
        return measure.messages(largest(measure.volumes, self._caps(self._full(bits), bits)))

    def _caps(self, full: float, bits: ListBits) -> list[Cap]:
        """Return the caps of a core on the block's targets: bits, neurons, output axons."""
        targets = self.block.targets
        return [
            (self.cost(bits), full),
            (np.ones(targets.size), float(self.chip.limit("neurons"))),
            (self.reach[self.wiring.outside + targets].astype(np.float64), float(self.chip.limit("output_axons"))),
        ]

    def _full(self, bits: ListBits) -> float:
        """Return how many bits of synapses a core holds at most, beside the lists of the sources that these neurons hear at least."""
        cost, volumes = self.cost(bits), self.counted.volumes
        room = float(self.chip.limit("synapse_words") * self.chip.word_bits) * SLACK
        order = np.argsort(volumes / cost, kind="stable")
        taken, light = np.append(0.0, np.cumsum(cost[order])), np.append(0.0, np.cumsum(volumes[order]))
        axons = self.chip.limit("input_axons") * SLACK

        def fits(full: float) -> bool:
            heard = float(self.counted.heard(np.interp([full], taken, light))[0])
            return full + bits.entry * heard <= room and heard <= axons

        low, high = 0.0, room
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return high * SLACK
