"""What a population could see at most: bounds on inputs and potentials that hold for every sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..hwmodels.fixed_point import DECAY_ONE, NEVER_DECAYS, NO_MEMORY, shift
from . import reference
from .network import IntegerLIF, Network, Population

Int = NDArray[np.int64]


def input_range(network: Network, population: Population) -> tuple[Int, Int]:
    """Return the largest and the smallest input `a` that each neuron of an integer population can see in one step."""
    high, low = np.zeros(population.size, np.int64), np.zeros(population.size, np.int64)
    for projection in network.inputs_of(population.name):
        graded = projection.source == network.populations[0].name and network.input.encoding != "rate"
        weights = reference.matrix(projection.synapses) * (network.input.levels if graded else 1)
        high += shift(np.asarray(weights.maximum(0).sum(axis=1), np.int64).ravel(), projection.exponent)
        low += shift(np.asarray(weights.minimum(0).sum(axis=1), np.int64).ravel(), projection.exponent)
    return high, low


def highest_potential(network: Network, population: Population, neuron: IntegerLIF) -> NDArray[np.float64]:
    """Return a bound on each neuron's potential, in units of the threshold mantissa, over a whole sample.

    v_T <= a_max * sum_{k<T} (1 - dv/4096)^k  for a current without memory, or one that is set once and held; a current that
    decays slowly adds up, and is bounded by T times that.
    """
    keep = 1.0 - neuron.dv / DECAY_ONE
    steps = float(network.timesteps) if keep == 1.0 else (1.0 - keep**network.timesteps) / (1.0 - keep)
    once = network.input.encoding in ("current", "host") and neuron.du == NEVER_DECAYS
    if neuron.du != NO_MEMORY and not once:
        steps *= network.timesteps
    return input_range(network, population)[0].astype(np.float64) * steps


def can_spike(network: Network, population: Population) -> NDArray[np.bool_]:
    """Return which neurons could spike at all: an excitatory synapse and, in integers, a threshold within reach."""
    excited = np.zeros(population.size, np.bool_)
    for projection in network.inputs_of(population.name):
        excited[projection.synapses.rows[projection.synapses.data > 0]] = True
    if isinstance(population.neuron, IntegerLIF) and network.is_integer:
        excited &= highest_potential(network, population, population.neuron) > population.neuron.vth
    return excited
