"""Counts by core and time step: where and when a network is busy, from spikes by neuron and step."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..report.document import ByStep, StepsOfCores, StepsOfPopulation
from .counts import sops_of_cores

Int = NDArray[np.int64]

__all__ = ["StepTally", "table"]


class StepTally:
    """Adds up spikes by neuron and step over batches, in 64-bit integers; by population (timesteps, neurons)."""

    def __init__(self, deployed: DeployedNetwork) -> None:
        """Start at zero for every population of `deployed`."""
        network = deployed.network
        self.samples = 0
        self.spikes: dict[str, Int] = {p.name: np.zeros((network.timesteps, p.size), np.int64) for p in network.populations}

    def add(self, events: NDArray[Any], spikes: dict[str, NDArray[np.bool_]], by_step: dict[str, Int], entry: str) -> None:
        """Add a batch: the input's payloads, rasters (samples, timesteps, neurons), and the backend's own counts in place of rasters."""
        self.samples += len(events)
        self.spikes[entry] += np.count_nonzero(events, axis=0)
        for name in self.spikes.keys() - {entry}:
            self.spikes[name] += by_step[name] if name in by_step else np.count_nonzero(spikes[name], axis=0)


def table(deployed: DeployedNetwork, tally: StepTally) -> ByStep:
    """Return the counts per sample as stored in results.json, each a list over the steps.

    `populations`: spikes of each; `cores`: spikes of its neurons, SOPs that arrive (of crossbars: synaptic events) and messages that it
    sends; `input_messages`: from off chip.  SOPs of core k at step t:  sum of s[i, t] over the synapses i -> k.
    """
    network, wiring, on_core = deployed.network, deployed.wiring, deployed.mapping.core_of
    samples, cores = max(tally.samples, 1), deployed.mapping.cores
    fired = np.concatenate([tally.spikes[p.name][:, p.living] for p in network.senders], axis=1).T
    inside = fired[wiring.outside :]
    members = sp.csr_array((np.ones(len(on_core), np.int64), (on_core, np.arange(len(on_core)))), shape=(cores, len(on_core)))
    fan_out = np.bincount(wiring.core_pairs(on_core)[0], minlength=len(fired))[:, None]
    sops = sops_of_cores(deployed) @ fired
    return ByStep(
        populations=[StepsOfPopulation(name=name, spikes=_lists(values.sum(axis=1), samples)) for name, values in tally.spikes.items()],
        cores=StepsOfCores(
            spikes=_lists(members @ inside, samples),
            sops=_lists(sops, samples),
            messages=_lists(members @ (fan_out[wiring.outside :] * inside), samples),
        ),
        input_messages=_lists((fan_out[: wiring.outside] * fired[: wiring.outside]).sum(axis=0), samples),
    )


def _lists(values: Int, samples: int) -> Any:
    return (values / samples).tolist()
