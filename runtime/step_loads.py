"""The load of every core and link at each step of some samples: a step of a chip lasts as long as its slowest core or link needs.

The mean of the slowest core's time over the steps is more than the time of the core with the largest mean, since another core may be
the slowest at each step. A layer works on step t of a sample when the chip is at step  t + d,  d being the connections on the longest path
to it, and samples follow one another; so the spikes of a layer are moved on by d steps, those at the end to the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..compile.mapping.system import Link, routes
from ..subset import choose
from .counts import Counts, sops_of_cores
from .selection import RATED
from .shards import Peers

__all__ = ["Loads", "StepLoads", "places_of"]

Int = NDArray[np.int64]
WORK = 400_000
"""Pairs of a source and a core, times steps, times samples, up to which loads are worked out: a few hundredths of a second. Beyond it fewer
samples are timed."""
LINK_VALUES = 4_000_000
"""Values of links by step and sample that are kept; of larger systems the mean loads of the links are used."""


@dataclass(frozen=True)
class Loads:
    """Loads by (samples, timesteps, cores), and (samples, timesteps, links).

    `samples`: the number of the run's samples; `dense`, `shared`: those of the SOPs in lists of the dense format, and in
    lists that several sources share; `fired`: which sources spike,
    (sources, samples * timesteps), CSC; `pairs`: (source, core) between which a spike is a message, sorted by source, then core;
    `sops_of_pairs`, `dense_of_pairs`, `shared_of_pairs`: (pairs,) SOPs of that message.
    """

    samples: int
    sops: Int
    dense: Int
    shared: Int
    spikes: Int
    sent: Int
    received: Int
    over_links: Int | None
    links: tuple[Link, ...]
    fired: Any
    pairs: tuple[Int, Int]
    sops_of_pairs: Int
    dense_of_pairs: Int
    shared_of_pairs: Int


class StepLoads:
    """Collects the spikes of some samples of a run, evenly spread over it: the same whatever processes run them."""

    def __init__(self, deployed: DeployedNetwork, samples: int) -> None:
        """Choose the samples, `timed` of them."""
        self._deployed, self._of = deployed, samples
        self._chosen = choose(self._size(), samples).indices()
        self._rows: list[Int] = [np.zeros((0, 2), np.int64)]

    def _size(self) -> int:
        """Return a power of two up to `RATED`, so that the samples are among those whose spikes are recorded."""
        each, size = max(len(self._pairs[0]), 1) * self._deployed.network.timesteps, RATED
        while size > 1 and size * each > WORK:
            size //= 2
        return size

    @cached_property
    def _pairs(self) -> tuple[Int, Int]:
        return self._deployed.wiring.core_pairs(self._deployed.mapping.core_of)

    def add(self, positions: Int, events: NDArray[Any], spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Take the samples of a batch that are timed.

        Args:
            positions: (samples,) place of each in the run.
            events: (samples, timesteps, inputs) payloads.
            spikes: of every other population, (samples, timesteps, neurons).
        """
        steps = self._deployed.network.timesteps
        for k in np.flatnonzero(np.isin(positions, self._chosen)).tolist():
            step, source = np.nonzero(self._moved_on(events[k], {name: raster[k] for name, raster in spikes.items()}))
            column = int(np.searchsorted(self._chosen, positions[k])) * steps + step
            self._rows.append(np.stack([source, column], axis=1))

    def _moved_on(self, events: NDArray[Any], spikes: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return which sources spike at each step of the chip, (timesteps, sources)."""
        network = self._deployed.network
        entry, depth = network.populations[0].name, network.depth()
        host = max((depth[p.name] for p in network.spiking if p.place == "host"), default=0)
        parts: list[NDArray[np.bool_]] = []
        for p in network.senders:
            raster = (events != 0).reshape(len(events), -1) if p.name == entry else spikes[p.name]
            if p.name == entry and network.input.is_once:
                raster = raster & (np.arange(len(raster)) == 0)[:, None]
            parts.append(np.roll(raster[:, p.living], max(depth[p.name] - host, 0), axis=0))
        return np.concatenate(parts, axis=1)

    def gather(self, peers: Peers) -> None:
        """Take what the other processes collected, too."""
        found = peers.exchange(np.ascontiguousarray(np.concatenate(self._rows)).tobytes())
        self._rows = [np.frombuffer(part, np.int64).reshape(-1, 2) for part in found]

    def loads(self, counts: Counts) -> Loads:
        """Return the loads of the samples. `counts`: those of the run."""
        deployed, wiring = self._deployed, self._deployed.wiring
        cores, steps = deployed.mapping.cores, deployed.network.timesteps
        sources, receivers = self._pairs
        source, column = np.concatenate(self._rows).T
        ones, size = np.ones(len(sources), np.int64), wiring.outside + wiring.neurons
        fired: Any = sp.csc_array((np.ones(len(source), np.int64), (source, column)), shape=(size, len(self._chosen) * steps))
        inside, on_core = np.arange(wiring.neurons), deployed.mapping.core_of
        fan_out = np.bincount(sources, minlength=size)[wiring.outside :]
        members, senders = (
            sp.csr_array((each, (on_core, wiring.outside + inside)), shape=(cores, size)) for each in (np.ones_like(inside), fan_out)
        )

        def by_step(matrix: Any) -> Int:
            found: Any = matrix @ fired
            return np.ascontiguousarray(found.toarray().T).reshape(len(self._chosen), steps, -1)

        sops = sops_of_cores(deployed)
        routed = self._routes() if steps * len(self._chosen) * cores * 4 <= LINK_VALUES else None
        return Loads(
            samples=self._of,
            sops=by_step(sops),
            dense=by_step(counts.dense_sops),
            shared=by_step(counts.shared_sops),
            spikes=by_step(members),
            sent=by_step(senders),
            received=by_step(sp.csr_array((ones, (receivers, sources)), shape=(cores, size))),
            over_links=None if routed is None else by_step(routed[0]),
            links=() if routed is None else routed[1],
            fired=fired,
            pairs=self._pairs,
            sops_of_pairs=_at(sops, receivers, sources),
            dense_of_pairs=_at(counts.dense_sops, receivers, sources),
            shared_of_pairs=_at(counts.shared_sops, receivers, sources),
        )

    def _routes(self) -> tuple[Any, tuple[Link, ...]]:
        """Return the messages that a spike of each source sends over each link, (links, sources), and the links."""
        deployed, wiring = self._deployed, self._deployed.wiring
        sources, receivers = self._pairs
        found = routes(places_of(deployed, sources), receivers, deployed.places, deployed.chip)
        shape = (len(sources), wiring.outside + wiring.neurons)
        sent = sp.csr_array((np.ones(len(sources), np.int64), (np.arange(len(sources)), sources)), shape=shape)
        return found.crossed @ sent, found.links


def places_of(deployed: DeployedNetwork, sources: Int) -> Int:
    """Return where the messages of sources begin, (sources, 2): at their core's tile, or where input enters the mesh."""
    start = np.broadcast_to(np.asarray(deployed.chip.mesh.entry), (len(sources), 2)).copy()
    within = sources >= deployed.wiring.outside
    start[within] = deployed.places[deployed.mapping.core_of[sources[within] - deployed.wiring.outside]]
    return start


def _at(matrix: Any, rows: Int, columns: Int) -> Int:
    """Return the values of a sparse matrix at some places."""
    return np.asarray(matrix.tocsr()[rows, columns]).ravel() if len(rows) else np.zeros(0, np.int64)
