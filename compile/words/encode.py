"""Encodes the synapses of each core into words, list by list in the formats by which the compiler counts them (`layout`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...checked import checked
from ...errors import DoesNotFitError, UsageError
from ...hwmodels.chip import Chip, SynapseFormat
from ...network.model import Network, Population
from ..deployed import DeployedNetwork
from ..mapping.loads.load import LAYOUTS, kinds_of, layouts
from ..mapping.loads.one_core import bits_by_format, local_numbers
from .layout import CoreWords, EntryFormat, Int, Sender, SynapseTable, SynapseWords, Words

__all__ = ["encode_words", "synapses_of"]

RUNLENGTH, DENSE = LAYOUTS.index("runlength"), LAYOUTS.index("dense")
LARGEST_WORD = 64
Bits = NDArray[np.uint8]


@checked(network="Pass what spikeloom.compile_network or spikeloom.load returned.")
def encode_words(network: DeployedNetwork) -> SynapseWords:
    """Encode the synapses of every core into the words of its memory: docs/words.md describes the layout.

    The number of words of each core is the number that the mapping counts.

    Args:
        network: a network on cores that store synapses in words; crossbars do not.

    Returns:
        The words of every core, with the table of its formats and of its lists. `decode_words` returns the synapses again.

    Raises:
        UsageError: a network on crossbars, a chip without an encoding of lists, or one whose words have more than 64 bits.
        DoesNotFitError: an index, a weight or a format's number that is wider than its field; the core and the field are named.
    """
    if network.crossbars is not None:
        raise UsageError(f"{network.chip.name} has crossbars, which hold bits and no synapse words. Compile for lava: --target lava.")
    chip = network.chip
    if not any(layout.prefix_bits for layout in chip.formats):
        raise UsageError(
            f"The file of {chip.name} does not say how its memory encodes a list of synapses: the entries of its formats have no prefix. "
            f"Words can be written for Loihi: --target lava."
        )
    if chip.word_bits > LARGEST_WORD:
        raise UsageError(f"The words of {chip.name} have {chip.word_bits} bits; words of up to {LARGEST_WORD} bits can be written.")
    _check_prefixes(chip)
    synapses = _Numbered.of(network)
    ends = np.searchsorted(synapses.core, np.arange(network.mapping.cores + 1))
    order = np.argsort(network.mapping.core_of, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(network.mapping.core_of, minlength=network.mapping.cores))[:-1])
    cores = tuple(
        _Core(core, chip, network.wiring.weight_bits, synapses.part(slice(ends[core], ends[core + 1]))).encoded(neurons)
        for core, neurons in enumerate(members)
    )
    return SynapseWords(chip.name, chip.word_bits, senders_of(network.network), cores)


@checked(network="Pass what spikeloom.compile_network or spikeloom.load returned.")
def synapses_of(network: DeployedNetwork) -> SynapseTable:
    """Return the synapses of a deployed network one by one, sorted: what `decode_words` finds in its words."""
    found = _Numbered.of(network)
    real = found.weight != 0
    columns = found.core, found.source, found.target, found.weight, found.exponent, found.delay
    return SynapseTable(*(column[real] for column in columns)).sorted()


def senders_of(network: Network) -> tuple[Sender, ...]:
    """Return the populations whose spikes reach the chip, in the order in which their sources are numbered."""
    chip, first = {p.name for p in network.on_chip}, 0
    found: list[Sender] = []
    for p in network.senders:
        found.append(Sender(p.name, first, np.flatnonzero(p.living).astype(np.int64), p.name in chip))
        first += p.count
    return tuple(found)


@dataclass(frozen=True)
class _Numbered:
    """All synapses, ordered by core, source, kind and local target; each column (synapses,)."""

    core: Int
    source: Int
    kind: Int
    local: Int
    target: Int
    weight: Int
    exponent: Int
    delay: Int

    @classmethod
    def of(cls, deployed: DeployedNetwork) -> _Numbered:
        network, core_of = deployed.network.flat.network, deployed.mapping.core_of
        first_source, first_row = _starts(network.senders), _starts(network.on_chip)
        projections = [p for p in network.projections if p.target in first_row]
        kinds = kinds_of(projections)
        local = local_numbers(core_of, deployed.mapping.cores)
        parts: list[list[Int]] = [[np.zeros(0, np.int64)] for _ in range(6)]
        for p in projections:
            synapses = p.synapses.unrolled()
            same = np.ones(synapses.count, np.int64)
            columns = (
                synapses.indices.astype(np.int64) + first_source[p.source],
                synapses.rows + first_row[p.target],
                synapses.data.astype(np.int64),
                kinds[p.name] * same,
                p.exponent * same,
                p.delay * same,
            )
            for part, column in zip(parts, columns, strict=True):
                part.append(column)
        source, target, weight, kind, exponent, delay = (np.concatenate(part) for part in parts)
        sort = np.lexsort((local[target], kind, source, core_of[target]))
        target = target[sort]
        return cls(core_of[target], source[sort], kind[sort], local[target], target, weight[sort], exponent[sort], delay[sort])

    def part(self, chosen: slice | NDArray[np.bool_]) -> _Numbered:
        columns = self.core, self.source, self.kind, self.local, self.target, self.weight, self.exponent, self.delay
        return _Numbered(*(column[chosen] for column in columns))


def _starts(populations: tuple[Population, ...]) -> dict[str, int]:
    ends = np.cumsum([p.size for p in populations]).tolist()
    return {p.name: end - p.size for p, end in zip(populations, ends, strict=True)}


def _check_prefixes(chip: Chip) -> None:
    first = chip.formats[0]
    for layout in chip.formats:
        if (layout.prefix_bits, layout.synapses_per_entry) != (first.prefix_bits, first.synapses_per_entry):
            raise UsageError(
                f"The formats {first.name} and {layout.name} of {chip.name} have different prefixes, so that an entry would not tell which "
                f"one it has. Give them the same prefix_bits and synapses_per_entry in the chip's file."
            )
        if layout.prefix_bits <= layout.synapses_per_entry.bit_length():
            raise DoesNotFitError(
                f"The prefix of the format {layout.name} of {chip.name} has {layout.prefix_bits} bits; the number of up to "
                f"{layout.synapses_per_entry} synapses and that of a format need more. Change prefix_bits in its file."
            )


@dataclass(frozen=True)
class _Core:
    """The synapses of one core on their way into words."""

    core: int
    chip: Chip
    weight_bits: int
    synapses: _Numbered

    def encoded(self, neurons: Int) -> CoreWords:
        """Return the words; a list that is equal to one before it is not written again."""
        source, kind, local = self.synapses.source, self.synapses.kind, self.synapses.local
        starts = np.flatnonzero(np.diff(source, prepend=-1) + np.abs(np.diff(kind, prepend=-1)))  # of the groups
        counts = np.diff(starts, append=source.size)
        bits = bits_by_format(starts, counts, local, layouts(self.weight_bits, self.chip))
        layout_of, taken = bits.argmin(axis=0), bits.min(axis=0)  # the first of equals
        formats, number = self._formats(starts, layout_of)
        firsts = np.flatnonzero(np.diff(source[starts], prepend=-1))  # groups that begin a list
        stored, bases = self._stored(starts, firsts, number)
        before = np.cumsum(taken) - taken
        lengths = -(-np.add.reduceat(taken, firsts) // self.chip.word_bits) if firsts.size else np.zeros(0, np.int64)
        written = np.where(stored == np.arange(firsts.size), lengths, 0)
        begins = np.cumsum(written) - written
        list_of = np.repeat(np.arange(firsts.size), np.diff(firsts, append=starts.size))
        at = begins[list_of] * self.chip.word_bits + before - before[firsts][list_of]
        memory = np.zeros(int(written.sum()) * self.chip.word_bits, np.uint8)
        new = stored[list_of] == list_of
        kept = counts[new]
        only = self._relative(bases[list_of], counts, np.repeat(new, counts))
        only._write(memory, np.cumsum(kept) - kept, kept, at[new], formats, number[new])
        return CoreWords(_packed(memory, self.chip.word_bits), formats, source[starts][firsts], begins[stored], lengths, neurons, bases)

    def _stored(self, starts: Int, firsts: Int, number: Int) -> tuple[Int, Int]:
        """Return which list has the words of each, and the base of each: its own and 0 on a chip that shares none.

        Lists are equal if their groups have the same formats, weights, and distances from the base.
        """
        own = np.arange(firsts.size)
        if self.chip.shared_lists is None or not firsts.size:
            return own, np.zeros(firsts.size, np.int64)
        begins = starts[firsts]
        bases = np.minimum.reduceat(self.synapses.local, begins)
        counts = np.diff(begins, append=self.synapses.local.size)
        form = np.repeat(number, np.diff(starts, append=self.synapses.local.size))
        new = np.zeros(self.synapses.local.size, np.int64)
        new[starts] = 1
        rows = np.stack([self.synapses.local - np.repeat(bases, counts), self.synapses.weight, form, new], axis=1)
        known: dict[bytes, int] = {}
        stored = [
            known.setdefault(rows[a : a + n].tobytes(), k) for k, (a, n) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True))
        ]
        return np.array(stored, np.int64), bases

    def _relative(self, base_of_group: Int, counts: Int, kept: NDArray[np.bool_]) -> _Core:
        """Return some of the synapses, with local numbers relative to the bases of their lists."""
        local = self.synapses.local - np.repeat(base_of_group, counts)
        return replace(self, synapses=replace(self.synapses, local=local).part(kept))

    def _formats(self, starts: Int, layout_of: Int) -> tuple[tuple[EntryFormat, ...], Int]:
        """Return the core's table of formats, and the number of that of each group."""
        keys = np.stack([layout_of, self.synapses.exponent[starts], self.synapses.delay[starts]], axis=1)
        rows, number = np.unique(keys, axis=0, return_inverse=True)
        formats = tuple(entry_format(self.chip.formats[k], self.weight_bits, exponent, delay) for k, exponent, delay in rows.tolist())
        most = min((1 << f.id_bits for f in formats), default=len(formats))
        if len(formats) > most:
            raise DoesNotFitError(
                f"Core {self.core} needs {len(formats)} formats of entries (layout, exponent and delay); the prefix of {self.chip.name} "
                f"tells {most} apart. Spread its layers over more cores (--pin), or compile with --granularity layer."
            )
        return formats, number.ravel().astype(np.int64)

    def _write(self, memory: Bits, starts: Int, counts: Int, at: Int, formats: tuple[EntryFormat, ...], number: Int) -> None:
        """Write the entries of each group into the bits of the memory, group `i` from bit `at[i]`."""
        if not starts.size:
            return
        table = np.array([(LAYOUTS.index(f.layout), *f[1:6], f.count_bits) for f in formats], np.int64)
        layout, prefix, index_field, index, most, weight_bits, count_bits = table[number].T
        group, position, weight = self._slots(starts, counts, layout, index)
        slots = np.bincount(group, minlength=starts.size)
        rank = np.arange(group.size) - np.repeat(np.cumsum(slots) - slots, slots)
        header, each = prefix + index_field, index + weight_bits
        place = at[group] + (rank // most[group] + 1) * header[group] + rank * each[group]
        leads = np.flatnonzero(rank % most[group] == 0)  # first slots of the entries
        owner = group[leads]
        skipped = np.diff(position, prepend=0) - 1
        skipped[leads] = 0
        self._check(position, layout, index, index_field, group, weight, weight_bits)
        written = np.where(layout[group] == RUNLENGTH, skipped, position)
        _put(memory, place, written, index[group])
        _put(memory, place + index[group], weight & ((1 << weight_bits[group]) - 1), weight_bits[group])
        held = np.minimum(slots[owner] - rank[leads], most[owner])
        start = place[leads] - header[owner]
        _put(memory, start, number[owner], (prefix - count_bits)[owner])
        _put(memory, start + (prefix - count_bits)[owner], held, count_bits[owner])
        _put(memory, start + prefix[owner], position[leads], index_field[owner])

    def _slots(self, starts: Int, counts: Int, layout: Int, index: Int) -> tuple[Int, Int, Int]:
        """Return group, local number and weight of every slot: the synapses, and the weights of 0 between them."""
        local, weight = self.synapses.local, self.synapses.weight
        group = np.repeat(np.arange(starts.size), counts)
        gap = np.diff(local, prepend=0)
        gap[starts] = 1
        stride = np.where(layout == RUNLENGTH, 1 << index, 1)[group]
        fillers = np.where(layout[group] == RUNLENGTH, (gap - 1) >> index[group], np.where(layout[group] == DENSE, gap - 1, 0))
        last = np.cumsum(fillers + 1) - 1  # the slot of each synapse
        owner = np.repeat(np.arange(local.size), fillers + 1)
        back = last[owner] - np.arange(owner.size)  # slots from here to the synapse
        position = np.where(back == 0, local[owner], (local - gap)[owner] + (fillers[owner] - back + 1) * stride[owner])
        return group[owner], position, np.where(back == 0, weight[owner], 0)

    def _check(self, position: Int, layout: Int, index: Int, index_field: Int, group: Int, weight: Int, weight_bits: Int) -> None:
        width = np.where(layout == LAYOUTS.index("sparse"), index, index_field)[group]
        wide = np.flatnonzero(position >> width)
        if wide.size:
            raise DoesNotFitError(
                f"Core {self.core} has a neuron of the local number {position[wide[0]]:,}; the index of {self.chip.name} has "
                f"{width[wide[0]]} bits. Compile the network again, or widen the index in the chip's file."
            )
        half = 1 << (weight_bits[group] - 1)
        wide = np.flatnonzero((weight < -half) | (weight >= half))
        if wide.size:
            raise DoesNotFitError(
                f"Core {self.core} has a weight of {weight[wide[0]]}; a weight takes {weight_bits[group][wide[0]]} bits there. "
                f"Compile the network again."
            )


def entry_format(layout: SynapseFormat, weight_bits: int, exponent: int, delay: int) -> EntryFormat:
    """Return the format of entries in a layout of the chip."""
    widths = layout.prefix_bits, layout.index_field_bits, layout.index_bits, layout.synapses_per_entry
    return EntryFormat(layout.name, *widths, weight_bits, exponent, delay)


def _put(memory: Bits, at: Int, value: Int, width: Int) -> None:
    """Write values into the bits from `at`, the least significant bit first, each in its own width."""
    for bit in range(int(width.max(initial=0))):
        wide = width > bit
        memory[at[wide] + bit] = (value[wide] >> bit) & 1


def _packed(memory: Bits, word_bits: int) -> Words:
    padded = np.zeros((memory.size // word_bits, LARGEST_WORD), np.uint8)
    padded[:, :word_bits] = memory.reshape(-1, word_bits)
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").ravel().astype(np.uint64)
