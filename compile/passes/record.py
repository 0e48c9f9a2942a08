"""Record what was trained, before other passes drop and move it: surviving weights, and the possible weights and synapses.

Connectivity is counted against this. A weight of zero has not survived. Connections given by the network's structure (into a memoryless
threshold unit, or a shortcut's) are synapses, not trained weights; branches that are summed before one convolution share its weights,
counted once. The synapses that a spike can cross are counted here, too, over trained weights only (`compile.analysis.reachable`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...network.model import Convolution, Network, Projection, Threshold, Trained
from ..analysis.reachable import reachable_synapses
from ..api import PassResult


@dataclass(frozen=True)
class Record:
    """Remove weights of zero and set every projection's origin."""

    name: ClassVar[str] = "record"

    def run(self, network: Network) -> PassResult:
        """Apply the pass."""
        trained = {p.name: not _is_wire(network, p) for p in network.projections}
        network = replace(network, reachable=reachable_synapses(network, trained))
        counted: set[tuple[int, str]] = set()
        for projection in network.projections:
            synapses = projection.synapses
            origin = _origin(network, projection)
            if (id(synapses), projection.target) in counted:
                origin = replace(origin, weights=0, possible_weights=0)
            counted.add((id(synapses), projection.target))
            zeros = synapses.data == 0
            if zeros.any():
                synapses = synapses.select(~zeros)
                origin = replace(origin, weights=max(0, origin.weights - int(zeros.sum())) if projection.origin is None else origin.weights)
            network = network.with_projection(replace(projection, synapses=synapses, origin=origin))
        taps = sum(p.synapses.weights for p in network.projections if isinstance(p.synapses, Convolution))
        synapses = sum(p.synapses.count for p in network.projections)
        return PassResult(network, (f"{taps:,} taps of convolutions stay taps; {synapses:,} synapses in all",) if taps else ())


def _is_wire(network: Network, projection: Projection) -> bool:
    """Return whether the network's structure gives the synapses, so that none of their weights was trained."""
    return isinstance(network.population(projection.target).neuron, Threshold) or _is_shortcut(projection)


def _origin(network: Network, projection: Projection) -> Trained:
    if projection.origin is None and _is_wire(network, projection):
        return Trained(0, 0, projection.synapses.count, projection.synapses.shape[1])
    return projection.trained


def _is_shortcut(projection: Projection) -> bool:
    """Return whether each channel maps to one channel, through a 1 x 1 kernel of weight 1."""
    c = projection.synapses
    if not isinstance(c, Convolution) or c.kernel != (1, 1) or not c.weights or (c.data != 1).any():
        return False
    return bool((c.taps.fan_in <= 1).all() and (c.taps.fan_out <= 1).all())
