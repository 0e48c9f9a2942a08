"""Spikes of each layer at each step, over the samples whose rasters a run holds anyway."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..network.model import Network
from ..report.document import Rates, RatesOfPopulation

__all__ = ["StepRates"]


class StepRates:
    """Adds up spikes by population and time step over batches, in 64-bit integers."""

    def __init__(self, network: Network) -> None:
        """Start at zero for every spiking population of `network`."""
        self.samples = 0
        self.spikes = {p.name: np.zeros(network.timesteps, np.int64) for p in network.spiking}

    def add(self, spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Add a batch: of every population its spikes (samples, timesteps, neurons)."""
        self.samples += len(next(iter(spikes.values())))
        for name in self.spikes:
            self.spikes[name] += np.count_nonzero(spikes[name], axis=2).sum(axis=0)

    def document(self, network: Network) -> Rates:
        """Return the `samples`, and by population the mean spikes a neuron that was not removed at each step, 0..1."""
        held = {p.name: max(self.samples, 1) * max(p.count, 1) for p in network.spiking}
        rows = [
            RatesOfPopulation(name=name, rate_per_step=[round(float(v), 9) for v in spikes / held[name]])
            for name, spikes in self.spikes.items()
        ]
        return Rates(samples=self.samples, populations=rows)
