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
from .place import Effort, place, traffic
from .system import hops_of_all, joint_places

Int = NDArray[np.int64]
RESOURCES = ("neurons", "synapse_words", "input_axons", "output_axons")


@dataclass(frozen=True)
class Mapping:
    """Where everything is, and how good that is.

    `core_of`: (neurons,) core of each neuron in global order; `slot_of`: (cores,) slot of each core, numbered through all chips;
    `tile_of`: (cores, 2) its column and row on the mesh of its chip, `chip_of`: (cores,) that chip; `load`: (cores, 4) what each
    holds of RESOURCES; `rates`: (sources,) messages per step of each source; the rest: messages per step, hops per message (within
    chips and from chip to chip together), and lower bounds.
    """

    core_of: Int
    slot_of: Int
    tile_of: Int
    chip_of: Int
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

    @property
    def chips(self) -> int:
        """The number of chips in use."""
        return int(self.chip_of.max(initial=0)) + 1


def build(network: Network, rates: dict[str, NDArray[np.float64]], chip: Chip, *, seed: int = 0, effort: Effort = "default") -> Mapping:
    """Map an integer network onto a chip.

    Args:
        rates: by population, spikes per neuron and time step (calibration's averages; 1.0 where unknown).
        seed: of the placement's annealing; effort: how long it searches, see `place`.

    Raises:
        DoesNotFitError: layer, limit, need and a way out are named.
    """
    wiring = Wiring.of(network, np.concatenate([rates[p.name][p.living] for p in network.senders]))
    core_of = partition(network, wiring, chip)
    between, entering = traffic(wiring, core_of)
    placed = place(between, entering, chip, seed=seed, effort=effort)
    messages = float(between.sum() + entering.sum())
    crossed = sum(hops_of_all(between, entering, joint_places(chip, placed.tile_of, placed.chip_of), chip))
    return Mapping(
        core_of,
        placed.slot_of,
        placed.tile_of,
        placed.chip_of,
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
