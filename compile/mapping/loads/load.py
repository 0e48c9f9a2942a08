"""The resources that the neurons on each core use, counted as the chip's formats really encode their synapses.

Neurons are numbered globally: the chip's populations in order. Sources are numbered separately: first those off chip
(the input, or host populations), then the chip's neurons. The neurons of a core have local numbers in the order of their
global ones, so a partition is fully described by the core of each neuron.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ....hwmodels.chip import Chip, SynapseFormat
from ....network.model import Network, Population, Projection, row_pointers
from . import one_core

if TYPE_CHECKING:
    from .shared_lists import Lists

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
RESOURCES = ("neurons", "synapse_words", "input_axons", "output_axons", "words_per_axon")
WEIGHT_RANGE = 16  # bits that tell weights apart in a label
LAYOUTS = ("sparse", "runlength", "dense")


@dataclass(frozen=True)
class Layer:
    """A population on the chip: its neurons are start..stop-1, taken from a map of `shape`."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]

    @property
    def is_map(self) -> bool:
        """Whether it has neurons and a map with more than one position."""
        return len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1 and self.stop > self.start


@dataclass(frozen=True)
class Wiring:
    """All synapses of the chip as one CSR: row = neuron, column = source, ascending within a row; `outside` sources enter from off chip.

    `rates`: messages that each source would send per time step if its targets were on one core. `layers`: the populations on the chip;
    `places`: (neurons,) flat index of each neuron in its layer's shape. An entry of a synapse list has one exponent and one delay, so the
    synapses of a source that differ in them are of different kinds, which are encoded in entries of their own: `kinds`: (synapses,) the
    kind of each, from 0 for each source, None where all have one; `most_kinds`: the number of kinds of a source at most.
    `labels`: (synapses,) what lists that are shared must agree in: equal where weight, exponent and delay are equal; None where the chip
    shares no lists.
    """

    indptr: Int
    sources: Int32
    outside: int
    neurons: int
    rates: NDArray[np.float64]
    weight_bits: int
    layers: tuple[Layer, ...]
    places: Int32
    kinds: NDArray[np.int8] | None = field(default=None, kw_only=True)
    most_kinds: int = field(default=1, kw_only=True)
    labels: Int32 | None = field(default=None, kw_only=True)

    def stored_on(self, chip: Chip) -> Wiring:
        """Return this wiring with the weight widths that the chip's memory uses."""
        return replace(self, weight_bits=chip.stored_bits(self.weight_bits))

    @classmethod
    def of(cls, network: Network, rates: NDArray[np.float64], *, labelled: bool = False) -> Wiring:
        """Collect the wiring of `network`, synapse by synapse, without the neurons that were removed.

        Args:
            rates: (sources,) per time step, the live neurons of `network.senders` in their order.
            labelled: whether to collect `labels`, for a chip that shares lists.
        """
        shapes = network.on_chip
        network = network.flat.network
        senders, chip = network.senders, network.on_chip
        first_source = _starts(senders)
        first_row = _starts(chip)
        projections = [p for p in network.projections if p.target in first_row]
        neurons = sum(p.size for p in chip)
        none = [np.zeros(0, np.int64)]
        rows = np.concatenate([p.synapses.unrolled().rows + first_row[p.target] for p in projections] or none)
        columns = np.concatenate([p.synapses.unrolled().indices.astype(np.int64) + first_source[p.source] for p in projections] or none)
        bits = max((p.weight_bits or 0 for p in projections), default=1)
        outside = sum(p.size for p in senders) - neurons
        kind_of = kinds_of(projections)
        most = max(kind_of.values(), default=0) + 1
        if most > 1:
            columns = columns * most + np.concatenate([np.full(p.synapses.count, kind_of[p.name]) for p in projections])
        indptr = row_pointers(rows, neurons)
        labels = None
        if labelled:
            order = np.lexsort((columns, rows))
            sources, labels = columns[order].astype(np.int32), _labels(projections)[order]
        else:
            sources = columns[np.argsort(rows, kind="stable")].astype(np.int32)
            _sort_rows(indptr, sources)
        kinds = None if most == 1 else (sources % most).astype(np.int8)
        sources = sources if most == 1 else sources // np.int32(most)
        layers = tuple(Layer(p.name, first_row[p.name], first_row[p.name] + p.count, p.shape) for p in shapes)
        places = np.concatenate([np.flatnonzero(p.living).astype(np.int32) for p in shapes] or [np.zeros(0, np.int32)])
        return cls(indptr, sources, outside, neurons, rates, bits, layers, places, kinds=kinds, most_kinds=most, labels=labels)

    def part(self, kept: NDArray[np.bool_]) -> Wiring:
        """Return the synapses that end at some of the neurons, (neurons,) of which `kept` are; the others become sources off chip."""
        number = np.empty(self.outside + self.neurons, np.int64)
        outside = np.concatenate([np.ones(self.outside, np.bool_), ~kept])
        number[outside], number[~outside] = np.arange(outside.sum()), np.arange(outside.sum(), outside.size)
        rates = np.empty_like(self.rates)
        rates[number] = self.rates
        chosen = kept[self.rows]
        most = self.most_kinds
        groups = number[self.sources[chosen]] * most + (0 if self.kinds is None else self.kinds[chosen])
        indptr = np.concatenate([[0], np.cumsum(np.diff(self.indptr)[kept])]).astype(np.int64)
        groups, labels = groups.astype(np.int32), None
        if self.labels is None:
            _sort_rows(indptr, groups)
        else:
            order = np.lexsort((groups, self.rows[chosen]))
            groups, labels = groups[order], self.labels[chosen][order]
        before = np.concatenate([[0], np.cumsum(kept)])
        layers = (Layer(n.name, int(before[n.start]), int(before[n.stop]), n.shape) for n in self.layers)
        return replace(
            self,
            indptr=indptr,
            sources=groups // np.int32(most),
            outside=int(outside.sum()),
            neurons=int(kept.sum()),
            rates=rates,
            layers=tuple(layer for layer in layers if layer.stop > layer.start),
            places=self.places[kept],
            kinds=None if self.kinds is None else (groups % most).astype(np.int8),
            labels=labels,
        )

    @cached_property
    def rows(self) -> Int:
        """The neuron of each synapse, in the order of `sources`."""
        return np.repeat(np.arange(self.neurons), np.diff(self.indptr))

    @cached_property
    def fan_out(self) -> Int:
        """Synapses that leave each source."""
        return np.bincount(self.sources, minlength=self.outside + self.neurons).astype(np.int64)

    @cached_property
    def groups(self) -> Int32:
        """The group of each synapse, in the order of `sources`:  source * most_kinds + kind."""
        return self.sources if self.kinds is None else self.sources * np.int32(self.most_kinds) + self.kinds.astype(np.int32)

    @cached_property
    def by_group(self) -> tuple[Int, Int32]:
        """The synapses by group: row pointers (sources * most_kinds + 1,), and the targets of each group, ascending."""
        size = (self.outside + self.neurons) * self.most_kinds
        pattern = _pattern(self.indptr, self.groups, (self.neurons, size)).tocsc()  # sorts by counting
        return pattern.indptr.astype(np.int64), pattern.indices.astype(np.int32)

    @cached_property
    def labels_by_group(self) -> Int32:
        """The labels of the synapses in the order of `by_group`; empty where there are none."""
        return np.zeros(0, np.int32) if self.labels is None else self.labels[np.argsort(self.groups, kind="stable")]

    @cached_property
    def by_source(self) -> tuple[Int, Int32]:
        """The synapses by source: row pointers (sources + 1,), and the targets of each, ascending within a kind."""
        pointers, targets = self.by_group
        return np.ascontiguousarray(pointers[:: self.most_kinds]), targets

    def core_pairs(self, core_of: Int) -> tuple[Int, Int]:
        """Return the distinct (source, core) pairs: each is one input axon, and one message whenever the source spikes."""
        if _count(core_of) == 1:
            sending = np.flatnonzero(self.fan_out)
            return sending, np.zeros_like(sending)
        from . import kernels

        return kernels.core_pairs(*self.by_source, core_of, _count(core_of))

    def reach(self, core_of: Int) -> Int:
        """Return, per source, the number of distinct cores that it reaches: lambda."""
        if _count(core_of) == 1:
            return (self.fan_out > 0).astype(np.int64)
        from . import kernels

        return kernels.reach(*self.by_source, core_of, _count(core_of))

    def messages(self, core_of: Int) -> float:
        """Return messages per time step:  sum over sources of rate * lambda."""
        return float((self.rates * self.reach(core_of)).sum())

    def lists(self, core_of: Int, chip: Chip) -> Lists:
        """Return the lists of synapses of all cores, and which of them are stored; the wiring has labels."""
        from . import shared_lists

        groups = *self.by_group, self.labels_by_group, self.most_kinds
        return shared_lists.lists_of(groups, core_of, layouts(self.weight_bits, chip), chip.word_bits)


