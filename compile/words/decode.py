"""Decodes the words of cores to the synapses that they hold, from the words and tables alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...checked import checked
from ...errors import FormatError
from .layout import CoreWords, Int, SynapseTable, SynapseWords

__all__ = ["decode_words"]

SPARSE, RUNLENGTH, DENSE = range(3)
NAMES = ("sparse", "runlength", "dense")
Bits = NDArray[np.uint8]


@checked(words="Pass what spikeloom.compile.encode_words or load_words returned.")
def decode_words(words: SynapseWords) -> SynapseTable:
    """Return the synapses that the words of all cores hold, sorted.

    Args:
        words: as `encode_words` or `load_words` returned them.

    Raises:
        FormatError: an entry of an unknown format, one that runs beyond its list, or a target that the core does not have.
    """
    parts = [_Memory(number, core, words.word_bits).synapses() for number, core in enumerate(words.cores)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.zeros(0, np.int64)] * 6
    return SynapseTable(*columns).sorted()


class _Memory:
    """The memory of one core, as bits."""

    def __init__(self, number: int, core: CoreWords, word_bits: int) -> None:
        self.number, self.core, self.word_bits = number, core, word_bits
        stored = np.ascontiguousarray(core.words.astype("<u8")).view(np.uint8).reshape(-1, 8)
        self.bits: Bits = np.ascontiguousarray(np.unpackbits(stored, axis=1, bitorder="little")[:, :word_bits]).ravel()
        table = [(NAMES.index(f.layout), *f[1:], f.id_bits, f.count_bits) for f in core.formats]
        self.table: Int = np.array(table, np.int64).reshape(-1, 10)

    def synapses(self) -> tuple[Int, ...]:
        """Return core, source, target, weight, exponent and delay of every synapse of the core."""
        core = self.core
        at, stop = core.starts * self.word_bits, (core.starts + core.lengths) * self.word_bits
        lists = np.arange(core.sources.size)
        found: list[tuple[Int, ...]] = []
        while lists.size:  # one entry of every list that has another
            number, held, room = self._prefixes(at[lists], stop[lists])
            lists, number, held = lists[room], number[room], held[room]
            if not lists.size:
                break
            found.append(self._entries(lists, at[lists], number, held))
            row = self.table[number]
            at[lists] += row[:, 1] + row[:, 2] + held * (row[:, 3] + row[:, 5])
            if (at[lists] > stop[lists]).any():
                raise self._damaged("an entry runs beyond its list")
        return tuple(np.concatenate([np.zeros(0, np.int64), *column]) for column in zip(*found, strict=True)) if found else _nothing()

    def _prefixes(self, at: Int, stop: Int) -> tuple[Int, Int, NDArray[np.bool_]]:
        """Return format and synapses of the entries that begin at `at`, and whether there is one: the rest of a list is zero."""
        if not len(self.table):
            raise self._damaged("there are lists and no formats")
        id_bits, count_bits = self.table[0, 8], self.table[:, 9]
        if (self.table[:, 8] != id_bits).any() or (count_bits != count_bits[0]).any():
            raise self._damaged("its formats have different prefixes")
        room = at + id_bits + count_bits[0] <= stop
        number, held = np.zeros(at.size, np.int64), np.zeros(at.size, np.int64)
        number[room] = self._read(at[room], id_bits)
        held[room] = self._read(at[room] + id_bits, count_bits[0])
        if (number[held > 0] >= len(self.table)).any():
            raise self._damaged(f"an entry has the format {int(number[held > 0].max())}, and the table has {len(self.table)}")
        return number, held, held > 0

    def _entries(self, lists: Int, at: Int, number: Int, held: Int) -> tuple[Int, ...]:
        """Return the synapses of one entry of each of some lists."""
        layout, prefix, field, index, _, weight_bits, exponent, delay, _, _ = self.table[number].T
        first = self._read(at + prefix, field)
        owner = np.repeat(np.arange(lists.size), held)
        rank = np.arange(owner.size) - np.repeat(np.cumsum(held) - held, held)
        place = (at + prefix + field)[owner] + rank * (index + weight_bits)[owner]
        written = self._read(place, index[owner])
        steps = np.where(rank == 0, 0, np.where(layout[owner] == RUNLENGTH, written + 1, 1))
        walked = np.cumsum(steps)
        local = first[owner] + walked - walked[np.cumsum(held) - held][owner]
        local = np.where(layout[owner] == SPARSE, written, local)
        raw, bits = self._read(place + index[owner], weight_bits[owner]), weight_bits[owner]
        weight = raw - ((raw >> (bits - 1)) << bits)
        local = local + self.core.bases[lists][owner]
        real = weight != 0
        if (local[real] < 0).any() or (local[real] >= self.core.neurons.size).any():
            raise self._damaged(f"a synapse ends at the local number {int(local[real].max())} of {self.core.neurons.size} neurons")
        owner, local, weight = owner[real], local[real], weight[real]
        here = np.full(owner.size, self.number, np.int64)
        return here, self.core.sources[lists][owner], self.core.neurons[local], weight, exponent[owner], delay[owner]

    def _read(self, at: Int, width: Int | int) -> Int:
        """Return the numbers in the bits from `at`, the least significant bit first, each in its own width."""
        widths = np.broadcast_to(np.asarray(width, np.int64), at.shape)
        value = np.zeros(at.size, np.int64)
        if ((at + widths) > self.bits.size).any():
            raise self._damaged("an entry runs beyond its memory")
        for bit in range(int(widths.max(initial=0))):
            wide = widths > bit
            value[wide] |= self.bits[at[wide] + bit].astype(np.int64) << bit
        return value

    def _damaged(self, why: str) -> FormatError:
        return FormatError(f"The words of core {self.number} are damaged: {why}. Write them again.")


def _nothing() -> tuple[Int, ...]:
    return tuple(np.zeros(0, np.int64) for _ in range(6))
