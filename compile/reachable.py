"""Which synapses a spike from the input can cross: connectivity as UPR's authors count it, of a network as it was trained.

See docs/methods.md. A neuron that was not removed is in reach if a synapse of a weight that is not zero ends at it, from a source in reach;
a memoryless threshold unit is, if the positive weights from sources in reach bring it to its threshold. Inputs always are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..network.model import Convolution, Network, Population, Projection, Threshold

__all__ = ["UNCOUNTED", "reachable_synapses"]

UNCOUNTED = "uncounted"  # the key of the provenance under which training names the layers that are left out, as a list in JSON
ROUNDING = 1e-9  # of sums of float weights
Masks = Mapping[str, NDArray[np.bool_]]


def reachable_synapses(network: Network, counted: Mapping[str, bool]) -> dict[str, tuple[float, float]]:
    """Return by layer the synapses that a spike can cross, and all that there could be, no weight of the layer being zero.

    A synapse from an average over a window is shared equally among the window's neurons. Layers without a counted projection are left out.

    Args:
        network: with float weights, no neuron or synapse dropped yet.
        counted: by projection, whether its synapses have weights that were trained.
    """
    reach = _reach(network)
    left_out = _left_out(network)
    found: dict[str, tuple[float, float]] = {}
    for projection in network.projections:
        if not counted[projection.name] or projection.target in left_out:
            continue
        area = projection.synapses.pool**2 if isinstance(projection.synapses, Convolution) else 1
        crossed = _arriving(projection, reach)[network.population(projection.target).living].sum()
        before = found.get(projection.target, (0.0, 0.0))
        found[projection.target] = (before[0] + float(crossed) / area, before[1] + projection.trained.possible_synapses / area)
    return found


def _left_out(network: Network) -> list[str]:
    try:
        names = json.loads(network.provenance.get(UNCOUNTED, "[]"))
    except ValueError:
        return []
    return names if isinstance(names, list) else []


def _reach(network: Network) -> dict[str, NDArray[np.bool_]]:
    """Return which neurons are in reach; loops are followed until nothing changes."""
    entry = network.populations[0]
    reach = {p.name: np.zeros(p.size, np.bool_) for p in network.populations} | {entry.name: entry.living}
    changed = True
    while changed:
        changed = False
        for population in network.spiking:
            now = _reached(network, population, reach) & population.living
            if (now != reach[population.name]).any():
                reach[population.name], changed = now, True
        if not any(p.lag for p in network.projections):
            return reach
    return reach


def _reached(network: Network, population: Population, reach: Masks) -> NDArray[np.bool_]:
    arriving = network.inputs_of(population.name)
    total = np.zeros(population.size)
    if isinstance(population.neuron, Threshold):
        for projection in arriving:
            positive = projection.synapses.forward(np.maximum(projection.synapses.data, 0), reach[projection.source])
            carried = network.payload_of(projection)
            total += positive * (carried.largest * carried.scale)
        return total >= population.neuron.level * (1.0 - ROUNDING)
    for projection in arriving:
        total += _arriving(projection, reach)
    return total > 0


def _arriving(projection: Projection, reach: Masks) -> NDArray[np.float64]:
    """Return, by target, the synapses of weights that are not zero from sources in reach."""
    return projection.synapses.forward((projection.synapses.data != 0).astype(np.float64), reach[projection.source])
