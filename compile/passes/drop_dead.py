"""Drop synapses and neurons that cannot matter, to the fixed point.

A neuron that nothing excites (no live positive synapse, no positive bias), or whose threshold no sample could reach, never spikes; one
with no path to the output is never heard. Both go, with all their synapses, and so may their neighbours then; a neuron that spikes by
its bias alone stays as long as it is heard. A layer of a branch may go altogether, with a warning, as long as another way leads from
the input to the output. Inputs and outputs keep their numbers.
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
    """Remove zero weights, then dead neurons and their synapses, then layers that are left with neither."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: no live way leads from the input to the output; the message names the layer where it ends.
        """
        before = (_synapses(network), _neurons(network))
        live = replace(network, projections=tuple(_without_zeros(p) for p in network.projections))
        alive: Masks = {p.name: np.ones(p.size, np.bool_) for p in live.populations}
        while _sweep(live, alive):
            live = replace(live, projections=tuple(_select(p, _live(p, alive)) for p in live.projections))
        _check_way(network, live)
        gone = [p.name for p in live.spiking if not alive[p.name].any()]
        network = _shrink(live, alive)
        after = (_synapses(network), _neurons(network))
        if before == after:
            return PassResult(network)
        change = f"dropped {before[0] - after[0]:,} synapses and {before[1] - after[1]:,} neurons that cannot matter"
        return PassResult(network, (change,), tuple(f"Layer {name} cannot matter to the output and was dropped." for name in gone))


def create(options: CompileOptions) -> Pass:
    """Build the pass; it has no options."""
    del options
    return Pass()


def _synapses(network: Network) -> int:
    return sum(p.csr.count for p in network.projections)


def _neurons(network: Network) -> int:
    return sum(p.size for p in network.spiking)


def _select(projection: Projection, keep: NDArray[np.bool_]) -> Projection:
    """Keep some synapses; what was trained stays on record."""
    if keep.all():
        return projection
    return replace(projection, synapses=projection.csr.select(keep), origin=projection.trained)


def _without_zeros(projection: Projection) -> Projection:
    if projection.origin is not None:
        return _select(projection, projection.csr.data != 0)
    kept = replace(projection, synapses=projection.csr.select(projection.csr.data != 0))  # a zero is no weight that survived
    return replace(kept, origin=kept.trained)


def _live(projection: Projection, alive: Masks) -> NDArray[np.bool_]:
    synapses = projection.csr
    return alive[projection.source][synapses.indices] & alive[projection.target][synapses.rows]


def _sweep(live: Network, alive: Masks) -> bool:
    """Mark more neurons dead, given that all synapses of `live` are; return whether any was."""
    changed = False
    for population in live.spiking[:-1]:
        heard = np.zeros(population.size, np.bool_)
        for projection in live.outputs_of(population.name):
            heard[projection.csr.indices] = True
        keep = alive[population.name] & can_spike(live, population) & heard
        changed |= bool((keep != alive[population.name]).any())
        alive[population.name] = keep
    return changed


def _check_way(network: Network, live: Network) -> None:
    """Refuse a network whose output hears nothing of the input, and name the layer where the way ends."""
    if network.populations[-1].name not in _deaf(live):
        return
    deaf = next(iter(_deaf(_excited(network)) or _deaf(live)))
    stored = sum(p.csr.count for p in network.inputs_of(deaf))
    raise NetworkError(
        f"Layer {deaf} has no live synapse: none of its {stored:,} stored synapses excites a neuron that leads from "
        f"the input to the output, so the network would answer the same to every sample. Train with a lower --sparsity."
    )


def _deaf(network: Network) -> list[str]:
    """Return the layers to which no synapses lead from the input, in order."""
    hears = {network.populations[0].name}
    for population in network.spiking:
        if any(p.source in hears and p.csr.count for p in network.inputs_of(population.name)):
            hears.add(population.name)
    return [p.name for p in network.spiking if p.name not in hears]


def _excited(network: Network) -> Network:
    """Return the network with the synapses of neurons that can spike, whether or not they are heard: layer by layer from the input."""
    alive: Masks = {p.name: np.ones(p.size, np.bool_) for p in network.populations}
    network = replace(network, projections=tuple(_without_zeros(p) for p in network.projections))
    for population in network.spiking[:-1]:
        alive[population.name] = can_spike(network, population)
        ends = network.inputs_of(population.name) + network.outputs_of(population.name)
        for projection in ends:
            network = network.with_projection(_select(projection, _live(projection, alive)))
    return network


def _shrink(network: Network, alive: Masks) -> Network:
    populations = tuple(_shrink_population(p, alive[p.name]) for p in network.populations if alive[p.name].any())
    projections = tuple(_shrink_projection(p, alive) for p in network.projections if p.csr.count)
    return replace(network, populations=populations, projections=projections)


def _shrink_population(population: Population, alive: NDArray[np.bool_]) -> Population:
    if alive.all():
        return population
    bias = None if population.bias is None else population.biases[alive]
    return replace(population, shape=(int(alive.sum()),), bias=bias)


def _shrink_projection(projection: Projection, alive: Masks) -> Projection:
    sources, targets = alive[projection.source], alive[projection.target]
    if sources.all() and targets.all():
        return projection
    kept = projection.csr
    indptr = np.concatenate([[0], np.cumsum(kept.fan_in[targets])]).astype(np.int64)
    renumbered = (np.cumsum(sources) - 1)[kept.indices].astype(np.int32)
    shape = (int(targets.sum()), int(sources.sum()))
    return replace(projection, synapses=Synapses(indptr, renumbered, kept.data, shape), origin=projection.trained)
