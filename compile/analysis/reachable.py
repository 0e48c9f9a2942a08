"""Which synapses a spike from the input can cross: the connectivity of a network as trained, as UPR's authors count it.

See docs/methods.md. A neuron that was not removed is reachable if it has a synapse with a nonzero weight from a reachable source;
a memoryless threshold unit is reachable if the positive weights from reachable sources bring it to its threshold. Inputs always are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...network.model import Convolution, Network, Population, Projection, Threshold

__all__ = ["UNCOUNTED", "reachable_synapses"]

UNCOUNTED = "uncounted"  # provenance key under which training lists the layers that are left out, as JSON
ROUNDING = 1e-9  # tolerance for sums of float weights
Masks = Mapping[str, NDArray[np.bool_]]


def reachable_synapses(network: Network, counted: Mapping[str, bool]) -> dict[str, tuple[float, float]]:
    """Return, per layer, the synapses that a spike can cross, and all that there would be if no weight of the layer were zero.

    A synapse from an average over a window is shared equally among the window's neurons. Layers without a counted projection are left out.

    Args:
        network: with float weights, no neuron or synapse dropped yet.
        counted: per projection, whether the weights of its synapses were trained.
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
    """Return which neurons are reachable; loops are followed until nothing changes."""
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
    """Return, per target, the number of synapses with nonzero weights from reachable sources."""
    return projection.synapses.forward((projection.synapses.data != 0).astype(np.float64), reach[projection.source])
