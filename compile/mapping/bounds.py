"""Lower bounds that no mapping can beat, to print beside what ours reached."""

from __future__ import annotations

import numpy as np

from ...hwmodels.chip import Chip
from .load import Wiring, format_words


def cores_bound(wiring: Wiring, chip: Chip) -> int:
    """Return a number of cores below which no partition can go.

    The largest of: neurons / limit; words / limit, each source's list in one piece and in its shortest format;
    and  sum over sources of ceil(fan-out / neurons per core)  against the input axons, the same over the chip's own
    sources against the output axons.
    """
    fan_out = wiring.fan_out
    words = np.min([format_words(fan_out, f, wiring.weight_bits, chip.word_bits) for f in chip.formats], axis=0)
    reached = -(-fan_out // chip.limit("neurons"))
    needs = {
        "neurons": wiring.neurons,
        "synapse_words": int(words.sum()),
        "input_axons": int(reached.sum()),
        "output_axons": int(reached[wiring.outside :].sum()),
    }
    return max(1, *(-(-need // chip.limit(name)) for name, need in needs.items()))


def messages_bound(wiring: Wiring, chip: Chip) -> float:
    """Return messages per step below which no mapping can go:  sum over sources of rate * ceil(fan-out / neurons per core)."""
    return float((wiring.rates * -(-wiring.fan_out // chip.limit("neurons"))).sum())
