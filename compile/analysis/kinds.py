"""What kind of layer each population of a deployed network is, and which of its synapses were never trained.

The compiler makes neurons of what is no layer on paper: max pools, the ANDs of residual blocks, relays. Papers do not count their synapses,
chips do, so both counts need to know them. A projection is

    structural    none of its weights was trained: it leads into such neurons, or it is a shortcut of one synapse per neuron
    trained       any other

Branches that are summed before one convolution share its weights, which are counted once (`passes.record`): their other projections have
no weights of their own either, but unlike a shortcut, which leads from a neuron to one neuron, more possible synapses than sources.
"""

from __future__ import annotations

import re
from typing import Literal

from ...hwmodels.fixed_point import NEVER_DECAYS, NO_MEMORY
from ...network.model import Convolution, CrossbarLIF, IntegerLIF, Network, Population, Projection, Threshold

__all__ = ["Kind", "carriers", "is_structural", "kind", "window"]

Kind = Literal["convolution", "linear", "pool", "relay", "threshold"]
_PART = re.compile(r"\.e-?\d+$")  # ends the names of a projection's parts, one for each exponent


def kind(network: Network, population: Population) -> Kind:
    """Return the kind of a population that has neurons.

    `convolution`: kernels, shared by the positions of a map; `linear`: any other trained layer. Without trained weights: `pool` (a max
    pool: spikes if a neuron of its window does), `relay` (passes spikes on, later), `threshold` (of several layers: an AND or OR).
    """
    arriving = network.inputs_of(population.name)
    if not _is_unit(population, arriving):
        return "convolution" if any(_has_kernel(p, population) for p in arriving) else "linear"
    if len({p.source for p in arriving}) > 1:
        return "threshold"
    return "relay" if all(map(_is_one_to_one, arriving)) else "pool"


def is_structural(network: Network, projection: Projection) -> bool:
    """Return whether none of a projection's weights was trained."""
    target = network.population(projection.target)
    arriving = network.inputs_of(target.name)
    if _is_unit(target, arriving):
        return True
    parts = [p for p in arriving if _whole_name(p) == _whole_name(projection)]
    if any(p.trained.possible_weights for p in parts) or not all(map(_is_one_to_one, parts)):
        return False
    return sum(p.trained.possible_synapses for p in parts) <= (projection.trained.sources or projection.synapses.shape[1])


def carriers(network: Network) -> set[str]:
    """Return the populations that only pass the sample on: the input, and pools and relays that receive from such populations alone.

    What receives from them is the first layer; a recurrent first layer's own synapses are not among these.
    """
    found = {network.populations[0].name}
    for population in network.spiking:
        arriving = network.inputs_of(population.name)
        if _is_unit(population, arriving) and all(p.source in found for p in arriving):
            found.add(population.name)
    return found


def window(projection: Projection) -> int:
    """Return the neurons of the average that a synapse stands for: those of a pooling window kept with a convolution, else 1."""
    return projection.synapses.pool**2 if isinstance(projection.synapses, Convolution) else 1


def _is_one_to_one(projection: Projection) -> bool:
    """Return whether each neuron has at most one synapse of the projection, at either end."""
    synapses = projection.synapses
    if isinstance(synapses, Convolution):
        if synapses.kernel != (1, 1) or synapses.pool > 1:
            return False
        synapses = synapses.taps
    return bool((synapses.fan_in <= 1).all() and (synapses.fan_out <= 1).all())


def _whole_name(projection: Projection) -> str:
    return _PART.sub("", projection.name)


def _is_unit(population: Population, arriving: list[Projection]) -> bool:
    """Return whether a population is memoryless units without trained weights."""
    neuron = population.neuron
    held = isinstance(neuron, Threshold | CrossbarLIF)
    if isinstance(neuron, IntegerLIF):
        held = neuron.dv == NO_MEMORY and neuron.du in (NO_MEMORY, NEVER_DECAYS)
    return held and bool(arriving) and not any(p.trained.possible_weights for p in arriving)


def _has_kernel(projection: Projection, target: Population) -> bool:
    """Return whether a projection is a convolution onto maps of several positions, unrolled or not."""
    several = len(target.shape) > 1 and target.size > target.shape[0]
    trained = projection.trained
    shared = 0 < trained.possible_weights < trained.possible_synapses
    return several and (isinstance(projection.synapses, Convolution) or shared)
