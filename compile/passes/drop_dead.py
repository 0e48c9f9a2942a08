"""Drop synapses and neurons that cannot matter, to the fixed point.

A neuron that nothing excites (no live positive synapse, no positive bias), or whose threshold no sample could reach, never spikes; one
with no path to the output has no effect. Both are removed, with all their synapses, which may make their neighbours removable; a neuron
that spikes by its bias alone stays as long as a path leads to the output. Neurons that training removed are dropped first. A whole layer
of a branch may be removed, with a warning, as long as another path leads from the input to the output. Inputs and outputs keep their
numbers.

A map that convolutions read or write loses whole channels only; single dead neurons (at its rim, say) stay in the numbering, marked as
not alive: a tap represents synapses at many positions, and a map with holes could not have taps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...network.model import Convolution, Network, Population, Projection
from ..analysis.advice import if_silent
from ..analysis.liveness import able, needed
from ..analysis.reach import Masks
from ..api import PassResult


@dataclass(frozen=True)
class DropDead:
    """Remove zero weights, then dead neurons and their synapses, then layers that are left with neither."""

    name: ClassVar[str] = "drop-dead"

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: no live path leads from the input to the output; the message names the layer where it ends.
        """
        before = (network.synapses, network.neurons)
        live = network.without_zeros()
        zeros = before[0] - live.synapses
        spiking = able(live)
        alive = needed(live, spiking)
        entry = live.populations[0]
        alive[entry.name] = entry.living  # inputs keep their numbers
        _check_way(network, live, spiking, alive)
        gone = [p.name for p in live.spiking if not alive[p.name].any()]
        network = _shrink(live, spiking, alive)
        after = (network.synapses, network.neurons)
        if before == after:
            return PassResult(network)
        said = [f"dropped {zeros:,} synapses of weight zero"] if zeros else []
        dead = (before[0] - zeros - after[0], before[1] - after[1])
        said += [f"dropped {dead[0]:,} synapses and {dead[1]:,} neurons that cannot matter"] if any(dead) else []
        return PassResult(network, tuple(said), tuple(f"Layer {name} cannot matter to the output and was dropped." for name in gone))


def _check_way(network: Network, live: Network, spiking: Masks, alive: Masks) -> None:
    """Refuse a network whose output receives nothing from the input, and name the layer where the path ends."""
    output = network.populations[-1]
    if output.name not in _deaf(live, alive):
        return
    ends = _deaf(live, spiking | {output.name: output.living}) or _deaf(live, alive)
    deaf = next((name for name in ends if network.inputs_of(name)), ends[0])  # a constant's own neuron is meant to receive nothing
    stored = sum(p.synapses.weights for p in network.inputs_of(deaf))
    raise NetworkError(
        f"Layer {deaf} has no live synapse: none of its {stored:,} stored synapses can bring a neuron to its threshold that leads from "
        f"the input to the output, so the network would make the same prediction for every sample. {if_silent(network)}"
    )


def _deaf(network: Network, alive: Masks) -> list[str]:
    """Return the layers to which no synapses lead from the input, in order."""
    reached: set[str] = set()
    found = {network.populations[0].name}
    while found - reached:
        reached |= found
        found = {p.target for p in network.projections if p.source in reached and _conducts(p, alive)}
    return [p.name for p in network.spiking if p.name not in reached]


def _conducts(projection: Projection, alive: Masks) -> bool:
    return bool(projection.synapses.used(alive[projection.source], alive[projection.target]).any())


def _shrink(network: Network, spiking: Masks, alive: Masks) -> Network:
    kept = {p.name: _numbered(network, p, alive[p.name]) for p in network.populations}
    sending = {name: alive[name] & spiking[name] for name in alive}
    projections = tuple(p.select(p.synapses.used(sending[p.source], alive[p.target])) for p in network.projections)
    projections = tuple(_renumbered(p, kept) for p in projections if p.synapses.weights)
    populations = tuple(_shrink_population(p, alive[p.name], kept[p.name]) for p in network.populations if alive[p.name].any())
    return replace(network, populations=populations, projections=projections)


def _numbered(network: Network, population: Population, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which neurons keep a number: the live ones, or, where convolutions are attached, all of each channel with a live one."""
    if population.name in (network.populations[0].name, network.populations[-1].name):
        return np.ones(population.size, np.bool_)
    meets = [p.synapses.source_shape[0] for p in network.outputs_of(population.name) if isinstance(p.synapses, Convolution)]
    meets += [p.synapses.target_shape[0] for p in network.inputs_of(population.name) if isinstance(p.synapses, Convolution)]
    if not meets:
        return alive
    if {*meets, population.shape[0]} != {meets[0]}:  # read as maps with different channels: all stay
        return np.ones(population.size, np.bool_)
    return alive.reshape(meets[0], -1).any(axis=1).repeat(population.size // meets[0])


def _shrink_population(population: Population, alive: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Population:
    flags = None if alive[kept].all() else alive[kept]
    if kept.all():
        return population if flags is None and population.alive is None else replace(population, alive=flags)
    channels = kept.reshape(population.shape[0], -1)
    whole = bool((channels.all(axis=1) == channels.any(axis=1)).all())
    shape = (int(channels.all(axis=1).sum()), *population.shape[1:]) if whole else (int(kept.sum()),)
    bias = population.bias
    if bias is not None:
        bias = bias[channels.all(axis=1)] if whole else population.biases[kept]
    return replace(population, shape=shape, bias=bias, alive=flags)


def _renumbered(projection: Projection, kept: Masks) -> Projection:
    sources, targets = kept[projection.source], kept[projection.target]
    if sources.all() and targets.all():
        return projection
    synapses = projection.synapses
    if isinstance(synapses, Convolution):  # one flag per channel
        sources, targets = sources[:: sources.size // synapses.source_shape[0]], targets[:: targets.size // synapses.target_shape[0]]
    return replace(projection, synapses=synapses.restricted(sources, targets), origin=projection.trained)
