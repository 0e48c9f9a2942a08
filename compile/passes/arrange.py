"""Number the neurons of a map so that neighbours in space are neighbours in number: a core then sees few sources.

The partitioner fills cores in the order of the neurons. Channel by channel, a core would hold whole planes, and each core of the next layer
would need every source of this one; patch by patch (Z-order over rows and columns, all channels of a place together) it needs those
under its patch and a rim around it. The function is the same, only hidden neurons have other numbers; inputs and outputs keep theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..network import Network, Population, Projection, Synapses
from ..pipeline import CompileOptions, PassResult

ORDERS = (17,)
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Pass:
    """Renumber every hidden population of shape (channels, rows, columns), which is flat then."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass."""
        orders = {p.name: patches(p.shape) for p in network.spiking[:-1] if len(p.shape) == 3 and p.shape[1] * p.shape[2] > 1}
        if not orders:
            return PassResult(network)
        populations = tuple(_renumbered(p, orders[p.name]) if p.name in orders else p for p in network.populations)
        projections = tuple(_rewired(p, orders.get(p.source), orders.get(p.target)) for p in network.projections)
        network = replace(network, populations=populations, projections=projections)
        return PassResult(network, (f"numbered the neurons of {', '.join(orders)} patch by patch",))


def create(options: CompileOptions) -> Pass:
    """Build the pass; it has no options."""
    del options
    return Pass()


def patches(shape: tuple[int, ...]) -> Int:
    """Return, new number by new number, the old number of each neuron of a map (channels, rows, columns), the channels innermost."""
    channels, rows, columns = shape
    c, y, x = np.meshgrid(np.arange(channels), np.arange(rows), np.arange(columns), indexing="ij")
    place = np.zeros(c.size, np.int64)
    for bit in range(max(rows, columns).bit_length()):
        place |= ((x.ravel() >> bit) & 1) << (2 * bit) | ((y.ravel() >> bit) & 1) << (2 * bit + 1)
    return np.argsort(place * channels + c.ravel())


def _renumbered(population: Population, order: Int) -> Population:
    bias = None if population.bias is None else population.biases[order]
    alive = None if population.alive is None else population.alive[order]
    return replace(population, shape=(population.size,), bias=bias, alive=alive)


def _rewired(projection: Projection, sources: Int | None, targets: Int | None) -> Projection:
    if sources is None and targets is None:
        return projection
    matrix = projection.csr.matrix(projection.csr.data.dtype.type)
    if targets is not None:
        matrix = matrix[targets]
    indices = matrix.indices
    if sources is not None:
        new = np.empty(sources.size, np.int32)
        new[sources] = np.arange(sources.size, dtype=np.int32)
        indices = new[indices]
    synapses = Synapses(matrix.indptr.astype(np.int64), indices.astype(np.int32), matrix.data, projection.csr.shape)
    return replace(projection, synapses=synapses, origin=projection.trained)
