"""Which neurons can matter: they can come to spike, and a path leads from them to the output.

Both are least fixed points, so that a cycle does not keep itself alive: a neuron can spike if those that are known to can excite it over
its threshold, beginning with samples and biases; it is needed if one that is known to be needed has a synapse of it, beginning at
the output.
"""

from __future__ import annotations

import numpy as np

from ..network.model import Network
from .reach import Masks, can_spike


def able(network: Network) -> Masks:
    """Return, by population, which neurons (size,) could ever spike; of the input, all that were not removed."""
    masks: Masks = {p.name: p.living if i == 0 else np.zeros(p.size, np.bool_) for i, p in enumerate(network.populations)}
    changed = True
    while changed:
        changed = False
        for population in network.spiking:
            now = can_spike(network, population, masks) & population.living
            changed |= bool((now != masks[population.name]).any())
            masks[population.name] = now
    return masks


def needed(network: Network, live: Masks) -> Masks:
    """Return, by population, which neurons lead to the output through weights whose sources are `live`; of the output, all not removed."""
    output = network.populations[-1]
    masks: Masks = {p.name: np.zeros(p.size, np.bool_) for p in network.populations} | {output.name: output.living}
    changed = True
    while changed:
        changed = False
        for population in reversed(network.populations[:-1]):
            now = np.zeros(population.size, np.bool_)
            for projection in network.outputs_of(population.name):
                now |= projection.synapses.backward(np.ones(projection.synapses.weights), masks[projection.target]) > 0
            now &= live[population.name]
            changed |= bool((now != masks[population.name]).any())
            masks[population.name] = now
    return masks
