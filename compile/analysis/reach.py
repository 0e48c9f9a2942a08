"""The most that a population can receive: bounds on inputs and potentials that hold for every sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, NO_MEMORY, shift
from ...network.model import IntegerLIF, Network, Population, Projection, Threshold

Int = NDArray[np.int64]
Masks = dict[str, NDArray[np.bool_]]  # per population, one flag per neuron


def input_range(network: Network, population: Population, alive: Masks | None = None) -> tuple[Int, Int]:
    """Return the largest and the smallest input `a` that each neuron of an integer population can receive in one step.

    Args:
        alive: per population, the neurons that may spike; those that were not removed if None.
    """
    high, low = np.zeros(population.size, np.int64), np.zeros(population.size, np.int64)
    for projection in network.inputs_of(population.name):
        above, below = sums(network, projection, alive)
        high += shift(above.astype(np.int64), projection.exponent)
        low += shift(below.astype(np.int64), projection.exponent)
    return high, low


def sums(network: Network, projection: Projection, alive: Masks | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of each target's positive and negative weights times the largest payload; exact for integers below 2^53."""
    synapses, largest = projection.synapses, network.payload_of(projection).largest
    sources = network.population(projection.source).living if alive is None else alive[projection.source]
    above, below = (synapses.forward(part(synapses.data, 0), sources) for part in (np.maximum, np.minimum))
    return above * largest, below * largest


def highest_potential(network: Network, population: Population, neuron: IntegerLIF, alive: Masks | None = None) -> NDArray[np.float64]:
    """Return a bound on each neuron's potential, in units of the threshold mantissa, over a whole sample.

    v_T <= (a_max + bias / 64) * sum_{k<T} (1 - dv/4096)^k  for a current without memory, or one that is set once and held; a current
    that decays slowly accumulates, and is bounded by T times that. A negative sum of input and bias bounds the potential of every
    step by itself, since what remains of a negative potential is at most 0.
    """
    keep = 1.0 - neuron.dv / DECAY_ONE
    steps = float(network.timesteps) if keep == 1.0 else (1.0 - keep**network.timesteps) / (1.0 - keep)
    once = network.input.is_once and neuron.du == NEVER_DECAYS
    held = network.timesteps if neuron.du != NO_MEMORY and not once else 1
    each = input_range(network, population, alive)[0].astype(np.float64) * held + population.biases / float(1 << ALIGN)
    return np.where(each > 0.0, each * steps, each)


def can_spike(network: Network, population: Population, alive: Masks | None = None) -> NDArray[np.bool_]:
    """Return which neurons could spike: an excitatory synapse or bias and, unless the neuron is float LIF, a threshold within reach."""
    arriving = network.inputs_of(population.name)
    above = [sums(network, p, alive)[0] for p in arriving]
    excited = population.biases > 0
    for positive in above:
        excited |= positive > 0
    if isinstance(population.neuron, IntegerLIF) and all(p.weight_bits is not None for p in arriving):
        excited &= highest_potential(network, population, population.neuron, alive) > population.neuron.vth
    if isinstance(population.neuron, Threshold):
        units = [network.payload_of(p).scale for p in arriving]
        most = sum((a * unit for a, unit in zip(above, units, strict=True)), population.biases.astype(np.float64))
        excited &= most >= population.neuron.level * (1.0 - 1e-9)  # sums of float weights are rounded
    return excited
