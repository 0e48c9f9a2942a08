"""A block of synapses and what its neurons take of a core: how much of it a core holds at most, and the messages that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..loads.load import Wiring
from .counted import ListBits, bits_of_synapse
from .expansion import Block, Cap, Measure, largest

__all__ = ["SLACK", "Loaded"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
SLACK = 1.0 + 1e-9  # sums of floating-point numbers round


@dataclass(frozen=True)
class Loaded:
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
        axons = volumes, float(self.chip.limit("input_axons")) * SLACK  # a set has at least as many sources as its volume
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
        here = slice(self.block.first, self.block.last)
        return max(float((self.wiring.rates[here] * self.reach[here]).sum()), self._least(self.rated, bits))

    @cached_property
    def rated(self) -> Measure:
        """The block at the rates of its sources."""
        rates = self.wiring.rates[self.block.first : self.block.last]
        if self.sets > 1 and 0 < rates.min() == rates.max():  # the same singular values
            return replace(self.counted, rates=rates, known=self.counted.squares)
        return self.block.measure(self.wiring.rates, self.sets)

    def parts(self, measure: Measure, bits: ListBits) -> Float:
        """Return the volumes of the cores' shares, as unequal as a core's limits allow."""
        return largest(measure.volumes, self._caps(self._full(bits), bits))

    def _least(self, measure: Measure, bits: ListBits) -> float:
        """Return the least cost of the messages, with cores that hold as much as fits."""
        if self.sets == 1 or measure.total <= 0.0:  # one core may hold everything, or nothing is sent
            return measure.total
        return measure.messages(self.parts(measure, bits))

    def _caps(self, full: float, bits: ListBits) -> list[Cap]:
        """Return the caps of a core on the block's targets: bits, neurons, output axons."""
        targets = self.block.targets
        return [
            (self.cost(bits), full),
            (np.ones(targets.size), float(self.chip.limit("neurons"))),
            (self.reach[self.wiring.outside + targets].astype(np.float64), float(self.chip.limit("output_axons"))),
        ]

    def _full(self, bits: ListBits) -> float:
        """Return how many bits of synapses a core holds at most, beside the lists of the sources that these neurons have at least."""
        cost, volumes = self.cost(bits), self.counted.volumes
        room = float(self.chip.limit("synapse_words") * self.chip.word_bits) * SLACK
        order = np.argsort(volumes / cost, kind="stable")
        taken, light = np.append(0.0, np.cumsum(cost[order])), np.append(0.0, np.cumsum(volumes[order]))
        axons = self.chip.limit("input_axons") * SLACK

        def fits(full: float) -> bool:
            received = float(self.counted.received(np.interp([full], taken, light))[0])
            return full + bits.entry * received <= room and received <= axons

        low, high = 0.0, room
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return high * SLACK
