"""Lower bounds that no mapping can beat, printed beside the result of our mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..loads.load import Wiring, format_words

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def core_capacity(wiring: Wiring, chip: Chip) -> int:
    """Return a number of neurons that no core can exceed: its limit, and how many of the smallest fan-ins fit its words.

    A synapse takes at least `bits_of_synapse`; m neurons take at least that for the m smallest fan-ins of the network.
    """
    return capacity(np.diff(wiring.indptr), bits_of_synapse(wiring.weight_bits, chip), chip)


def capacity(fan_in: Int, bits: float, chip: Chip) -> int:
    """Return the `core_capacity` of neurons with these fan-ins, with `bits` per synapse."""
    room = chip.limit("synapse_words") * chip.word_bits * (1.0 + 1e-12)  # the share of a prefix is rounded: an exact fit has to pass
    held = int(np.searchsorted(np.cumsum(np.sort(fan_in)) * bits, room, side="right"))
    return max(1, min(chip.limit("neurons"), held))


def reach_bound(wiring: Wiring, chip: Chip) -> Int:
    """Return, per source, a lower bound on the cores that it reaches in any partition.

    Fewer cores could not hold its targets (targets / `core_capacity`), or the words of all the synapses that arrive at them. A target
    that parallel projections reach more than once counts once.
    """
    first, size = _first(wiring), wiring.fan_out.size
    sources, fan_in = wiring.sources[first], np.diff(wiring.indptr)[wiring.rows[first]]
    by_count = -(-np.bincount(sources, minlength=size) // core_capacity(wiring, chip))
    arriving = np.bincount(sources, weights=fan_in, minlength=size)
    by_words = np.ceil(arriving * (bits_of_synapse(wiring.weight_bits, chip) / (chip.limit("synapse_words") * chip.word_bits)) - 1e-9)
    return np.maximum(by_count, by_words.astype(np.int64))


def _first(wiring: Wiring) -> NDArray[np.bool_]:
    """Return which synapses are the first of their source and target: parallel projections repeat them."""
    first = np.ones(wiring.sources.size, np.bool_)
    first[1:] = (np.diff(wiring.sources) != 0) | (np.diff(wiring.rows) != 0)
    return first


def cores_bound(wiring: Wiring, chip: Chip, reached: Int | None = None) -> int:
    """Return a lower bound on the number of cores of any partition; `reached`: the `reach_bound`, if it is known.

    The largest of: neurons / `core_capacity`; words / limit, each source's list in one piece and in its shortest format; the sum of
    `reach_bound` over the limit of input axons, and its sum over the chip's own sources over the limit of output axons.
    (`arriving_bound` would add nothing: each of its terms fits a core, and there are neurons / `core_capacity` of them.)
    """
    fan_out, reached = wiring.fan_out, reach_bound(wiring, chip) if reached is None else reached
    words = np.min([format_words(fan_out, f, wiring.weight_bits, chip.word_bits) for f in chip.formats], axis=0)
    needs = {
        "synapse_words": 0 if chip.shared_lists else int(words.sum()),  # the lists of all sources could be one
        "input_axons": int(reached.sum()),
        "output_axons": int(reached[wiring.outside :].sum()),
    }
    return max(1, -(-wiring.neurons // core_capacity(wiring, chip)), *(-(-need // chip.limit(name)) for name, need in needs.items()))


def arriving_bound(wiring: Wiring, chip: Chip, rates: Float) -> float:
    """Return messages that arrive in any partition:  sum over i of D[capacity * i].

    D: the summed rates of each neuron's sources, in descending order. A core receives at least what its busiest neuron needs. With the
    cores sorted by their busiest neuron, that of core i comes at position capacity * i of D at the latest.
    """
    first = _first(wiring)
    summed = np.bincount(wiring.rows[first], weights=rates[wiring.sources[first]], minlength=wiring.neurons)
    return float(np.sort(summed)[::-1][:: core_capacity(wiring, chip)].sum())


def messages_bound(wiring: Wiring, chip: Chip) -> float:
    """Return a lower bound on messages per step: sum of rate * `reach_bound`, or `arriving_bound` if that is larger."""
    return max(float((wiring.rates * reach_bound(wiring, chip)).sum()), arriving_bound(wiring, chip, wiring.rates))


@dataclass(frozen=True)
class ListBits:
    """Bits that no list goes below:  entry + synapse * its synapses - beside * those whose neighbour on the core is in it as well."""

    entry: float
    synapse: float
    beside: float


def list_bits(wiring: Wiring, chip: Chip, lists: float, beside: float) -> ListBits:
    """Return the line below the bits of every possible list that is highest for lists of this kind.

    Of a synapses of one kind on a core, p follow one whose target is the core's neuron just before. A sparse or run-length list takes a
    slots at least, and a dense one, which has a slot for every neuron that it spans, 2 a - p - 1. The line is below the bits of each format
    for all a and p up to a full entry, in whole words if sources have one kind; for up to two entries without that rounding; and no
    steeper than full entries. That bounds longer lists, whose bits grow by those of a full entry for as many slots.

    Args:
        lists: lists for each synapse, on average; beside: synapses of the last kind, likewise.
    """
    if bits_of_synapse(wiring.weight_bits, chip) <= 0.0:  # the lists of all sources could be one
        return ListBits(0.0, 0.0, 0.0)
    from scipy.optimize import linprog  # takes a while to import, and one core needs none

    word = chip.word_bits if wiring.most_kinds == 1 else 1
    limits: list[tuple[float, float, float, float]] = [(0.0, -0.999, 1.0, 0.0)]  # entry, synapse and beside times these: at most the last
    for f in chip.formats:
        each, prefix, most = wiring.weight_bits + f.index_bits, f.prefix_bits + f.index_field_bits, f.synapses_per_entry
        dense = f.name == "dense"
        limits += [(0.0, most, 0.0, (1 + dense) * (prefix + each * most)), (0.0, most, -most, prefix + each * most)]
        for a in range(1, 2 * most + 1):
            rounded = word if a <= most else 1
            for p in range(a) if dense and a <= most else {0, a - 1}:
                slots = 2 * a - p - 1 if dense else a
                bits = -(-slots // most) * prefix + slots * each
                limits.append((1.0, a, -p, -(-bits // rounded) * rounded))
    rows = np.array(limits)
    found: Any = linprog([-lists, -1.0, beside], A_ub=rows[:, :3], b_ub=rows[:, 3] * (1.0 - 1e-9), bounds=[(0.0, None)] * 3)
    entry, synapse, less = found.x.tolist()
    return ListBits(entry, synapse, less)


def bits_of_synapse(weight_bits: int, chip: Chip) -> float:
    """Return the fewest bits that a synapse takes: weight, index, and its share of an entry's prefix, in the shortest format.

    0 on a chip that shares lists, where any number of synapses may take the words of one list.
    """
    if chip.shared_lists is not None:
        return 0.0
    return min(weight_bits + f.index_bits + (f.prefix_bits + f.index_field_bits) / f.synapses_per_entry for f in chip.formats)