def kinds_of(projections: Sequence[Projection]) -> dict[str, int]:
    """Return the kind of each projection, from 0 among those with the same source.

    Of one kind are those with the same exponent and delay; but of two between the same populations, which may connect the same two neurons,
    each has a kind of its own.
    """
    known: dict[str, list[tuple[int, int, int]]] = {}
    found: dict[str, int] = {}
    beside: Counter[tuple[str, str, int, int]] = Counter()
    for p in projections:
        same = p.source, p.target, p.exponent, p.delay
        key = p.exponent, p.delay, beside[same]
        beside[same] += 1
        keys = known.setdefault(p.source, [])
        if key not in keys:
            keys.append(key)
        found[p.name] = keys.index(key)
    return found


def _labels(projections: Sequence[Projection]) -> Int32:
    """Return a number for the weight, exponent and delay of each synapse of the projections, one after another."""
    forms = sorted({(p.exponent, p.delay) for p in projections})
    parts = [p.synapses.unrolled().data.astype(np.int64) + (forms.index((p.exponent, p.delay)) << WEIGHT_RANGE) for p in projections]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int32)


def _pattern(indptr: Int, columns: Int32, shape: tuple[int, int]) -> sp.csr_array:
    return sp.csr_array((np.ones(columns.size, np.int8), columns, indptr), shape=shape)


