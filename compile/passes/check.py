"""Check for errors on any chip: layers that can never spike, thresholds out of reach, sums that could wrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import NetworkError
from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, NO_MEMORY, STATE_LIMIT
from ...network import reference
from ...network.model import IntegerLIF, Network, Population
from ..analysis.advice import if_silent
from ..analysis.reach import highest_potential, input_range
from ..api import Calibration, PassResult, Rates


@dataclass(frozen=True)
class Check:
    """Refuse what cannot work, warn of what probably does not. `calibration` gives the rates: silent and saturated layers."""

    name: ClassVar[str] = "check"

    calibration: Calibration | None = None
    seed: int = 0

    def run(self, network: Network) -> PassResult:
        """Apply the pass; the network stays as it is, its rates are measured.

        Raises:
            NetworkError: a layer whose threshold no neuron can reach, or whose current could wrap around 24 bits.
        """
        warnings: list[str] = []
        for population in network.spiking:
            warnings += _check_population(network, population)
        if self.calibration is None:
            return PassResult(network, warnings=tuple(warnings))
        calibration = self.calibration.affordable(network)
        events = reference.encode(network, calibration.values, seed=self.seed)
        spikes = reference.simulate(network, events)
        rates = {name: raster.mean(axis=(0, 1)) for name, raster in spikes.items()}
        silent = rate_warnings(rates, len(events))
        if network.reading is not None and any(not by_neuron.any() for by_neuron in rates.values()):
            silent.append(network.reading.if_silent)
        warnings += silent
        return PassResult(network, warnings=tuple(warnings), rates=rates | {network.populations[0].name: (events > 0).mean(axis=(0, 1))})


def rate_warnings(rates: Rates, samples: int) -> list[str]:
    """Name the layers that were silent, or spiked nearly always, on `samples` samples; `rates` holds the spikes of each neuron and step."""
    warnings: list[str] = []
    for name, by_neuron in rates.items():
        rate = float(by_neuron.mean())
        if rate == 0.0:
            warnings.append(f"Layer {name} is silent: none of its neurons spiked on {samples:,} training samples.")
        elif rate > 0.9:
            warnings.append(f"Layer {name} is saturated: its neurons spike in {rate:.0%} of all steps.")
    return warnings


def reach_warnings(population: Population, dead: int, refusal: str) -> list[str]:
    """Name a layer in which `dead` neurons can never reach the threshold.

    Raises:
        NetworkError: none of its neurons can; the message is that of `refusal`.
    """
    if dead == population.count:
        raise NetworkError(refusal)
    return [f"Layer {population.name}: {dead:,} of {population.count:,} neurons can never reach the threshold."] if dead else []


def _check_population(network: Network, population: Population) -> list[str]:
    neuron = population.neuron
    if not isinstance(neuron, IntegerLIF):
        raise NetworkError(f"Layer {population.name} is not quantised.")
    if population.bias is not None and not np.issubdtype(population.bias.dtype, np.integer):
        raise NetworkError(f"Layer {population.name} has integer neurons but biases in floating point. Quantise all or none of it.")
    high, low = input_range(network, population)
    adds_up = 1 if neuron.du in (NO_MEMORY, NEVER_DECAYS) else min(network.timesteps, -(-DECAY_ONE // (neuron.du + 1)))
    largest = max(int(high.max()), -int(low.min())) * adds_up
    if largest >= STATE_LIMIT >> ALIGN:
        raise NetworkError(
            f"Layer {population.name}: an input of {largest:,} would wrap around the 24-bit current "
            f"(limit {STATE_LIMIT >> ALIGN:,}). Lower the exponents of its weights (train again, or quantise with fewer --weight-bits)."
        )
    potential = highest_potential(network, population, neuron)
    dead = int((potential <= neuron.vth)[population.living].sum())
    refusal = (
        f"Layer {population.name}: its threshold {neuron.vth:,} cannot be reached; the strongest input and bias over "
        f"{network.timesteps} steps add up to {int(potential.max()):,}. {if_silent(network)}"
    )
    return reach_warnings(population, dead, refusal)
