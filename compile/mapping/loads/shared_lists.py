"""Words of cores that store a list of synapses once for all sources whose lists are equal up to a shift of their targets.

A convolution gives sources at different places the same weights at the same distances. The axon entry of each source then holds where the
list is and a base, the smallest local number among its targets; the list has the numbers relative to it. (Rueckauer, Bybee, Goettsche,
Singh, Mishra, Wild: NxTF, ACM JETC 18, 2022. The public source of nengo-loihi, Apache-2.0, sets a base for each axon of a convolution.)
Lists at the border of a map, or of a core's part of it, have fewer synapses, and are lists of their own.

Lists are compared by two hashes of 64 bits each; `words.encode` compares them synapse by synapse.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inline, jit_inner
from . import kernels
from .one_core import local_numbers

__all__ = ["Lists", "lists_of", "measure"]

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt = NDArray[np.uint64]
Groups = tuple[Int, Int32, Int32, int]
"""Synapses by group: row pointers, targets, labels, and the number of groups of a source."""


class Lists:
    """The lists of all cores, one for each pair of a source and a core that it reaches.

    `source`, `core`, `words`, `synapses`: (lists,) of each; `stored`: whether it is the first of the core's equal lists, which takes the
    words; `users`: how many of the core's sources use the same list.
    """

    def __init__(self, source: Int, core: Int, words: Int, synapses: Int, hashes: UInt) -> None:
        """Find the lists that are equal; `hashes`: (lists, 2)."""
        self.source, self.core, self.words, self.synapses = source, core, words, synapses
        first, same = _equal(core, hashes)
        self.stored: NDArray[np.bool_] = np.zeros(source.size, np.bool_)
        self.stored[first] = True
        self.users: Int = np.bincount(same, minlength=first.size)[same]


def _equal(core: Int, hashes: UInt) -> tuple[Int, Int]:
    """Return the first of each kind of list, and the kind of each."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0], core))
    new = np.ones(core.size, np.bool_)
    new[1:] = (np.diff(core[order]) != 0) | (hashes[order][1:] != hashes[order][:-1]).any(axis=1)
    same = np.empty(core.size, np.int64)
    same[order] = np.cumsum(new) - 1
    return order[new], same


def lists_of(groups: Groups, core_of: Int, table: Int, word_bits: int) -> Lists:
    """Return the lists of all cores of a partition; `table`: `load.layouts`."""
    pointers, targets, _, kinds = groups
    cores = int(core_of.max(initial=-1)) + 1
    count = int(kernels.reach(np.ascontiguousarray(pointers[::kinds]), targets, core_of, cores).sum())
    found, hashes = np.zeros((count, 4), np.int64), np.zeros((count, 2), np.uint64)
    local, scratch = local_numbers(core_of, cores), np.full((9, cores), -1, np.int64)
    fillers, running = np.zeros((cores, len(table)), np.int64), np.zeros((cores, 2), np.uint64)
    _lists(*groups, core_of, table, word_bits, local, scratch, fillers, running, found, hashes)
    return Lists(found[:, 0], found[:, 1], found[:, 2], found[:, 3], hashes)


