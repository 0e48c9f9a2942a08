"""Cut off the neurons that training removed: without synapses and bias they never spike, and the next pass drops them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..network import Network, Population
from ..pipeline import CompileOptions, PassResult

ORDERS = (18,)


@dataclass(frozen=True)
class Pass:
    """Take synapses and biases from the neurons that are not alive."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass."""
        gone = sum(int((~p.alive).sum()) for p in network.populations if p.alive is not None)
        changes = (f"cut off {gone:,} neurons that training removed",) if gone else ()
        return PassResult(_without_removed(network), changes)


def create(options: CompileOptions) -> Pass:
    """Build the pass; it has no options."""
    del options
    return Pass()


def _without_removed(network: Network) -> Network:
    alive = {p.name: p.alive for p in network.populations if p.alive is not None}
    for projection in network.projections:
        keep: NDArray[np.bool_] | None = None
        if (targets := alive.get(projection.target)) is not None:
            keep = targets[projection.csr.rows]
        if (sources := alive.get(projection.source)) is not None:
            keep = sources[projection.csr.indices] if keep is None else keep & sources[projection.csr.indices]
        if keep is not None and not keep.all():
            network = network.with_projection(replace(projection, synapses=projection.csr.select(keep), origin=projection.trained))
    for name, flags in alive.items():
        network = network.with_population(_cut_off(network.population(name), flags))
    return network


def _cut_off(population: Population, alive: NDArray[np.bool_]) -> Population:
    if population.bias is None or alive.all():
        return replace(population, alive=None)
    bias = np.where(alive, population.biases, 0).astype(population.bias.dtype)
    return replace(population, shape=(population.size,), bias=bias, alive=None)
