"""Drop synapses and neurons that cannot matter, to the fixed point.

A neuron that nothing excites (no live positive synapse), or whose integer threshold no sample could reach, never spikes; one
with no path to the output is never heard.
Both go, with all their synapses, and so may their neighbours then. Inputs and outputs keep their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ..network import Network, Population, Projection, Synapses
from ..pipeline import CompileOptions, PassResult
from ..reach import can_spike

ORDERS = (20, 50)
Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Pass:
    """Remove zero weights, then dead neurons and their synapses."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: a whole layer is dead; the message names it.
        """
        before = (_synapses(network), _neurons(network))
        network = replace(network, projections=tuple(_without_zeros(p) for p in network.projections))
        alive: Masks = {p.name: np.ones(p.size, np.bool_) for p in network.populations}
        while _sweep(network, alive):
            pass
        _check_layers(network, alive)
        network = _shrink(network, alive)
        after = (_synapses(network), _neurons(network))
        if before == after:
            return PassResult(network)
        return PassResult(network, (f"dropped {before[0] - after[0]:,} synapses and {before[1] - after[1]:,} neurons that cannot matter",))


def create(options: CompileOptions) -> Pass:
    """Build the pass; it has no options."""
    del options
    return Pass()


def _synapses(network: Network) -> int:
    return sum(p.synapses.count for p in network.projections)


def _neurons(network: Network) -> int:
    return sum(p.size for p in network.spiking)


def _without_zeros(projection: Projection) -> Projection:
    return replace(projection, synapses=projection.synapses.select(projection.synapses.data != 0))


def _live(projection: Projection, alive: Masks) -> NDArray[np.bool_]:
    synapses = projection.synapses
    return alive[projection.source][synapses.indices] & alive[projection.target][synapses.rows]


def _sweep(network: Network, alive: Masks) -> bool:
    """Mark more neurons dead; return whether any was."""
    live = replace(network, projections=tuple(replace(p, synapses=p.synapses.select(_live(p, alive))) for p in network.projections))
    changed = False
    for population in live.spiking[:-1]:
        heard = np.zeros(population.size, np.bool_)
        for projection in live.outputs_of(population.name):
            heard[projection.synapses.indices] = True
        keep = alive[population.name] & can_spike(live, population) & heard
        changed |= bool((keep != alive[population.name]).any())
        alive[population.name] = keep
    return changed


def _check_layers(network: Network, alive: Masks) -> None:
    for population in network.spiking:
        live = sum(int(_live(p, alive).sum()) for p in network.inputs_of(population.name))
        if live == 0 or not alive[population.name].any():
            stored = sum(p.synapses.count for p in network.inputs_of(population.name))
            raise NetworkError(
                f"Layer {population.name} has no live synapse: none of its {stored:,} stored synapses excites a neuron that leads from "
                f"the input to the output, so the network would answer the same to every sample. Train with a lower --sparsity."
            )


def _shrink(network: Network, alive: Masks) -> Network:
    populations = tuple(_shrink_population(p, alive[p.name]) for p in network.populations)
    projections = tuple(_shrink_projection(p, alive) for p in network.projections)
    return replace(network, populations=populations, projections=projections)


def _shrink_population(population: Population, alive: NDArray[np.bool_]) -> Population:
    return population if alive.all() else replace(population, shape=(int(alive.sum()),))


def _shrink_projection(projection: Projection, alive: Masks) -> Projection:
    kept = projection.synapses.select(_live(projection, alive))
    sources, targets = alive[projection.source], alive[projection.target]
    indptr = np.concatenate([[0], np.cumsum(kept.fan_in[targets])]).astype(np.int64)
    renumbered = (np.cumsum(sources) - 1)[kept.indices].astype(np.int32)
    shape = (int(targets.sum()), int(sources.sum()))
    return replace(projection, synapses=Synapses(indptr, renumbered, kept.data, shape), trained_shape=projection.full_shape)
