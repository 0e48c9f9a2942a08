"""What a set of neurons costs a core, counted as the chip's formats really encode it.

Neurons have global numbers: the chip's populations in order. Sources have their own: first whatever enters from off chip
(the input, or host populations), then the chip's neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.chip import Chip, SynapseFormat
from ..network import Network, Population, row_pointers

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Wiring:
    """All synapses of the chip as one CSR: row = neuron, column = source; `outside` sources enter from off chip.

    `rates`: messages that each source sends per time step, if its targets were on one core.
    """

    indptr: Int
    sources: Int
    outside: int
    neurons: int
    rates: NDArray[np.float64]
    weight_bits: int

    @classmethod
    def of(cls, network: Network, rates: NDArray[np.float64]) -> Wiring:
        """Collect the wiring of `network`, every synapse one by one, without the neurons that were removed.

        Args:
            rates: (sources,) per time step, the live neurons of `network.senders` in their order.
        """
        network = network.flat.network
        senders, chip = network.senders, network.on_chip
        first_source = _starts(senders)
        first_row = _starts(chip)
        projections = [p for p in network.projections if p.target in first_row]
        neurons = sum(p.size for p in chip)
        none = [np.zeros(0, np.int64)]
        rows = np.concatenate([p.synapses.unrolled().rows + first_row[p.target] for p in projections] or none)
        columns = np.concatenate([p.synapses.unrolled().indices.astype(np.int64) + first_source[p.source] for p in projections] or none)
        order = np.lexsort((columns, rows))
        bits = max((p.weight_bits or 0 for p in projections), default=1)
        outside = sum(p.size for p in senders) - neurons
        return cls(row_pointers(rows, neurons), columns[order], outside, neurons, rates, bits)

    @cached_property
    def rows(self) -> Int:
        """The neuron of each synapse, in the order of `sources`."""
        return np.repeat(np.arange(self.neurons), np.diff(self.indptr))

    @cached_property
    def fan_out(self) -> Int:
        """Synapses that leave each source."""
        return np.bincount(self.sources, minlength=self.outside + self.neurons)

    def core_pairs(self, core_of: Int) -> tuple[Int, Int]:
        """Return the distinct (source, core) pairs: each is one input axon, and one message whenever the source spikes."""
        cores = int(core_of.max(initial=-1)) + 1
        keys = np.unique(self.sources * max(cores, 1) + core_of[self.rows])
        return keys // max(cores, 1), keys % max(cores, 1)


def _starts(populations: tuple[Population, ...]) -> dict[str, int]:
    """Return, by population, the number of its first neuron when they are numbered one after another."""
    ends = np.cumsum([p.size for p in populations]).tolist()
    return {p.name: end - p.size for p, end in zip(populations, ends, strict=True)}


@dataclass(frozen=True)
class CoreLoad:
    """What one core holds, against the limits of the same names. `words_per_axon`: its longest synapse list."""

    neurons: int
    synapse_words: int
    input_axons: int
    words_per_axon: int

    def breach(self, chip: Chip) -> str | None:
        """Return the name of the first limit that is exceeded, or None."""
        return next((n for n in ("neurons", "synapse_words", "input_axons", "words_per_axon") if getattr(self, n) > chip.limit(n)), None)


def range_load(wiring: Wiring, start: int, stop: int, chip: Chip) -> CoreLoad:
    """Return what the neurons start..stop-1 cost when they share a core, local targets numbered from 0."""
    low, high = wiring.indptr[start], wiring.indptr[stop]
    columns = wiring.sources[low:high]
    local = np.repeat(np.arange(stop - start), np.diff(wiring.indptr[start : stop + 1]))
    order = np.argsort(columns, kind="stable")  # rows stay rising within a source
    columns, local = columns[order], local[order]
    if not columns.size:
        return CoreLoad(stop - start, 0, 0, 0)
    first = np.flatnonzero(np.concatenate([[True], columns[1:] != columns[:-1]]))
    words = list_words(local, first, wiring.weight_bits, chip)
    return CoreLoad(stop - start, int(words.sum()), len(first), int(words.max()))


def list_words(local: Int, first: Int, weight_bits: int, chip: Chip) -> Int:
    """Return the memory words of each synapse list, in the cheapest format of the chip.

    Args:
        local: target numbers on the core, rising within each list, lists one after another.
        first: where each list starts in `local`.
        weight_bits: bits of a weight.
    """
    ends = np.concatenate([first[1:], [local.size]])
    count = ends - first
    gaps = np.diff(local, prepend=local[:1])
    gaps[first] = local[first] + 1
    best = np.full(first.size, np.iinfo(np.int64).max)
    for layout in chip.formats:
        if layout.name == "dense":
            slots = local[ends - 1] - local[first] + 1
        elif layout.name == "runlength":  # a gap beyond the skip field costs zero-weight fillers
            fillers = (np.maximum(gaps, 1) - 1) >> layout.index_bits
            fillers[first] = 0  # the index field names the first target
            slots = count + np.add.reduceat(fillers, first)
        else:
            slots = count
        best = np.minimum(best, format_words(slots, layout, weight_bits, chip.word_bits))
    return best


def format_words(slots: Int, layout: SynapseFormat, weight_bits: int, word_bits: int) -> Int:
    """Return the words of lists of `slots` synapses: entries of a prefix and up to 60 synapses, rounded up to words."""
    entries = -(-slots // layout.synapses_per_entry)
    bits = entries * (layout.prefix_bits + layout.index_field_bits) + slots * (weight_bits + layout.index_bits)
    return -(-bits // word_bits)
