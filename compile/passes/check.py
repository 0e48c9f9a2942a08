"""Check what no chip could mend: layers that can never spike, thresholds out of reach, sums that could wrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, NO_MEMORY, STATE_LIMIT, shift
from .. import reference
from ..network import IntegerLIF, Network, Population
from ..pipeline import Calibration, CompileOptions, PassResult

ORDERS = (60,)


@dataclass(frozen=True)
class Pass:
    """Refuse what cannot work, warn of what probably does not. `calibration` finds layers that are silent or saturated in practice."""

    calibration: Calibration | None = None
    seed: int = 0

    def run(self, network: Network) -> PassResult:
        """Apply the pass; the network stays as it is.

        Raises:
            NetworkError: a layer whose threshold no neuron can reach, or whose current could wrap around 24 bits.
        """
        warnings: list[str] = []
        for population in network.spiking:
            warnings += _check_population(network, population)
        if self.calibration is not None:
            warnings += self._check_rates(network, self.calibration)
        return PassResult(network, warnings=tuple(warnings))

    def _check_rates(self, network: Network, calibration: Calibration) -> list[str]:
        spikes = reference.simulate(network, reference.encode(network, calibration.values, seed=self.seed))
        warnings: list[str] = []
        for name, raster in spikes.items():
            rate = float(raster.mean())
            if rate == 0.0:
                warnings.append(f"Layer {name} is silent: none of its neurons spiked on {len(raster):,} training samples.")
            elif rate > 0.9:
                warnings.append(f"Layer {name} is saturated: its neurons spike in {rate:.0%} of all steps.")
        return warnings


def create(options: CompileOptions) -> Pass:
    """Build the pass from the calibration samples and the seed of the rate code."""
    return Pass(options.calibration, options.seed)


def _reach(network: Network, population: Population) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the largest and the smallest input `a` that each neuron can see in one step."""
    high = np.zeros(population.size, np.int64)
    low = np.zeros(population.size, np.int64)
    for projection in network.inputs_of(population.name):
        graded = projection.source == network.populations[0].name and network.input.encoding != "rate"
        weights = reference.matrix(projection.synapses) * (network.input.levels if graded else 1)
        high += shift(np.asarray(weights.maximum(0).sum(axis=1), np.int64).ravel(), projection.exponent)
        low += shift(np.asarray(weights.minimum(0).sum(axis=1), np.int64).ravel(), projection.exponent)
    return high, low


def _check_population(network: Network, population: Population) -> list[str]:
    neuron = population.neuron
    if not isinstance(neuron, IntegerLIF):
        raise NetworkError(f"Layer {population.name} is not quantised.")
    high, low = _reach(network, population)
    if neuron.du in (NO_MEMORY, -1) and max(int(high.max()), -int(low.min())) >= STATE_LIMIT >> ALIGN:
        raise NetworkError(
            f"Layer {population.name}: an input of {max(int(high.max()), -int(low.min())):,} would wrap around the 24-bit current "
            f"(limit {STATE_LIMIT >> ALIGN:,}). Lower the exponents of its weights (train again, or quantise with fewer --weight-bits)."
        )
    keep = 1.0 - neuron.dv / DECAY_ONE
    steps = network.timesteps if keep == 1.0 else (1.0 - keep**network.timesteps) / (1.0 - keep)
    if neuron.du not in (NO_MEMORY, -1):
        steps *= network.timesteps  # a current with memory adds up: a loose bound is enough to rule out
    dead = int((high.astype(np.float64) * steps <= neuron.vth).sum())
    if dead == population.size:
        raise NetworkError(
            f"Layer {population.name}: its threshold {neuron.vth:,} cannot be reached; the strongest input over {network.timesteps} steps "
            f"adds up to {int(high.max() * steps):,}. Use more time steps, a lower threshold or a lower --sparsity."
        )
    return [f"Layer {population.name}: {dead:,} of {population.size:,} neurons can never reach the threshold."] if dead else []
