"""Kernels over the wiring: distinct cores per source, and the size of a core's synapse lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inline, jit_inner

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
SPARSE, RUNLENGTH = 0, 1


def reach(pointers: Int, targets: Int32, core_of: Int, cores: int) -> Int:
    """Return the number of distinct cores among the targets of each source."""
    distinct = np.zeros(pointers.size - 1, np.int64)
    _reach(pointers, targets, core_of, np.full(cores, -1, np.int64), distinct)
    return distinct


@jit
def _reach(pointers: Int, targets: Int32, core_of: Int, seen: Int, distinct: Int) -> None:
    """Count into `distinct` (sources,), zeros; `seen` (cores,): -1."""
    for u in range(pointers.size - 1):
        for j in range(pointers[u], pointers[u + 1]):
            core = core_of[targets[j]]
            if seen[core] != u:
                seen[core] = u
                distinct[u] += 1


def core_pairs(pointers: Int, targets: Int32, core_of: Int, cores: int) -> tuple[Int, Int]:
    """Return the distinct (source, core) pairs, sorted by source, then core."""
    distinct = reach(pointers, targets, core_of, cores)
    found = np.empty(distinct.sum(), np.int64)
    _core_pairs(pointers, targets, core_of, np.full(cores, -1, np.int64), found)
    return np.divmod(np.sort(found), cores)


@jit
def _core_pairs(pointers: Int, targets: Int32, core_of: Int, seen: Int, found: Int) -> None:
    """Write each pair to `found` as source * cores + core, by source; `seen` (cores,): -1."""
    end = 0
    for u in range(pointers.size - 1):
        for j in range(pointers[u], pointers[u + 1]):
            core = core_of[targets[j]]
            if seen[core] != u:
                seen[core] = u
                found[end] = u * seen.size + core
                end += 1


@jit_inner
def list_bits(count: int, span: int, fillers: Int, layouts: Int) -> int:
    """Return the bits of the entries of one group of a list in the cheapest format.

    `span`: number of local indices from its first to its last target;
    `fillers`: per format, zero weights that bridge gaps beyond the range of the skip field.
    """
    best = -1
    for f in range(layouts.shape[0]):
        kind, per_entry, per_synapse, _, most = layouts[f]
        slots = count if kind == SPARSE else count + fillers[f] if kind == RUNLENGTH else span
        bits = -(-slots // most) * per_entry + slots * per_synapse
        if best < 0 or bits < best:
            best = bits
    return best


def loads(pointers: Int, targets: Int32, kinds: int, outside: int, core_of: Int, cores: int, layouts: Int, word_bits: int) -> Int:
    """Return (cores, 5): neurons, words, input axons, output axons and the longest list of each core.

    `pointers`, `targets`: the synapses by group, `kinds` groups for each source; each group has entries of its own, and the list of a
    source, all its groups, is rounded up to words.
    """
    held, local = np.zeros((cores, 5), np.int64), np.empty(core_of.size, np.int32)
    scratch, fillers = np.full((8, cores), -1, np.int64), np.zeros((cores, layouts.shape[0]), np.int64)
    _loads(pointers, targets, kinds, outside, core_of, layouts, word_bits, held, local, scratch, fillers)
    return held


@jit
def _loads(
    pointers: Int,
    targets: Int32,
    kinds: int,
    outside: int,
    core_of: Int,
    layouts: Int,
    word_bits: int,
    held: Int,
    local: Int32,
    scratch: Int,
    fillers: Int,
) -> None:
    """Do the work of `loads`: count into `held`, zeros; `local`: for each neuron's number on its core; `scratch` (8, cores): -1."""
    seen, listed, count, first, last = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    bits, touched, here = scratch[5], scratch[6], scratch[7]
    for v in range(core_of.size):
        local[v] = held[core_of[v], 0]
        held[core_of[v], 0] += 1
    for u in range((pointers.size - 1) // kinds):
        lists = 0
        for g in range(u * kinds, (u + 1) * kinds):
            parts = 0
            for j in range(pointers[g], pointers[g + 1]):
                core, number = core_of[targets[j]], local[targets[j]]
                if seen[core] != g:
                    seen[core] = g
                    here[parts] = core
                    parts += 1
                    count[core], first[core] = 0, number
                    for f in range(layouts.shape[0]):
                        fillers[core, f] = 0
                else:
                    add_fillers(fillers[core], int(number - last[core]), layouts)
                count[core] += 1
                last[core] = number
            for i in range(parts):
                core = here[i]
                if listed[core] != u:
                    listed[core] = u
                    touched[lists] = core
                    lists += 1
                    bits[core] = 0
                bits[core] += list_bits(int(count[core]), int(last[core] - first[core] + 1), fillers[core], layouts)
        for i in range(lists):
            core = touched[i]
            words = -(-bits[core] // word_bits)
            held[core, 1] += words
            held[core, 2] += 1
            held[core, 4] = max(held[core, 4], words)
        if u >= outside:
            held[core_of[u - outside], 3] += lists


@jit_inline
def add_fillers(fillers: Int, gap: int, layouts: Int) -> None:
    """Add the cost of a gap between two targets of a list in each run-length format."""
    for f in range(layouts.shape[0]):
        if layouts[f, 0] == RUNLENGTH and gap > 1:
            fillers[f] += (gap - 1) >> layouts[f, 3]


@jit
def set_load(
    members: Int, indptr: Int, groups: Int32, kinds: int, layouts: Int, word_bits: int, scratch: Int, touched: Int, mark: int
) -> tuple[int, int, int]:
    """Return words, input axons and the longest list of the neurons `members` (ascending) on one core.

    `groups`: the group of each synapse, `kinds` for each source;
    `scratch`: (groups, 6 + formats) seen, count, first, last; whether the source is listed, its bits (in its first group); fillers. A group
    with another `mark` in `seen` counts as new. `touched`: (groups,) scratch.
    """
    parts = 0
    for number in range(members.size):
        v = members[number]
        for j in range(indptr[v], indptr[v + 1]):
            state = scratch[groups[j]]
            if state[0] != mark:
                state[0] = mark
                state[1], state[2] = 0, number
                for f in range(layouts.shape[0]):
                    state[6 + f] = 0
                touched[parts] = groups[j]
                parts += 1
            else:
                add_fillers(state[6:], int(number - state[3]), layouts)
            state[1] += 1
            state[3] = number
    lists = 0
    for i in range(parts):
        state, first = scratch[touched[i]], touched[i] // kinds * kinds
        owner = scratch[first]
        taken = list_bits(int(state[1]), int(state[3] - state[2] + 1), state[6:], layouts)
        if owner[4] != mark:
            owner[4], owner[5] = mark, 0
            touched[lists] = first
            lists += 1
        owner[5] += taken
    words, longest = 0, 0
    for i in range(lists):
        taken = -(-scratch[touched[i], 5] // word_bits)
        words += taken
        longest = max(longest, taken)
    return words, lists, longest


def entering(order: Int, core_of: Int, indptr: Int, sources: Int32, rates: NDArray[np.float64]) -> float:
    """Return messages per step into the neurons of `order`, which lists those of a core one after another."""
    return float(_entering(order, core_of, indptr, sources, rates, np.full(rates.size, -1, np.int64)))


@jit
def _entering(order: Int, core_of: Int, indptr: Int, sources: Int32, rates: NDArray[np.float64], last: Int) -> Any:
    """Do the work of `entering`; `last` (sources,): -1."""
    total = 0.0
    for v in order:
        for j in range(indptr[v], indptr[v + 1]):
            if last[sources[j]] != core_of[v]:
                last[sources[j]] = core_of[v]
                total += rates[sources[j]]
    return total
