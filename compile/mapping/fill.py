"""Fills cores with neurons in a given order, each core as far as EVERY limit allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.chip import Chip
from ...jit import jit
from .loads import kernels, shared_lists
from .loads.load import Wiring, layouts, least_words, limits

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
NEURONS, WORDS, INPUTS, OUTPUTS, LONGEST = range(5)


def fill(wiring: Wiring, chip: Chip, order: Int, breaks: NDArray[np.bool_] | None = None, share: float = 1.0) -> tuple[Int, int]:
    """Assign cores along `order`.

    Args:
        order: (some of the neurons,) in the order in which they are taken; targets before their sources if output axons must be exact.
        breaks: per position, whether a new core begins there; None: only where one is full.
        share: of every limit, up to which a core is filled; below 1 it leaves room for the refinement.

    Returns:
        (neurons,) cores from 0, -1 for neurons not in `order`; and a neuron that does not fit a core even by itself, or -1.
    """
    held = np.maximum(1, (limits(chip) * share).astype(np.int64))
    if breaks is None:
        breaks = np.zeros(order.size, np.bool_)
    least = least_words(int(min(wiring.fan_out.max(initial=0), held[NEURONS])), wiring, chip)
    if wiring.labels is not None:  # fewer words than lists have are possible where they are shared
        least = np.zeros_like(least)
        by_label = wiring.indptr, wiring.groups, wiring.labels, wiring.most_kinds
        size, table = wiring.fan_out.size * wiring.most_kinds, layouts(wiring.weight_bits, chip)
        return _fill(order, breaks, wiring, held, least, shared_lists.measure(*by_label, size, table, chip.word_bits))
    table, pointers = layouts(wiring.weight_bits, chip), wiring.by_source[0]
    scratch = np.full(((pointers.size - 1) * wiring.most_kinds, 6 + table.shape[0]), -1, np.int64)
    touched, marks = np.empty((pointers.size - 1) * wiring.most_kinds, np.int64), itertools.count(1)
    by_target = wiring.indptr, wiring.groups, wiring.most_kinds

    def measured(members: Int) -> tuple[int, int, int]:
        return kernels.set_load(members, *by_target, table, chip.word_bits, scratch, touched, next(marks))

    return _fill(order, breaks, wiring, held, least, measured)


def _fill(
    order: Int, breaks: NDArray[np.bool_], wiring: Wiring, held: Int, least: Int, measured: Callable[[Int], tuple[int, int, int]]
) -> tuple[Int, int]:
    """Do the work of `fill`; `measured` returns words, input axons and the longest list of some neurons on one core."""
    indptr, sources, outside = wiring.indptr, wiring.sources, wiring.outside
    pointers, targets = wiring.by_source
    core_of = np.full(indptr.size - 1, -1, np.int64)
    count = np.zeros((pointers.size - 1, 2), np.int64)  # the last core that a source reached, and its synapses there
    count[:, 0] = -1
    seen = np.full(indptr.size + 1, -1, np.int64)
    start, core = 0, 0
    while start < order.size:
        end = _prefix(start, core, order, breaks, indptr, sources, pointers, targets, outside, held, least, core_of, count, seen)
        good, bad = start, end + 1
        probe = end
        while bad - good > 1:
            members = np.sort(order[start:probe])
            words, inputs, longest = measured(members)
            if words <= held[WORDS] and inputs <= held[INPUTS] and longest <= held[LONGEST]:
                good = probe
            else:
                bad = probe
            probe = (good + bad) // 2
        if good == start:
            return core_of, int(order[start])
        core_of[order[good:end]] = -1
        start = good
        core += 1
    return core_of, -1


@jit
def _prefix(
    start: int,
    core: int,
    order: Int,
    breaks: NDArray[np.bool_],
    indptr: Int,
    sources: Int32,
    pointers: Int,
    targets: Int32,
    outside: int,
    held: Int,
    least: Int,
    core_of: Int,
    count: Int,
    seen: Int,
) -> int:
    """Return the end of the range that `core` may take, judged by neurons, axons and the fewest words possible; at least one neuron."""
    words, inputs, outputs, end = 0, 0, 0, start
    while end < order.size and end - start < held[NEURONS] and (end == start or not breaks[end]):
        v = order[end]
        core_of[v] = core
        seen[-1] += 1  # a fresh stamp, since a neuron may be tried on two cores
        u = outside + v
        for j in range(pointers[u], pointers[u + 1]):
            other = core_of[targets[j]]
            if other >= 0 and seen[other] != seen[-1]:
                seen[other] = seen[-1]
                outputs += 1
        for j in range(indptr[v], indptr[v + 1]):
            state = count[sources[j]]
            if state[0] != core:
                state[0] = core
                state[1] = 0
                inputs += 1
            state[1] += 1
            words += least[min(state[1], least.size - 1)] - least[min(state[1] - 1, least.size - 1)]
        if end > start and (words > held[WORDS] or inputs > held[INPUTS] or outputs > held[OUTPUTS]):
            core_of[v] = -1
            break
        end += 1
    return end
