"""Counts first: spikes, SOPs, neuron updates, messages and hops, per layer and per core, all from spikes per neuron.

A synaptic operation (SOP) is a spike that meets a surviving synapse; a message is a spike that goes to a core on which it
has targets; hops follow dimension-order routing between the tiles of the mesh, with those between chips counted separately.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..compile.crossbar.artefact import Crossbars
from ..compile.deployed import DeployedNetwork
from ..compile.mapping.loads.formats import dense_synapses, shared_synapses
from ..compile.mapping.place import traffic
from ..compile.mapping.system import Links, Traffic, hop_parts, link_loads
from ..report.sizes import TrafficTable
from .encoding import count_events

Int = NDArray[np.int64]
Float = NDArray[np.float64]
MOST_CORES = 256
"""Above this number of cores, results.json holds the traffic by tile or chip, to stay small."""


class Tally:
    """Adds up spikes and active updates by neuron over batches, in 64-bit integers."""

    def __init__(self, deployed: DeployedNetwork) -> None:
        """Start at zero for every population of `deployed`."""
        self.samples = 0
        self.spikes: dict[str, Int] = {p.name: np.zeros(p.size, np.int64) for p in deployed.network.populations}
        self.active: dict[str, Int] = {p.name: np.zeros(p.size, np.int64) for p in deployed.network.on_chip}

    def add(self, events: NDArray[Any], fired: dict[str, Int], active: dict[str, Int], entry: str) -> None:
        """Add a batch: the input's payloads, the spikes of each neuron of all populations, and the active updates on chip.

        Payloads are counted here unless `fired` has them.
        """
        self.samples += len(events)
        if entry not in fired:
            self.spikes[entry] += count_events(events)
        for name, counted in fired.items():
            self.spikes[name] += counted
        for name in self.active:
            self.active[name] += active[name]


@dataclass(frozen=True)
class Counts:
    """Counts per sample.

    `sops_of`: by projection, a host's included; `spikes`, `sops` (arriving; host layers 0), `messages_of`, `hops_of` (sent): by population;
    `between`: (cores, cores) messages, CSR;
    `entering`: (cores,) messages from off chip; `hops`: (horizontal, vertical, chip to chip); `links`: messages over each;
    by core: `core_sops` (of crossbars: synaptic events, set bits under a spike), `core_spikes`, `core_updates`, `core_active`,
    `core_hops` (of the messages it sends); `fired`: spikes of each source of messages; `dense_sops`: (cores, sources) SOPs of a spike
    that are read from entries of the dense format; `shared_sops`: those of lists that several sources share, which are not in `dense_sops`.
    """

    spikes: dict[str, float]
    sops_of: dict[str, float]
    sops: dict[str, float]
    messages_of: dict[str, float]
    hops_of: dict[str, float]
    between: Traffic
    entering: Float
    hops: tuple[float, float, float]
    links: Links
    core_sops: Float
    core_spikes: Float
    core_updates: Float
    core_active: Float
    core_hops: Float
    fired: Float
    host_macs: int
    dense_sops: Any
    shared_sops: Any

    @property
    def core_shared(self) -> Float:
        """(cores,) the SOPs that are read from lists that several sources of the core share."""
        return self.shared_sops @ self.fired

    @property
    def core_dense(self) -> Float:
        """(cores,) the SOPs that are read from entries of the dense format."""
        return self.dense_sops @ self.fired

    @property
    def messages(self) -> float:
        """Messages per sample, those from off chip included."""
        return float(self.between.sum() + self.entering.sum())


def count(deployed: DeployedNetwork, tally: Tally) -> Counts:
    """Derive all other counts from spikes per neuron."""
    network, wiring, on_core = deployed.network, deployed.wiring, deployed.mapping.core_of
    chip = {p.name for p in network.on_chip}
    samples, cores = max(tally.samples, 1), deployed.mapping.cores
    senders = network.senders
    fired = np.concatenate([tally.spikes[p.name][p.living] for p in senders]) / samples
    between, entering = traffic(replace(wiring, rates=fired), on_core)
    messages, parts = _sent(deployed, fired)
    hops, (horizontal, vertical, crossing) = parts.sum(axis=1), parts.sum(axis=0).tolist()
    active = np.concatenate([tally.active[p.name][p.living] for p in network.on_chip]) / samples
    ends = np.cumsum([0, *(p.count for p in senders)])
    sops_of = {p.name: int((tally.spikes[p.source] * network.fan_out(p)).sum()) / samples for p in network.projections}
    return Counts(
        spikes={name: float(values.sum()) / samples for name, values in tally.spikes.items()},
        sops_of=sops_of,
        sops={p.name: sum(sops_of[q.name] for q in network.inputs_of(p.name)) if p.name in chip else 0.0 for p in network.spiking},
        messages_of={p.name: float(messages[a:b].sum()) for p, a, b in zip(senders, ends, ends[1:], strict=False)},
        hops_of={p.name: float(hops[a:b].sum()) for p, a, b in zip(senders, ends, ends[1:], strict=False)},
        between=between,
        entering=entering,
        hops=(horizontal, vertical, crossing),
        links=link_loads(between, entering, deployed.places, deployed.chip),
        core_sops=_events(deployed.crossbars, fired)
        if deployed.crossbars
        else _by_core(on_core[wiring.rows], fired[wiring.sources], cores),
        core_spikes=_by_core(on_core, fired[wiring.outside :], cores),
        core_updates=np.bincount(on_core, minlength=cores).astype(np.float64) * network.timesteps,
        core_active=_by_core(on_core, active, cores),
        core_hops=_by_core(on_core, hops[wiring.outside :], cores),
        fired=fired,
        dense_sops=dense_sops_of_cores(deployed),
        shared_sops=shared_sops_of_cores(deployed),
        host_macs=sum(network.synapses_of(p) for p in network.projections if p.target not in chip),
    )


def sops_of_cores(deployed: DeployedNetwork) -> Any:
    """Return how many synaptic operations a spike of each source causes on each core, (cores, sources)."""
    wiring, cores = deployed.wiring, deployed.mapping.cores
    shape = (cores, wiring.outside + wiring.neurons)
    if deployed.crossbars is None:
        ones = np.ones(len(wiring.sources), np.int64)
        return sp.csr_array((ones, (deployed.mapping.core_of[wiring.rows], wiring.sources)), shape=shape)
    crossbars = deployed.crossbars
    rows = crossbars.bits.sum(axis=2, dtype=np.int64) * (crossbars.axon_type >= 0)
    core = np.repeat(np.arange(len(rows)), rows.shape[1])
    return sp.csr_array((rows.ravel(), (core, np.maximum(crossbars.axon_source, 0).ravel())), shape=shape)  # unused axons: no rows


def shared_sops_of_cores(deployed: DeployedNetwork) -> Any:
    """Return those of them that are read from lists that several sources share, which models may price apart, (cores, sources)."""
    if deployed.crossbars is not None:
        return sp.csr_array((deployed.mapping.cores, deployed.wiring.outside + deployed.wiring.neurons), dtype=np.int64)
    return shared_synapses(deployed.wiring, deployed.mapping.core_of, deployed.chip)


def dense_sops_of_cores(deployed: DeployedNetwork) -> Any:
    """Return those of them that are read from entries of the dense format and not from shared lists, likewise, (cores, sources)."""
    wiring, on_core = deployed.wiring, deployed.mapping.core_of
    if deployed.crossbars is not None:
        return sp.csr_array((deployed.mapping.cores, wiring.outside + wiring.neurons), dtype=np.int64)
    return dense_synapses(wiring, on_core, deployed.chip)


def _events(crossbars: Crossbars, fired: Float) -> Float:
    """Return the synaptic events of each core: set bits in the rows of the axons that spike."""
    rows = crossbars.bits.sum(axis=2, dtype=np.int64) * (crossbars.axon_type >= 0)
    return (rows * fired[crossbars.axon_source]).sum(axis=1)


def _by_core(core_of: Int, values: Float, cores: int) -> Float:
    return np.bincount(core_of, weights=values, minlength=cores).astype(np.float64)


def _sent(deployed: DeployedNetwork, fired: Float) -> tuple[Float, Float]:
    """Return, by source, its messages (sources,) and their horizontal, vertical and chip-crossing hops (sources, 3)."""
    wiring, places = deployed.wiring, deployed.places
    sources, targets = wiring.core_pairs(deployed.mapping.core_of)
    size = wiring.outside + wiring.neurons
    start = np.tile(np.asarray(deployed.chip.mesh.entry), (size, 1))
    start[wiring.outside :] = places[deployed.mapping.core_of]
    parts = hop_parts(start[sources], places[targets], deployed.chip)
    messages = np.bincount(sources, weights=fired[sources], minlength=size).astype(np.float64)
    hops = [np.bincount(sources, weights=fired[sources] * parts[:, k], minlength=size) for k in range(3)]
    return messages, np.stack(hops, axis=1).astype(np.float64)


def traffic_table(deployed: DeployedNetwork, counts: Counts) -> TrafficTable:
    """Return the traffic as stored in results.json, by the smallest unit with at most `MOST_CORES` of them (else by chip)."""
    mapping = deployed.mapping
    entering, between = counts.entering, counts.between
    if mapping.cores <= MOST_CORES:
        ends: dict[str, Any] = {"unit": "core", "cores": list(range(mapping.cores))}
    else:
        tiles = np.column_stack([mapping.chip_of, mapping.tile_of])
        groups, member = np.unique(tiles, axis=0, return_inverse=True)
        unit = "tile"
        if len(groups) > MOST_CORES:
            groups, member, unit = np.unique(mapping.chip_of)[:, None], mapping.chip_of, "chip"
        gather = sp.csr_array((np.ones(mapping.cores), (member.ravel(), np.arange(mapping.cores))))
        between, entering = gather @ between @ gather.T, gather @ entering
        ends = {"unit": unit, "names": [_group_name(group, mapping.chips) for group in groups.tolist()]}
    ends |= {"messages_per_sample": between.toarray().tolist(), "input_messages_per_sample": entering.tolist()}
    return TrafficTable(**ends)


def _group_name(group: list[int], chips: int) -> str:
    """Write a chip as "3", a tile as "1,2", or "3:1,2" on one of several chips."""
    tile = ",".join(str(v) for v in group[1:])
    if not tile:
        return str(group[0])
    return tile if chips == 1 else f"{group[0]}:{tile}"
