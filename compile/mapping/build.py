"""Puts partition, placement and bounds together into the mapping of a network on a chip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.chip import Chip
from ..network import Network
from . import bounds
from .load import Wiring, range_load
from .partition import output_axons, partition
from .place import hops, place, slot_positions, traffic

Int = NDArray[np.int64]
RESOURCES = ("neurons", "synapse_words", "input_axons", "output_axons")


@dataclass(frozen=True)
class Mapping:
    """Where everything is, and how good that is.

    `core_of`: (neurons,) core of each neuron in global order; `slot_of`: (cores,) chip slot of each core; `tile_of`:
    (cores, 2) its mesh column and row; `load`: (cores, 4) what each holds of RESOURCES; `rates`: (sources,) messages per
    step of each source; the rest: messages per step, hops per message, and lower bounds.
    """

    core_of: Int
    slot_of: Int
    tile_of: Int
    load: Int
    rates: NDArray[np.float64]
    cores_bound: int
    messages_per_step: float
    messages_bound: float
    hops_per_message: float

    @property
    def cores(self) -> int:
        """The number of cores in use."""
        return len(self.slot_of)


def build(network: Network, rates: dict[str, NDArray[np.float64]], chip: Chip) -> Mapping:
    """Map an integer network onto a chip.

    Args:
        rates: by population, spikes per neuron and time step (calibration's averages; 1.0 where unknown).

    Raises:
        DoesNotFitError: layer, limit, need and a way out are named.
    """
    wiring = Wiring.of(network, np.concatenate([rates[p.name][p.living] for p in network.senders]))
    core_of = partition(network, wiring, chip)
    between, entering = traffic(wiring, core_of)
    slot_of = place(between, entering, chip)
    tile_of = slot_positions(chip)[slot_of]
    messages = float(between.sum() + entering.sum())
    crossed = float((between * hops(tile_of[:, None], tile_of[None])).sum())
    crossed += float((entering * hops(tile_of, np.asarray(chip.mesh.entry))).sum())
    return Mapping(
        core_of,
        slot_of,
        tile_of,
        _loads(wiring, core_of, chip),
        wiring.rates,
        bounds.cores_bound(wiring, chip),
        messages,
        bounds.messages_bound(wiring, chip),
        crossed / messages if messages else 0.0,
    )


def _loads(wiring: Wiring, core_of: Int, chip: Chip) -> Int:
    edges = np.concatenate([[0], np.cumsum(np.bincount(core_of))])
    axons = output_axons(wiring, core_of)
    loads = [range_load(wiring, int(edges[c]), int(edges[c + 1]), chip) for c in range(len(edges) - 1)]
    return np.asarray([[w.neurons, w.synapse_words, w.input_axons, a] for w, a in zip(loads, axons, strict=True)], np.int64)
