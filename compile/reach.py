"""What a population could see at most: bounds on inputs and potentials that hold for every sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, NO_MEMORY, shift
from .network import IntegerLIF, Network, Population, Projection, Threshold
from .pipeline import payload

Int = NDArray[np.int64]


def input_range(network: Network, population: Population) -> tuple[Int, Int]:
    """Return the largest and the smallest input `a` that each neuron of an integer population can see in one step."""
    high, low = np.zeros(population.size, np.int64), np.zeros(population.size, np.int64)
    for projection in network.inputs_of(population.name):
        above, below = _sums(network, projection)
        high += shift(above.astype(np.int64), projection.exponent)
        low += shift(below.astype(np.int64), projection.exponent)
    return high, low


def _sums(network: Network, projection: Projection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of each target's positive and negative weights times the largest payload; exact for integers below 2^53."""
    synapses, levels = projection.csr, payload(network, projection)[0]
    parts = (np.maximum(synapses.data, 0), np.minimum(synapses.data, 0))
    above, below = (np.bincount(synapses.rows, weights=part, minlength=synapses.shape[0]).astype(np.float64) for part in parts)
    return above * levels, below * levels


def highest_potential(network: Network, population: Population, neuron: IntegerLIF) -> NDArray[np.float64]:
    """Return a bound on each neuron's potential, in units of the threshold mantissa, over a whole sample.

    v_T <= (a_max + bias / 64) * sum_{k<T} (1 - dv/4096)^k  for a current without memory, or one that is set once and held; a current
    that decays slowly adds up, and is bounded by T times that. A sum that is negative bounds the potential of every step by itself,
    since what is left of a negative potential is at most 0.
    """
    keep = 1.0 - neuron.dv / DECAY_ONE
    steps = float(network.timesteps) if keep == 1.0 else (1.0 - keep**network.timesteps) / (1.0 - keep)
    once = network.input.encoding in ("current", "host") and neuron.du == NEVER_DECAYS
    held = network.timesteps if neuron.du != NO_MEMORY and not once else 1
    each = input_range(network, population)[0].astype(np.float64) * held + population.biases / float(1 << ALIGN)
    return np.where(each > 0.0, each * steps, each)


def can_spike(network: Network, population: Population) -> NDArray[np.bool_]:
    """Return which neurons could spike at all: an excitatory synapse or bias and, in integers and in gates, a threshold within reach."""
    arriving = network.inputs_of(population.name)
    excited = population.biases > 0
    for projection in arriving:
        excited[projection.csr.rows[projection.csr.data > 0]] = True
    if isinstance(population.neuron, IntegerLIF) and all(p.weight_bits is not None for p in arriving):
        excited &= highest_potential(network, population, population.neuron) > population.neuron.vth
    if isinstance(population.neuron, Threshold):
        sums = [_sums(network, p)[0] * payload(network, p)[1] for p in arriving]
        most = sum(sums, population.biases.astype(np.float64))
        excited &= most >= population.neuron.level * (1.0 - 1e-9)  # sums of float weights may round
    return excited
