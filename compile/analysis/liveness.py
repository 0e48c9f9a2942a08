"""Which neurons can matter: those that can ever spike and have a path to the output.

Both are least fixed points, so that a cycle does not keep itself alive: a neuron can spike if neurons already known to spike can drive it
over its threshold, starting from samples and biases; it is needed if it has a synapse onto a neuron already known to be needed,
starting from the output.
"""

from __future__ import annotations

import numpy as np

from ...network.model import Network
from .reach import Masks, can_spike


def able(network: Network) -> Masks:
    """Return, per population, which neurons (size,) could ever spike; for the input, all that were not removed."""
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
    """Return, per population, which neurons lead to the output through weights with `live` sources; for the output, all not removed."""
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
