"""The network that flows through the compiler: named populations and projections, immutable.

A format's reader returns a float network; the quantise pass turns it into an integer network, in which every number is one that the
chip stores. `elements` defines its parts, `checks` the conditions on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..display import chain, short, table
from ..fed import Known
from . import timing
from .checks import check
from .convolution import Connectivity, Convolution
from .elements import SPIKE, Encoding, InputSpec, Payload, Place, Population, Projection, Reading, Stage, Trained
from .neurons import LIF, CrossbarLIF, IntegerLIF, Neuron, Threshold, XyloLIF
from .synapses import Synapses, row_pointers

__all__ = [
    "LIF",
    "Connectivity",
    "Convolution",
    "CrossbarLIF",
    "Encoding",
    "Flat",
    "SPIKE",
    "InputSpec",
    "IntegerLIF",
    "Network",
    "Neuron",
    "Payload",
    "Place",
    "Population",
    "Projection",
    "Reading",
    "Stage",
    "Synapses",
    "Threshold",
    "Trained",
    "XyloLIF",
    "flatten",
    "row_pointers",
]


@dataclass(frozen=True)
class Network:
    """Populations in order: `populations[0]` is the input, `populations[-1]` the output.

    A projection without lag leads from an earlier population to a later one; one that leads back, or to its own population, needs a lag.

    Raises:
        NetworkError: a projection that names an unknown population, has the wrong shape, or leads back without a lag.
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    timesteps: int
    input: InputSpec = field(default_factory=InputSpec)
    stages: tuple[Stage, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])
    votes: int = 1  # output neurons per class, side by side; the class whose neurons spike most is the prediction
    reading: Reading | None = field(default=None, compare=False)  # of another tool's file; not stored in our files
    # Per layer, as trained: the synapses that a spike can cross, and all possible ones (`reachable`); set by the pass record.
    reachable: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def __post_init__(self) -> None:
        check(self.populations, self.projections, self.timesteps, self.input, self.votes)

    def __repr__(self) -> str:
        kind = f"{self.input.encoding} input, {'integers' if self.is_integer else 'floats'}"
        sizes = chain([p.size for p in self.populations])
        return f"<Network {sizes}: {self.synapses:,} synapses, {self.timesteps} time steps, {kind}>"

    def _repr_html_(self) -> str:
        """Show the populations in a notebook."""
        rows = [
            (p.name, "×".join(map(str, p.shape)), p.count, ", ".join(q.source for q in self.inputs_of(p.name)), short(p.neuron or "input"))
            for p in self.populations
        ]
        return table(repr(self), ("population", "shape", "neurons", "input from", "neuron"), rows)

    def population(self, name: str) -> Population:
        """Return the population called `name`."""
        return next(p for p in self.populations if p.name == name)

    def inputs_of(self, name: str) -> list[Projection]:
        """Return the projections that arrive at the population `name`."""
        return [p for p in self.projections if p.target == name]

    def outputs_of(self, name: str) -> list[Projection]:
        """Return the projections that leave the population `name`."""
        return [p for p in self.projections if p.source == name]

    def payload_of(self, projection: Projection) -> Payload:
        """Return the payload of a projection's messages: spikes, or, from the input, what its encoding sends."""
        return self.input.payload if projection.source == self.populations[0].name else SPIKE

    @property
    def is_integer(self) -> bool:
        """Whether all weights and neurons are integers of the chip."""
        return all(p.weight_bits is not None for p in self.projections)

    @property
    def spiking(self) -> tuple[Population, ...]:
        """The populations that have neurons: all but the input."""
        return self.populations[1:]

    @property
    def on_chip(self) -> tuple[Population, ...]:
        """The populations whose neurons are on the chip."""
        return tuple(p for p in self.spiking if p.place == "chip")

    @property
    def senders(self) -> tuple[Population, ...]:
        """The populations whose spikes may reach the chip, off-chip ones first: the order of the sources in a mapping."""
        chip = {p.name for p in self.on_chip}
        outside = (p for p in self.populations if p.name not in chip and any(q.target in chip for q in self.outputs_of(p.name)))
        return (*outside, *self.on_chip)

    @property
    def neurons(self) -> int:
        """The number of neurons that were not removed."""
        return sum(p.count for p in self.spiking)

    @property
    def synapses(self) -> int:
        """The number of synapses between neurons that were not removed."""
        return sum(self.synapses_of(p) for p in self.projections)

    def without_zeros(self) -> Network:
        """Return this network without weights of zero, which are not synapses."""
        live = tuple(p.select(p.synapses.data != 0) for p in self.projections)
        return self if all(a is b for a, b in zip(live, self.projections, strict=True)) else replace(self, projections=live)

    def fan_in(self, projection: Projection) -> NDArray[np.int64]:
        """Return the synapses of a projection that arrive at each target, (targets,), between neurons that were not removed."""
        alive = self.population(projection.source).living, self.population(projection.target).living
        counts = projection.synapses.forward(np.ones(projection.synapses.weights), alive[0])
        return np.where(alive[1], counts, 0).astype(np.int64)

    def fan_out(self, projection: Projection) -> NDArray[np.int64]:
        """Return the synapses of a projection that leave each source, (sources,), between neurons that were not removed."""
        alive = self.population(projection.source).living, self.population(projection.target).living
        counts = projection.synapses.backward(np.ones(projection.synapses.weights), alive[1])
        return np.where(alive[0], counts, 0).astype(np.int64)

    def synapses_of(self, projection: Projection) -> int:
        """Return the number of synapses of a projection between neurons that were not removed."""
        if self.population(projection.source).alive is None and self.population(projection.target).alive is None:
            return projection.synapses.count
        return int(self.fan_in(projection).sum())

    @cached_property
    def flat(self) -> Flat:
        """This network with all convolutions unrolled, and without removed neurons."""
        return flatten(self)

    def with_population(self, changed: Population) -> Network:
        """Return this network with the population of the same name replaced."""
        return replace(self, populations=tuple(changed if p.name == changed.name else p for p in self.populations))

    def with_projection(self, changed: Projection) -> Network:
        """Return this network with the projection of the same name replaced."""
        return replace(self, projections=tuple(changed if p.name == changed.name else p for p in self.projections))

    @property
    def takes(self) -> Known:
        """The samples that the network takes."""
        return Known(self.timesteps, self.input.is_temporal, self.populations[0].size, self.input.levels, self.classes)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.populations[-1].size // self.votes

    def components(self) -> list[tuple[Population, ...]]:
        """Return the spiking populations, sources before targets, in groups: those on a common cycle are stepped together."""
        groups = timing.components([p.name for p in self.populations], self.projections)
        by_name = {p.name: p for p in self.spiking}
        return [tuple(by_name[n] for n in group) for group in groups if group != [self.populations[0].name]]

    def depth(self) -> dict[str, int]:
        """Return, per population, the fewest chip steps by which it runs behind the input: see `timing.depths`.

        Raises:
            NetworkError: a loop takes longer on the chip than its lags allow.
        """
        return timing.depths([p.name for p in self.populations], self.projections)

    def arrivals(self) -> dict[str, int]:
        """Return, per population, the chip steps by which it runs behind the input with the present delays: see `timing.arrivals`.

        Raises:
            NetworkError: the delays are out of balance.
        """
        return timing.arrivals([p.name for p in self.populations], self.projections)