def _sort_rows(indptr: Int, columns: Int32) -> None:
    """Sort the columns of every row, in place; several synapses between the same two neurons stay."""
    width = int(columns.max(initial=0)) + 1
    columns[:] = _pattern(indptr, columns, (indptr.size - 1, width)).sorted_indices().indices


def _starts(populations: tuple[Population, ...]) -> dict[str, int]:
    """Return, per population, the number of its first neuron when all are numbered consecutively."""
    ends = np.cumsum([p.size for p in populations]).tolist()
    return {p.name: end - p.size for p, end in zip(populations, ends, strict=True)}


def _count(core_of: Int) -> int:
    return int(core_of.max(initial=-1)) + 1


def core_loads(wiring: Wiring, core_of: Int, chip: Chip) -> Int:
    """Return the load of each core, (cores, 5) in the order of RESOURCES, with each list in its cheapest format.

    `words_per_axon` is the core's longest list; there is one output axon for each pair of a neuron on the core and a core it reaches.
    Where the wiring has labels, lists that are equal up to a shift of their targets are stored once.
    """
    table = layouts(wiring.weight_bits, chip)
    if wiring.labels is not None:
        from . import kernels

        held = kernels.loads(*wiring.by_group, wiring.most_kinds, wiring.outside, core_of, _count(core_of), table, chip.word_bits)
        lists = wiring.lists(core_of, chip)
        held[:, 1] = np.bincount(lists.core, weights=lists.words * lists.stored, minlength=len(held)).astype(np.int64)
        return held
    if _count(core_of) == 1:
        return one_core.load(*wiring.by_group, wiring.most_kinds, wiring.outside, table, chip.word_bits)[None]
    from . import kernels

    return kernels.loads(*wiring.by_group, wiring.most_kinds, wiring.outside, core_of, _count(core_of), table, chip.word_bits)


def limits(chip: Chip) -> Int:
    """Return a core's limits in the order of RESOURCES."""
    return np.array([chip.limit(name) for name in RESOURCES], np.int64)


def holds(wiring: Wiring, chip: Chip, core_of: Int) -> bool:
    """Return whether a partition stays within every limit of a core."""
    return bool((core_loads(wiring, core_of, chip) <= limits(chip)).all())


def layouts(weight_bits: int, chip: Chip) -> Int:
    """Return the chip's formats for the kernels, (formats, 5): kind, bits per entry, per synapse and per skip, synapses per entry."""
    return np.array(
        [
            (LAYOUTS.index(f.name), f.prefix_bits + f.index_field_bits, weight_bits + f.index_bits, f.index_bits, f.synapses_per_entry)
            for f in chip.formats
        ],
        np.int64,
    )


def format_words(slots: Int, layout: SynapseFormat, weight_bits: int, word_bits: int) -> Int:
    """Return the words of lists of `slots` synapses: entries made of a prefix and up to 60 synapses, rounded up to words."""
    entries = -(-slots // layout.synapses_per_entry)
    bits = entries * (layout.prefix_bits + layout.index_field_bits) + slots * (weight_bits + layout.index_bits)
    return -(-bits // word_bits)


def least_words(most: int, wiring: Wiring, chip: Chip) -> Int:
    """Return the fewest words that a list of 0..most synapses takes in any format if its targets have consecutive numbers."""
    slots = np.arange(most + 1)
    return np.min([format_words(slots, f, wiring.weight_bits, chip.word_bits) for f in chip.formats], axis=0)
