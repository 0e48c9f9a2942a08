"""Counts first: spikes, SOPs, neuron updates, messages and hops, per layer and per core, all from spikes per neuron.

A synaptic operation (SOP) is a spike that meets a surviving synapse; a message is a spike that goes to a core on which it
has targets; hops are counted by dimension-order routing between the tiles of the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..compile.mapping.place import traffic

Int = NDArray[np.int64]
Float = NDArray[np.float64]


class Tally:
    """Adds up spikes and active updates by neuron over batches, in 64-bit integers."""

    def __init__(self, deployed: DeployedNetwork) -> None:
        """Start at zero for every population of `deployed`."""
        self.samples = 0
        self.spikes: dict[str, Int] = {p.name: np.zeros(p.size, np.int64) for p in deployed.network.populations}
        self.active: dict[str, Int] = {p.name: np.zeros(p.size, np.int64) for p in deployed.network.on_chip}

    def add(self, events: NDArray[Any], spikes: dict[str, NDArray[np.bool_]], active: dict[str, Int], entry: str) -> None:
        """Add a batch: the input's payloads, the spikes of all populations, and the active updates on chip."""
        self.samples += len(events)
        self.spikes[entry] += np.count_nonzero(events, axis=(0, 1))
        for name, raster in spikes.items():
            self.spikes[name] += np.count_nonzero(raster, axis=(0, 1))
        for name in self.active:
            self.active[name] += active[name]


@dataclass(frozen=True)
class Counts:
    """Counts per sample.

    `spikes`, `sops`: by population (sops: arriving at it; host layers 0); `between`: (cores, cores) messages; `entering`:
    (cores,) messages from off chip; `hops`: (horizontal, vertical); by core: `core_sops`, `core_spikes`, `core_updates`,
    `core_active`.
    """

    spikes: dict[str, float]
    sops: dict[str, float]
    between: Float
    entering: Float
    hops: tuple[float, float]
    core_sops: Float
    core_spikes: Float
    core_updates: Float
    core_active: Float
    host_macs: int

    @property
    def messages(self) -> float:
        """Messages per sample, those from off chip included."""
        return float(self.between.sum() + self.entering.sum())


def count(deployed: DeployedNetwork, tally: Tally) -> Counts:
    """Turn spikes per neuron into everything else."""
    network, mapping = deployed.network, deployed.mapping
    chip = {p.name for p in network.on_chip}
    samples = max(tally.samples, 1)
    wiring = deployed.wiring
    outside = [p.name for p in network.populations if p.name not in chip and any(q.target in chip for q in network.outputs_of(p.name))]
    fired = np.concatenate([tally.spikes[n] for n in (*outside, *(p.name for p in network.on_chip))]) / samples
    between, entering = traffic(replace(wiring, rates=fired), mapping.core_of)
    rows = np.repeat(np.arange(wiring.neurons), np.diff(wiring.indptr))
    on_core = mapping.core_of
    active = np.concatenate([tally.active[p.name] for p in network.on_chip]) / samples
    cores = mapping.cores
    sops = {
        p.name: sum(float((tally.spikes[q.source] * q.synapses.fan_out).sum()) / samples for q in network.inputs_of(p.name))
        if p.name in chip
        else 0.0
        for p in network.spiking
    }
    return Counts(
        {name: float(values.sum()) / samples for name, values in tally.spikes.items()},
        sops,
        between,
        entering,
        _hops(deployed, between, entering),
        np.bincount(on_core[rows], weights=fired[wiring.sources], minlength=cores).astype(np.float64),
        np.bincount(on_core, weights=fired[wiring.outside :], minlength=cores).astype(np.float64),
        np.bincount(on_core, minlength=cores).astype(np.float64) * network.timesteps,
        np.bincount(on_core, weights=active, minlength=cores).astype(np.float64),
        sum(p.synapses.count for p in network.projections if p.target not in chip),
    )


def _hops(deployed: DeployedNetwork, between: Float, entering: Float) -> tuple[float, float]:
    tiles = deployed.mapping.tile_of
    entry = np.asarray(deployed.chip.mesh.entry)
    horizontal, vertical = (
        float(
            (between * np.abs(tiles[:, None, axis] - tiles[None, :, axis])).sum() + (entering * np.abs(tiles[:, axis] - entry[axis])).sum()
        )
        for axis in (0, 1)
    )
    return horizontal, vertical
