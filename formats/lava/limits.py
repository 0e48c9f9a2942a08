"""What Lava's bit-accurate processes compute exactly, and which networks exceed it."""

from __future__ import annotations

import math

import numpy as np

from ...hwmodels.fixed_point import BIAS_BITS, BIAS_EXPONENT_MAX, NO_MEMORY, holds_bias
from ...network.model import IntegerLIF, Network, Population, Projection

__all__ = ["bounded", "obstacle"]

# Lava computes in int32: W s is taken doubled, and a << 6 is added to the current. Up to |a| = 2^18 one wrap brings the current back into
# its 24 bits; beyond, what is left over must not add up past 32 bits.
SUM_LIMIT = 1 << 30
WRAP_LIMIT = 1 << 18
CURRENT_LIMIT = (1 << 25) - (1 << 17)


def obstacle(network: Network, levels: int) -> str | None:
    """Return why Lava would not compute a flat integer network exactly: the population or projection, and the limit. None if it would.

    Args:
        network: without convolutions and removed neurons (`Network.flat`).
        levels: the largest payload that enters it.
    """
    return next((reason for p in network.spiking if (reason := _obstacle_of(network, p, levels))), None)


def bounded(network: Network, levels: int) -> bool:
    """Whether the exactness holds for samples of any length: no current can grow past 24 bits and its one wrap, step after step."""
    return all(_current(network, p, levels) <= WRAP_LIMIT or not _remembers(p) for p in network.spiking)


def _obstacle_of(network: Network, p: Population, levels: int) -> str | None:
    if p.place != "chip" or not isinstance(p.neuron, IntegerLIF):
        return f"Population {p.name!r} is not of integer neurons on the chip, all that Lava runs."
    if not holds_bias(p.biases).all():
        return (
            f"Population {p.name!r} has biases beyond {BIAS_BITS} bits shifted by up to {BIAS_EXPONENT_MAX}, which "
            "Lava's neurons do not hold. Compile the network again, without biases that large."
        )
    for q in network.inputs_of(p.name):
        data = q.synapses.data
        if q.weight_bits is None or (data.size and not -256 <= data.min() <= data.max() <= 255):
            return f"Projection {q.name!r} has weights beyond the integers -256..255 of Lava. Quantise to at most 9 bits."
    current = _current(network, p, levels)
    if current > WRAP_LIMIT and _remembers(p):
        current *= network.timesteps
    sums = [_largest_sum(network, q, levels) for q in network.inputs_of(p.name)]
    if any(total >= SUM_LIMIT for total in sums) or current >= CURRENT_LIMIT:
        return (
            f"The input of population {p.name!r} may add up to {current:.3g}; Lava computes in 32 bits, which hold {CURRENT_LIMIT}. "
            "Use a smaller exponent."
        )
    return None


def _remembers(population: Population) -> bool:
    return isinstance(population.neuron, IntegerLIF) and population.neuron.du < NO_MEMORY


def _current(network: Network, population: Population, levels: int) -> float:
    """Return the largest |a| of a step."""
    arriving = network.inputs_of(population.name)
    return sum(math.ceil(_largest_sum(network, q, levels) * 2.0**q.exponent) for q in arriving)


def _largest_sum(network: Network, projection: Projection, levels: int) -> float:
    """Return the largest |W s| that spikes can cause."""
    s = projection.synapses.unrolled()
    largest = levels if projection.source == network.populations[0].name else 1
    return largest * float(np.bincount(s.rows, np.abs(s.data.astype(np.float64)), s.shape[0]).max(initial=0))
