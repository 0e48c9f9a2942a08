"""Lower memoryless threshold units (a pooling window's OR, the AND of branches) to the chip's LIF neuron, exactly.

A unit spikes when  n >= L,  n the integer sum of weights times spikes (payloads, where samples enter) of this same step. On the chip:
exponent 1, so that a = 2 n;  du = 4095 (no current is left over);  dv = 4095;  vth = 2 L - 1. Then

    v = 128 n + r,    r = tz(v_before / 4096), the rest of the previous potential if the neuron did not spike, 0 if it did,
    s = v > 64 (2 L - 1) = 128 L - 64.

n >= L requires r > -64, and n <= L - 1 requires r <= 64; so the unit is exact when |r| < 64. A potential without a spike is at
most 128 L - 64, so r < 64 when L <= 2047. From below, with n >= -2047 at all times,  v >= -128 * 2047 - 63 > -64 * 4096,  so r >= -63,
by induction over the steps. With a weight of 1 and no exponent, a leftover of 1 could tip n = L - 1 over; doubling puts the
threshold half way between two sums. Where the samples' current is held (du = -1), u is the same 128 n in every step, and the same holds.

A bias shifts the level of a single unit: with levels L_j, the largest of them L, neuron j gets the bias 128 (L - L_j), exactly, and the n
above becomes  n + L - L_j.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...hwmodels.fixed_point import ALIGN, NEVER_DECAYS, NO_MEMORY, largest_weight
from ...network.model import IntegerLIF, Network, Population, Projection, Threshold
from ..analysis import reach
from ..api import PassResult

LARGEST = 2047  # bound on levels and on negative sums; see above
EXPONENT = 1


@dataclass(frozen=True)
class Lower:
    """Make every `Threshold` population one of chip neurons that spike the same."""

    name: ClassVar[str] = "lower"

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: weights that are not whole numbers, or sums too large for the neuron to distinguish; the layer is named.
        """
        changes: list[str] = []
        for population in network.spiking:
            if isinstance(population.neuron, Threshold):
                network = _lower(network, population, population.neuron)
                changes.append(f"{population.name}: a gate of level {population.neuron.level:g} as a neuron without memory")
        return PassResult(network, tuple(changes))


def _lower(network: Network, population: Population, gate: Threshold) -> Network:
    arriving = network.inputs_of(population.name)
    units = {network.payload_of(p).scale for p in arriving} or {1.0}
    if len(units) > 1:
        raise NetworkError(
            f"Layer {population.name} adds samples and spikes, which have different units, in one threshold unit. Use --encoding rate."
        )
    levels = whole_levels(population, gate, units.pop())
    top = int(levels.max())
    high, low = _sums(network, population, arriving)
    if not 1 <= top <= LARGEST or int((low + top - levels).min()) < -LARGEST or int((high + top - levels).max()) >= 1 << 16:
        raise NetworkError(
            f"Layer {population.name}: a gate of level {gate.level:g} over sums of {int(low.min()):,} to {int(high.max()):,}; the chip's "
            f"neuron tells levels up to {LARGEST:,} and sums above -{LARGEST:,} apart exactly. Use smaller windows or fewer branches."
        )
    held = any(network.payload_of(p).once for p in arriving)
    neuron = IntegerLIF(NEVER_DECAYS if held else NO_MEMORY, NO_MEMORY, 2 * top - 1)
    bias = None if population.bias is None else ((top - levels) << (ALIGN + EXPONENT)).astype(np.int32)
    network = network.with_population(replace(population, neuron=neuron, bias=bias))
    for projection in arriving:
        network = network.with_projection(_in_integers(projection))
    return network


def whole_levels(population: Population, gate: Threshold, unit: float) -> NDArray[np.int64]:
    """Return, per channel, the smallest integer sum n with  n * unit + bias >= level,  in the arithmetic of the float network."""
    bias = np.zeros(1) if population.bias is None else population.bias.astype(np.float64)
    levels = np.ceil((gate.level - bias) / unit)
    levels = np.where((levels - 1) * unit + bias >= gate.level, levels - 1, levels)
    return np.where(levels * unit + bias >= gate.level, levels, levels + 1).astype(np.int64)


def _sums(network: Network, population: Population, arriving: list[Projection]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the largest and smallest sums that each channel's neurons can receive (per neuron if there is no bias)."""
    high, low = np.zeros(population.size), np.zeros(population.size)
    for projection in arriving:
        _whole(projection)
        above, below = reach.sums(network, projection)
        high, low = high + above, low + below
    channels = population.shape[0] if population.bias is not None else 1
    return high.reshape(channels, -1).max(axis=1).astype(np.int64), low.reshape(channels, -1).min(axis=1).astype(np.int64)


def _whole(projection: Projection) -> NDArray[np.int32]:
    data: NDArray[Any] = projection.synapses.data
    whole = np.rint(data).astype(np.int32)
    trained = projection.weight_bits is not None and projection.exponent != 0
    if (whole != data).any() or np.abs(whole).max(initial=0) > largest_weight(8) or trained:
        raise NetworkError(
            f"Projection {projection.name} leads into a threshold unit, which counts spikes: its weights must be whole numbers within "
            f"-{largest_weight(8)}..{largest_weight(8)}. Put a spiking layer between."
        )
    return whole


def _in_integers(projection: Projection) -> Projection:
    data = _whole(projection)
    largest = int(np.abs(data).max(initial=0))
    bits = next(b for b in range(2, 9) if largest <= largest_weight(b))
    synapses = projection.synapses.with_data(data)
    return replace(projection, synapses=synapses, exponent=EXPONENT, weight_bits=bits, scale=2.0**EXPONENT)
