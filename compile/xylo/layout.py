"""A network in the form that Xylo holds: channels, one group of hidden neurons, which may all be connected, and output neurons.

Every hidden layer is a part of the one group. A spike crosses from one hidden neuron to another, or to an output, in one step; what enters
at a channel arrives in the same step. So a population at depth d (`timing`) makes its local step t at the chip's step  t + d - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...network.model import Network, Population, Projection, XyloLIF

Int = NDArray[np.int64]
GROUPS = ("in", "rec", "out")  # of synapses: from the channels, between hidden neurons, to the outputs; each has one shift

__all__ = ["GROUPS", "Layout", "Neurons", "Place", "depths", "group_of", "refuse_paths"]


@dataclass(frozen=True)
class Place:
    """A population: its neurons among the hidden ones, or the outputs, and its first step on the chip."""

    name: str
    output: bool
    neurons: slice
    first_step: int


@dataclass(frozen=True)
class Neurons:
    """Registers of neurons, each (neurons,) int64: shifts of the decays, thresholds, biases."""

    dash_syn: Int
    dash_mem: Int
    threshold: Int
    bias: Int

    @classmethod
    def of(cls, populations: list[Population]) -> Neurons:
        """Collect the registers of populations, one after another."""
        rows: list[Int] = [np.zeros((4, 0), np.int64)]
        for p in populations:
            if not isinstance(p.neuron, XyloLIF):
                raise NetworkError(f"Layer {p.name} has neurons that Xylo does not have. Compile with --target xylo.")
            n = p.neuron
            held = np.array([[n.dash_syn], [n.dash_mem], [n.threshold]], np.int64)
            rows.append(np.concatenate([np.repeat(held, p.size, axis=1), p.biases.astype(np.int64)[None]]))
        return cls(*np.concatenate(rows, axis=1))


@dataclass(frozen=True)
class Layout:
    """What the chip is configured with, in its own numbering.

    `weights`: by group, (sources, targets) 8-bit integers; `shifts`: by group, the left shift of all its weights; `steps`: steps that a
    sample takes, those included in which the last spikes travel.
    """

    weights: dict[str, Int]
    shifts: dict[str, int]
    hidden: Neurons
    output: Neurons
    places: tuple[Place, ...]
    steps: int

    @classmethod
    def of(cls, network: Network) -> Layout:
        """Lay out a flattened integer network.

        Raises:
            NetworkError: other neurons, several shifts in one group of synapses, or paths that the chip does not have.
        """
        refuse_paths(network)
        *hidden, output = network.spiking
        depth, starts = network.depth(), np.cumsum([0, *(p.size for p in hidden)]).tolist()
        places = [Place(p.name, False, slice(a, a + p.size), depth[p.name] - 1) for p, a in zip(hidden, starts, strict=False)]
        places.append(Place(output.name, True, slice(0, output.size), depth[output.name] - 1))
        columns = {p.name: p.neurons for p in places} | {network.populations[0].name: slice(0, network.populations[0].size)}
        sizes = {"in": (network.populations[0].size, starts[-1]), "rec": (starts[-1], starts[-1]), "out": (starts[-1], output.size)}
        weights = {group: np.zeros(size, np.int64) for group, size in sizes.items()}
        for p in network.projections:
            weights[group_of(network, p)][columns[p.source], columns[p.target]] = p.synapses.unrolled().operator().toarray().T
        steps = network.timesteps + max(place.first_step for place in places)
        return cls(weights, _shifts(network), Neurons.of(hidden), Neurons.of([output]), tuple(places), steps)

    def local(self, place: Place, raster: NDArray[Any], timesteps: int) -> NDArray[Any]:
        """Return a population's local steps of a (samples, steps, neurons) raster of the hidden or output neurons."""
        return raster[:, place.first_step : place.first_step + timesteps, place.neurons]


def group_of(network: Network, projection: Projection) -> str:
    """Return the group of a projection's synapses."""
    if projection.source == network.populations[0].name:
        return "in"
    return "out" if projection.target == network.populations[-1].name else "rec"


def _shifts(network: Network) -> dict[str, int]:
    found: dict[str, int] = {}
    for group in GROUPS:
        exponents = sorted({p.exponent for p in network.projections if group_of(network, p) == group})
        if len(exponents) > 1:
            named = ", ".join(p.name for p in network.projections if group_of(network, p) == group)
            raise NetworkError(f"The projections {named} have the shifts {exponents}; Xylo has one for all synapses of this kind.")
        found[group] = exponents[0] if exponents else 0
    return found


def depths(network: Network) -> dict[str, int]:
    """Return the depth of every population, as `Network.depth`.

    Raises:
        NetworkError: a projection would need a synaptic delay, which Xylo does not have.
    """
    depth = network.depth()
    for p in network.projections:
        wait = depth[p.target] - depth[p.source] - 1 + p.lag
        if wait:
            raise NetworkError(
                f"Projection {p.name} ({p.source} -> {p.target}) has to wait {wait} step{'s' * (wait > 1)} for the longer paths; Xylo's "
                f"synapses have no delays (limit 0). Leave the connection out, or give the paths the same number of layers."
            )
    return depth


def refuse_paths(network: Network) -> None:
    """Refuse connections that the chip does not have.

    Raises:
        NetworkError: samples that enter at the output or past the first layer, spikes that leave the output, two projections between the
            same populations, or a delay; the projection and a way out are named.
    """
    entry, output = network.populations[0].name, network.populations[-1].name
    ends = [(p.source, p.target) for p in network.projections]
    for p in network.projections:
        if (p.source, p.target) == (entry, output):
            raise NetworkError(
                f"Projection {p.name} leads from the samples to the output {output}, and Xylo's outputs receive input from hidden neurons. "
                f"Put a hidden layer between them."
            )
        if p.source == output:
            raise NetworkError(
                f"Projection {p.name} leads from the output {output} to {p.target}; the spikes of Xylo's outputs leave the chip. "
                f"Make {output} a hidden layer, followed by an output layer."
            )
        if ends.count((p.source, p.target)) > 1:
            raise NetworkError(
                f"Projection {p.name} runs beside another from {p.source} to {p.target}; Xylo has one synapse there. Add them."
            )
    depths(network)
    late = [p for p in network.spiking if p.bias is not None and p.bias.any() and network.depth()[p.name] > 1]
    if late:
        raise NetworkError(
            f"Layer {late[0].name} has biases behind another layer; on Xylo they would act before its first input. "
            f"Train with biases in the first layer alone, or without."
        )
