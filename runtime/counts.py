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

    def add(self, events: NDArray[Any], fired: dict[str, Int], active: dict[str, Int], entry: str) -> None:
        """Add a batch: the input's payloads, the spikes of each neuron of all populations, and the active updates on chip."""
        self.samples += len(events)
        self.spikes[entry] += np.count_nonzero(events, axis=(0, 1))
        for name, counted in fired.items():
            self.spikes[name] += counted
        for name in self.active:
            self.active[name] += active[name]


@dataclass(frozen=True)
class Counts:
    """Counts per sample.

    `spikes`, `sops` (arriving; host layers 0), `messages_of`, `hops_of` (sent): by population; `between`: (cores, cores) messages;
    `entering`: (cores,) messages from off chip; `hops`: (horizontal, vertical); by core: `core_sops`, `core_spikes`,
    `core_updates`, `core_active`, `core_hops` (of the messages it sends).
    """

    spikes: dict[str, float]
    sops: dict[str, float]
    messages_of: dict[str, float]
    hops_of: dict[str, float]
    between: Float
    entering: Float
    hops: tuple[float, float]
    core_sops: Float
    core_spikes: Float
    core_updates: Float
    core_active: Float
    core_hops: Float
    host_macs: int

    @property
    def messages(self) -> float:
        """Messages per sample, those from off chip included."""
        return float(self.between.sum() + self.entering.sum())


def count(deployed: DeployedNetwork, tally: Tally) -> Counts:
    """Turn spikes per neuron into everything else."""
    network, wiring, on_core = deployed.network, deployed.wiring, deployed.mapping.core_of
    chip = {p.name for p in network.on_chip}
    samples, cores = max(tally.samples, 1), deployed.mapping.cores
    senders = network.senders
    fired = np.concatenate([tally.spikes[p.name][p.living] for p in senders]) / samples
    between, entering = traffic(replace(wiring, rates=fired), on_core)
    messages, horizontal, vertical = _sent(deployed, fired)
    active = np.concatenate([tally.active[p.name][p.living] for p in network.on_chip]) / samples
    ends = np.cumsum([0, *(p.count for p in senders)])
    return Counts(
        spikes={name: float(values.sum()) / samples for name, values in tally.spikes.items()},
        sops=_arriving(deployed, tally),
        messages_of={p.name: float(messages[a:b].sum()) for p, a, b in zip(senders, ends, ends[1:], strict=False)},
        hops_of={p.name: float((horizontal + vertical)[a:b].sum()) for p, a, b in zip(senders, ends, ends[1:], strict=False)},
        between=between,
        entering=entering,
        hops=(float(horizontal.sum()), float(vertical.sum())),
        core_sops=_by_core(on_core[wiring.rows], fired[wiring.sources], cores),
        core_spikes=_by_core(on_core, fired[wiring.outside :], cores),
        core_updates=np.bincount(on_core, minlength=cores).astype(np.float64) * network.timesteps,
        core_active=_by_core(on_core, active, cores),
        core_hops=_by_core(on_core, (horizontal + vertical)[wiring.outside :], cores),
        host_macs=sum(network.synapses_of(p) for p in network.projections if p.target not in chip),
    )


def _by_core(core_of: Int, values: Float, cores: int) -> Float:
    return np.bincount(core_of, weights=values, minlength=cores).astype(np.float64)


def _arriving(deployed: DeployedNetwork, tally: Tally) -> dict[str, float]:
    """Return the SOPs that arrive at each population; a host's layer has none."""
    network, samples = deployed.network, max(tally.samples, 1)
    return {
        p.name: sum(int((tally.spikes[q.source] * network.fan_out(q)).sum()) for q in network.inputs_of(p.name)) / samples
        if p.place == "chip"
        else 0.0
        for p in network.spiking
    }


def _sent(deployed: DeployedNetwork, fired: Float) -> tuple[Float, Float, Float]:
    """Return, by source, its messages and their horizontal and vertical hops."""
    wiring, tiles = deployed.wiring, deployed.mapping.tile_of
    sources, targets = wiring.core_pairs(deployed.mapping.core_of)
    start = np.tile(np.asarray(deployed.chip.mesh.entry), (wiring.outside + wiring.neurons, 1))
    start[wiring.outside :] = tiles[deployed.mapping.core_of]
    away = np.abs(start[sources] - tiles[targets])
    size = wiring.outside + wiring.neurons
    messages, horizontal, vertical = (
        np.bincount(sources, weights=fired[sources] * times, minlength=size).astype(np.float64)
        for times in (np.ones(len(sources)), away[:, 0], away[:, 1])
    )
    return messages, horizontal, vertical
