"""The words of a core's synapse memory, and how they are laid out.

Each core has a list for every source that reaches it. A list begins at a word of its own and consists of entries, one after another:

    entry  = prefix, index field (of the formats that have one), then 1 to `synapses_per_entry` synapses
    prefix = number of the format in the core's table, then the number of synapses, in the bits that `synapses_per_entry` needs
    index field = local number of the target of the entry's first synapse
    synapse = index bits, then the weight in `weight_bits` bits, two's complement

    sparse:    the index bits of a synapse are the local number of its target
    runlength: they are the local numbers skipped since the synapse before; 0 for the first of an entry, which the index field locates
    dense:     there are none: the targets of an entry have consecutive local numbers

A weight of 0 bridges a gap that runlength cannot skip, and fills those of dense; it is no synapse. All synapses of an entry have the
exponent and the delay of their format. Fields lie one after another from the least significant bit of a word to its most significant, and
continue in the next word; the rest of a list's last word is zero, which is no entry, since an entry has at least one synapse.

A chip that shares lists stores one for all sources whose lists are equal up to a shift of their targets. Each source then has a base, which
is added to every local number in its list: the smallest local number among its targets.

The widths are those of the chip file, by which the compiler counts words. The order of the fields, and of the bits in them, is not
published: it is chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Words = NDArray[np.uint64]

__all__ = ["CoreWords", "EntryFormat", "Sender", "SynapseTable", "SynapseWords"]


class EntryFormat(NamedTuple):
    """A row of a core's table of formats: the layout of an entry, and what all of its synapses share.

    `exponent`: an input current is  (sum of weights) << exponent;  `delay`: steps beyond the one that every connection takes.
    """

    layout: str
    prefix_bits: int
    index_field_bits: int
    index_bits: int
    synapses_per_entry: int
    weight_bits: int
    exponent: int
    delay: int

    @property
    def count_bits(self) -> int:
        """The bits of the prefix that hold the number of synapses; those before them hold the number of the format."""
        return self.synapses_per_entry.bit_length()

    @property
    def id_bits(self) -> int:
        """The bits of the prefix that hold the number of the format."""
        return self.prefix_bits - self.count_bits

    @property
    def header_bits(self) -> int:
        """The bits of an entry before its synapses."""
        return self.prefix_bits + self.index_field_bits

    @property
    def synapse_bits(self) -> int:
        """The bits of a synapse."""
        return self.index_bits + self.weight_bits


@dataclass(frozen=True, eq=False)
class CoreWords:
    """The synapse memory of a core.

    `words`: (words,) uint64, of which the chip's `word_bits` low ones are used; `formats`: by the numbers in the prefixes;
    `sources`: (lists,) the source of each list, ascending, as `SynapseWords` numbers them; `starts`, `lengths`: (lists,) its first word and
    its words; `neurons`: (neurons,) the chip's neuron that has each local number; `bases`: (lists,) what is added to the local numbers in
    the words of a list, 0 where no lists are shared.
    """

    words: Words
    formats: tuple[EntryFormat, ...]
    sources: Int
    starts: Int
    lengths: Int
    neurons: Int
    bases: Int


class Sender(NamedTuple):
    """A population that sends to cores: its sources are numbered from `first`, its neurons that were not removed in their order."""

    name: str
    first: int
    neurons: Int  # the number of each in the population, removed ones counted
    on_chip: bool


@dataclass(frozen=True, eq=False)
class SynapseTable:
    """Synapses one by one, (synapses,) each, ordered by core, source and target. Weights of 0 are no synapses.

    `core`; `source`: numbered as in `SynapseWords`; `target`: the number of the neuron among those of the chip; `weight`; `exponent`;
    `delay`.
    """

    core: Int
    source: Int
    target: Int
    weight: Int
    exponent: Int
    delay: Int

    @property
    def columns(self) -> tuple[Int, ...]:
        """The columns in the order of the fields."""
        return self.core, self.source, self.target, self.weight, self.exponent, self.delay

    def __len__(self) -> int:
        return len(self.core)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SynapseTable):
            return NotImplemented
        return all(np.array_equal(a, b) for a, b in zip(self.columns, other.columns, strict=True))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def sorted(self) -> SynapseTable:
        """Return the synapses in the order of core, source, target, exponent, delay and weight."""
        order = np.lexsort((self.weight, self.delay, self.exponent, self.target, self.source, self.core))
        return SynapseTable(*(column[order] for column in self.columns))


@dataclass(frozen=True, eq=False)
class SynapseWords:
    """The synapse memory of all cores of a deployed network.

    Sources are numbered as in `senders`: populations off chip first, then the chip's neurons, each without its removed neurons.
    `chip`: the chip's name; `word_bits`: the bits of a word.
    """

    chip: str
    word_bits: int
    senders: tuple[Sender, ...]
    cores: tuple[CoreWords, ...]

    def __repr__(self) -> str:
        lists = sum(len(core.sources) for core in self.cores)
        return (
            f"<SynapseWords: {self.count:,} words of {self.word_bits} bits in {lists:,} lists on {len(self.cores):,} cores of {self.chip}>"
        )

    @cached_property
    def count(self) -> int:
        """The number of words on all cores."""
        return sum(len(core.words) for core in self.cores)

    @property
    def outside(self) -> int:
        """The number of sources off chip, which precede the chip's neurons."""
        return sum(len(s.neurons) for s in self.senders if not s.on_chip)