def measure(
    indptr: Int, groups: Int32, labels: Int32, kinds: int, size: int, table: Int, word_bits: int
) -> Callable[[Int], tuple[int, int, int]]:
    """Return a function of some neurons (ascending): words, input axons and the longest list if they have a core to themselves.

    `indptr`, `groups`, `labels`: the synapses by target; `size`: how many groups there are, `kinds` for each source.
    """
    scratch, running = np.full((size, 5 + len(table)), -1, np.int64), np.zeros((size, 2), np.uint64)
    touched, found, hashes = np.empty(size, np.int64), np.empty(size // kinds, np.int64), np.empty((size // kinds, 2), np.uint64)
    marks = itertools.count(1)

    def measured(members: Int) -> tuple[int, int, int]:
        by_target = indptr, groups, labels, kinds
        count = _members(members, *by_target, table, word_bits, scratch, running, touched, next(marks), found, hashes)
        words = found[:count]
        first, _ = _equal(np.zeros(count, np.int64), hashes[:count])
        return int(words[first].sum()), count, int(words.max(initial=0))

    return measured


@jit_inline
def _mixed(found: np.uint64, value: int) -> np.uint64:
    """Return a hash with one more number in it (splitmix64: Steele, Lea, Flood, OOPSLA 2014)."""
    x = (found ^ np.uint64(value)) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def _lists(
    pointers: Int,
    targets: Int32,
    labels: Int32,
    kinds: int,
    core_of: Int,
    layouts: Int,
    word_bits: int,
    local: Int,
    scratch: Int,
    fillers: Int,
    running: UInt,
    found: Int,
    hashes: UInt,
) -> None:
    """Write source, core, words and synapses of each list to `found`, and its hashes; the other arrays as in `kernels.loads`."""
    seen, listed, count, first, last = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    bits, touched, here, base = scratch[5], scratch[6], scratch[7], scratch[8]
    end = 0
    for u in range((pointers.size - 1) // kinds):
        lists = 0
        for g in range(u * kinds, (u + 1) * kinds):
            parts = 0
            for j in range(pointers[g], pointers[g + 1]):
                core, number = core_of[targets[j]], local[targets[j]]
                if listed[core] != u:
                    listed[core] = u
                    touched[lists] = core
                    found[end + lists, 3] = 0
                    here[core] = end + lists
                    lists += 1
                    bits[core], base[core] = 0, number
                    running[core, 0], running[core, 1] = np.uint64(1), np.uint64(2)
                if seen[core] != g:
                    seen[core] = g
                    parts += 1
                    running[core, 0], running[core, 1] = _mixed(running[core, 0], -1), _mixed(running[core, 1], -1)
                    count[core], first[core] = 0, number
                    for f in range(layouts.shape[0]):
                        fillers[core, f] = 0
                else:
                    kernels.add_fillers(fillers[core], int(number - last[core]), layouts)
                count[core] += 1
                last[core] = number
                running[core, 0] = _mixed(_mixed(running[core, 0], int(number - base[core])), int(labels[j]))
                running[core, 1] = _mixed(_mixed(running[core, 1], int(number - base[core])), int(labels[j]))
                found[here[core], 3] += 1
            for i in range(lists if parts else 0):
                core = touched[i]
                if seen[core] == g:
                    bits[core] += kernels.list_bits(int(count[core]), int(last[core] - first[core] + 1), fillers[core], layouts)
        for i in range(end, end + lists):
            core = touched[i - end]
            found[i, 0], found[i, 1], found[i, 2] = u, core, -(-bits[core] // word_bits)
            hashes[i, 0], hashes[i, 1] = running[core, 0], running[core, 1]
        end += lists


@jit
def _members(
    members: Int,
    indptr: Int,
    groups: Int32,
    labels: Int32,
    kinds: int,
    layouts: Int,
    word_bits: int,
    scratch: Int,
    running: UInt,
    touched: Int,
    mark: int,
    found: Int,
    hashes: UInt,
) -> int:
    """Write the words of the lists of some neurons on one core to `found`, and their hashes; return how many there are.

    `scratch`: (groups, 5 + formats) seen, count, first, last, whether its source is listed (in its first group); fillers. A group with
    another `mark` in `seen` counts as new. `running`: (groups, 2) hash of each, its targets counted from its first; `touched`: scratch.
    """
    parts = 0
    for number in range(members.size):
        v = members[number]
        for j in range(indptr[v], indptr[v + 1]):
            g = groups[j]
            state = scratch[g]
            if state[0] != mark:
                state[0], state[1], state[2], state[3] = mark, 0, number, number
                running[g, 0], running[g, 1] = np.uint64(1), np.uint64(2)
                for f in range(layouts.shape[0]):
                    state[5 + f] = 0
                touched[parts] = g
                parts += 1
            else:
                kernels.add_fillers(state[5:], int(number - state[3]), layouts)
            state[1] += 1
            state[3] = number
            for h in range(2):
                running[g, h] = _mixed(_mixed(running[g, h], int(number - state[2])), int(labels[j]))
    lists = 0
    for i in range(parts):
        leader = touched[i] // kinds * kinds
        if scratch[leader, 4] != mark:
            scratch[leader, 4] = mark
            found[lists] = -(-_joined(leader, kinds, layouts, scratch, running, mark, hashes[lists]) // word_bits)
            lists += 1
    return lists


@jit_inner
def _joined(leader: int, kinds: int, layouts: Int, scratch: Int, running: UInt, mark: int, hashes: UInt) -> int:
    """Return the bits of the list of a source, whose groups begin with `leader`, and write its hashes."""
    bits, base = 0, -1
    hashes[0], hashes[1] = np.uint64(1), np.uint64(2)
    for g in range(leader, leader + kinds):
        state = scratch[g]
        if state[0] == mark:
            base = state[2] if base < 0 else base
            bits += kernels.list_bits(int(state[1]), int(state[3] - state[2] + 1), state[5:], layouts)
            for h in range(2):
                hashes[h] = _mixed(_mixed(hashes[h], int(state[2] - base)), int(running[g, h]))
    return bits