@dataclass(frozen=True)
class Flat:
    """A network of sparse matrices without removed neurons. `living`: per population, the neurons of the original that remain."""

    network: Network
    living: Mapping[str, NDArray[np.bool_]]


def flatten(network: Network) -> Flat:
    """Unroll every convolution and remove the neurons that are not alive; the spikes of the others stay the same.

    Memory grows with the synapses; branches that share their taps share the matrix where nothing was removed.
    """
    living = {p.name: p.living for p in network.populations}
    if all(isinstance(p.synapses, Synapses) for p in network.projections) and all(mask.all() for mask in living.values()):
        return Flat(network, living)
    unrolled: dict[tuple[int, bytes, bytes], Synapses] = {}
    projections: list[Projection] = []
    for p in network.projections:
        key = (id(p.synapses), living[p.source].tobytes(), living[p.target].tobytes())
        if key not in unrolled:
            unrolled[key] = p.synapses.unrolled().restricted(living[p.source], living[p.target])
        projections.append(replace(p, synapses=unrolled[key], origin=p.trained))
    populations = tuple(_without_removed(p) for p in network.populations)
    return Flat(replace(network, populations=populations, projections=tuple(projections)), living)


def _without_removed(population: Population) -> Population:
    if population.alive is None:
        return population
    bias = None if population.bias is None else population.biases[population.alive]
    levels = None if population.levels is None else population.levels[population.alive]
    return replace(population, shape=(population.count,), bias=bias, alive=None, levels=levels)
