"""Unroll convolutions into single synapses.

The passes after this one, the partitioner and the energy model count synapse by synapse, since that is how a core stores them; a chip
that keeps a kernel's taps once would be served by a mapping that carries `Convolution` through, which there is not yet. What
was trained (weights, weights possible, synapses possible) stays written on the projection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import DoesNotFitError
from ..network import Convolution, Network, Projection, Synapses, Threshold, Trained
from ..pipeline import CompileOptions, PassResult

ORDERS = (15,)
MAX_SYNAPSES = 200_000_000
BYTES_EACH = 64  # of the layer being sorted: rows, columns, keys and order in 64 bits, weights in 32, and their sorted copies


@dataclass(frozen=True)
class Pass:
    """Make sparse matrices of all synapses. `limit`: synapses of the whole network, since memory grows with them."""

    limit: int = MAX_SYNAPSES

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            DoesNotFitError: the network has more synapses than the limit; the message names the largest layer.
        """
        taps = [p.synapses for p in network.projections if isinstance(p.synapses, Convolution)]
        if not taps:
            return PassResult(network)
        self._check(network)
        unrolled: dict[int, Synapses] = {}  # projections that share their taps share the matrix
        counted: set[tuple[int, str]] = set()
        for projection in network.projections:
            identity = id(projection.synapses)
            if identity not in unrolled:
                unrolled[identity] = projection.synapses.unrolled()
            origin = _origin(network, projection)
            if (identity, projection.target) in counted:  # branches that are summed before one convolution share its weights
                origin = replace(origin, weights=0, possible_weights=0)
            counted.add((identity, projection.target))
            network = network.with_projection(replace(projection, synapses=unrolled[identity], origin=origin))
        synapses = sum(p.csr.count for p in network.projections)
        change = f"{sum(c.weights for c in taps):,} taps of {len(taps)} convolutions unrolled; {synapses:,} synapses in all"
        return PassResult(network, (change,))

    def _check(self, network: Network) -> None:
        total = sum(p.synapses.count for p in network.projections)
        if total > self.limit:
            largest = max(network.projections, key=lambda p: p.synapses.count)
            raise DoesNotFitError(
                f"The network has {total:,} synapses when its convolutions are unrolled, most of them in layer {largest.target} "
                f"({largest.synapses.count:,}); the compiler holds {self.limit:,}, which take {8 * self.limit / 1e9:.1f} GB and up to "
                f"{BYTES_EACH} bytes a synapse of the largest layer while it is sorted. Train with a higher --sparsity or fewer channels."
            )


def create(options: CompileOptions) -> Pass:
    """Build the pass; it has no options."""
    del options
    return Pass()


def _origin(network: Network, projection: Projection) -> Trained:
    """Return what was trained; wires that a network's shape lays (into a gate, or a shortcut's) are synapses, not trained weights."""
    gate = isinstance(network.population(projection.target).neuron, Threshold)
    if projection.origin is None and (gate or _is_shortcut(projection)):
        return Trained(0, 0, projection.synapses.count)
    return projection.trained


def _is_shortcut(projection: Projection) -> bool:
    """Return whether each channel goes to one channel, through a 1 x 1 kernel of weight 1."""
    c = projection.synapses
    if not isinstance(c, Convolution) or c.kernel != (1, 1) or (c.data != 1).any():
        return False
    return bool((c.taps.fan_in <= 1).all() and (c.taps.fan_out <= 1).all())
