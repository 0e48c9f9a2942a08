"""Lower bounds that no mapping can beat, to print beside what ours reached."""

from __future__ import annotations

import numpy as np

from ...hwmodels.chip import Chip
from .load import Wiring, format_words


def core_capacity(wiring: Wiring, chip: Chip) -> int:
    """Return a number of neurons that no core can exceed: its limit, and what its words hold of the smallest fan-ins.

    A synapse takes at least its weight and index bits and its share of an entry's prefix, in the shortest of the formats; m
    neurons take at least that for the m smallest fan-ins of the network.
    """
    per_synapse = min(wiring.weight_bits + f.index_bits + (f.prefix_bits + f.index_field_bits) / f.synapses_per_entry for f in chip.formats)
    bits = np.cumsum(np.sort(np.diff(wiring.indptr))) * per_synapse
    held = int(np.searchsorted(bits, chip.limit("synapse_words") * chip.word_bits, side="right"))
    return max(1, min(chip.limit("neurons"), held))


def cores_bound(wiring: Wiring, chip: Chip) -> int:
    """Return a number of cores below which no partition can go.

    The largest of: neurons / `core_capacity`; words / limit, each source's list in one piece and in its shortest format;
    and  sum over sources of ceil(fan-out / capacity)  against the input axons, the same over the chip's own sources against
    the output axons.
    """
    fan_out, capacity = wiring.fan_out, core_capacity(wiring, chip)
    words = np.min([format_words(fan_out, f, wiring.weight_bits, chip.word_bits) for f in chip.formats], axis=0)
    reached = -(-fan_out // capacity)
    needs = {
        "synapse_words": int(words.sum()),
        "input_axons": int(reached.sum()),
        "output_axons": int(reached[wiring.outside :].sum()),
    }
    return max(1, -(-wiring.neurons // capacity), *(-(-need // chip.limit(name)) for name, need in needs.items()))


def messages_bound(wiring: Wiring, chip: Chip) -> float:
    """Return messages per step below which no mapping can go:  sum over sources of rate * ceil(fan-out / core_capacity)."""
    return float((wiring.rates * -(-wiring.fan_out // core_capacity(wiring, chip))).sum())
