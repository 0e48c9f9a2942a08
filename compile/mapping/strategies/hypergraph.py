"""Mt-KaHyPar's multilevel partition of the hypergraph: a net for each source, over its targets, weighted by its rate.

The connectivity objective of that hypergraph, sum of rate * (lambda - 1), differs from the messages by a constant. Capacity is the only
limit that the partitioner knows; a part that exceeds another is split when the cores are filled. (Gottesbueren, Heuer, Maas, Sanders,
Schlag: Scalable High-Quality Hypergraph Partitioning, ACM TALG 2024.)
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..fill import fill
from ..loads.load import Wiring
from .api import Proposal, backwards

EFFORT = "default"
PINS = {"default": 60_000, "best": 3_000_000}  # synapses up to which it is tried: about 1 s and 3 minutes on 2 cores
IMBALANCE = 0.03
WEIGHT = 1000  # weight of the busiest source's net
Int = NDArray[np.int64]


def missing() -> str:
    """Return why the strategy cannot run here, or an empty string."""
    return "" if importlib.util.find_spec("mtkahypar") else "mtkahypar is not installed on this platform"


def propose(wiring: Wiring, chip: Chip, cores: int, effort: str, seed: int) -> Proposal | None:
    """Return the parts one after another; None if that would take too long, or if there would be a single part or none."""
    order = backwards(wiring, {})
    if not 0 < wiring.sources.size <= PINS[effort]:
        return None
    core_of, misfit = fill(wiring, chip, order)
    parts = min(int(core_of.max()) + 1, cores)
    if misfit >= 0 or parts < 2:
        return None
    part = split(wiring, parts, seed)[order]
    grouped = np.argsort(part, kind="stable")
    return Proposal(order[grouped], np.diff(part[grouped], prepend=part[grouped][:1]) > 0)


def split(wiring: Wiring, parts: int, seed: int, *, deterministic: bool = True) -> Int:
    """Return the part of each neuron; parts have about the same number of neurons."""
    import mtkahypar  # pyright: ignore[reportMissingTypeStubs]

    library: Any = _library()
    mtkahypar.set_seed(seed)
    preset = mtkahypar.PresetType.DETERMINISTIC if deterministic else mtkahypar.PresetType.DEFAULT
    context = library.context_from_preset(preset)
    context.set_partitioning_parameters(parts, IMBALANCE, mtkahypar.Objective.KM1)
    context.logging = False
    pointers, targets = wiring.by_source
    weights = np.maximum(1, np.round(wiring.rates / max(float(wiring.rates.max()), 1e-300) * WEIGHT)).astype(np.int64)
    kept = np.flatnonzero((wiring.fan_out > 1) & (wiring.rates > 0))
    nets = [np.unique(targets[pointers[u] : pointers[u + 1]]).tolist() for u in kept]
    graph = library.create_hypergraph(context, wiring.neurons, len(nets), nets, [1] * wiring.neurons, weights[kept].tolist())
    return np.asarray(graph.partition(context).get_partition(), np.int64)


@cache
def _library() -> Any:
    import mtkahypar  # pyright: ignore[reportMissingTypeStubs]

    return mtkahypar.initialize(os.cpu_count() or 1, False)  # once per process
