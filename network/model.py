"""The network that flows through the compiler: named populations and projections, immutable.

A float network comes out of a reader; the quantise pass makes an integer one of it, in which every number is what the
chip holds. Shapes are checked when a value is made, and arrays are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..fed import Known
from ..subset import Subset
from . import timing
from .axes import fits
from .convolution import Connectivity, Convolution
from .neurons import LIF, CrossbarLIF, IntegerLIF, Neuron, Threshold
from .synapses import Synapses, row_pointers

__all__ = [
    "LIF",
    "Connectivity",
    "Convolution",
    "CrossbarLIF",
    "SPIKE",
    "InputSpec",
    "IntegerLIF",
    "Network",
    "Neuron",
    "Payload",
    "Population",
    "Projection",
    "Reading",
    "Stage",
    "Synapses",
    "Threshold",
    "Trained",
    "row_pointers",
]

Encoding = Literal["direct", "current", "graded", "rate", "host", "events"]
Place = Literal["chip", "host"]


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind. `neuron` is None for the input. `place` "host" means that they are computed off chip.

    `bias`: added to the input of every step; one number a channel (the first axis of `shape`), which is one a neuron for a flat population.
        float32 with a float neuron. With an IntegerLIF int32, added to the voltage, in its units (`lif_step`).
    `alive`: (size,) neurons that were not removed; the others never spike. None: all.
    `levels`: (size, 4) with a CrossbarLIF, the weight of each neuron by axon type; what arrives at it are sums of these.
    """

    name: str
    shape: tuple[int, ...]
    neuron: Neuron | None
    place: Place = "chip"
    bias: NDArray[Any] | None = None
    alive: NDArray[np.bool_] | None = None
    levels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for what, array, size in (("biases", self.bias, self.shape[0]), ("flags of live neurons", self.alive, self.size)):
            if array is not None and array.shape != (size,):
                raise NetworkError(f"Population {self.name} of shape {self.shape} has {array.shape} {what}; it needs {size}.")
            if array is not None:
                array.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Population):
            return NotImplemented
        same = (self.name, self.shape, self.neuron, self.place) == (other.name, other.shape, other.neuron, other.place)
        return same and _same(self.bias, other.bias) and _same(self.alive, other.alive)

    def __hash__(self) -> int:
        return hash((self.name, self.shape, self.neuron, self.place))

    @property
    def size(self) -> int:
        """The number of neurons."""
        return int(np.prod(self.shape))

    @property
    def living(self) -> NDArray[np.bool_]:
        """Which neurons were not removed, (size,)."""
        return np.ones(self.size, np.bool_) if self.alive is None else self.alive

    @property
    def count(self) -> int:
        """The number of neurons that were not removed."""
        return self.size if self.alive is None else int(self.alive.sum())

    @property
    def biases(self) -> NDArray[Any]:
        """The bias of each neuron, (size,); zeros where there is none."""
        if self.bias is None:
            return np.zeros(self.size, np.int32 if isinstance(self.neuron, IntegerLIF) else np.float32)
        return np.repeat(self.bias, self.size // max(self.shape[0], 1))


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


@dataclass(frozen=True)
class Trained:
    """What a projection was when it was trained: weights that survived, weights and synapses had all survived, and its sources."""

    weights: int
    possible_weights: int
    possible_synapses: int
    sources: int = 0  # 0: not known


@dataclass(frozen=True)
class Projection:
    """Synapses from `source` to `target`. The integer input current of a step is  a = (W s) << exponent  (>> with floor below 0).

    `lag`: steps by which the target hears the source late:  a(t) takes s(t - lag)  in local time. A connection that runs backwards or
        from a population to itself needs at least 1. What would arrive after the last step of a sample is lost with it.
    `delay`: steps of synaptic delay on the chip, beyond the one that every connection takes; set by the pass that balances paths.
    """

    name: str
    source: str
    target: str
    synapses: Connectivity
    exponent: int = 0
    weight_bits: int | None = None  # None: float weights
    scale: float = 1.0  # the float weight is data * 2**exponent / scale
    origin: Trained | None = None  # before a pass unrolled or dropped something; None: as it stands
    lag: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        if self.lag < 0 or self.delay < 0:
            raise NetworkError(f"Projection {self.name}: its lag is {self.lag} and its delay {self.delay}; neither can be negative.")

    @property
    def trained(self) -> Trained:
        """What was trained: connectivity is counted against it."""
        if self.origin is not None:
            return self.origin
        if isinstance(self.synapses, Convolution):
            return Trained(self.synapses.weights, int(np.prod(self.synapses.taps.shape)), self.synapses.possible, self.synapses.shape[1])
        possible = int(np.prod(self.synapses.shape))
        return Trained(self.synapses.count, possible, possible, self.synapses.shape[1])

    def select(self, keep: NDArray[np.bool_]) -> Projection:
        """Keep the weights that are marked; what was trained stays on record."""
        return self if keep.all() else replace(self, synapses=self.synapses.select(keep), origin=self.trained)


class Payload(NamedTuple):
    """What a message of a projection carries: an integer up to `largest`, each unit worth `scale` in the float network.

    `once`: it is sent at the first step alone, and a current that never decays holds it. `SPIKE` is what neurons send.
    """

    largest: int
    scale: float
    once: bool = False

    @property
    def is_graded(self) -> bool:
        """Whether a synapse has to multiply by it; a 1 is a spike."""
        return self.largest > 1


SPIKE = Payload(1, 1.0)
LARGEST_PAYLOAD = 255  # a payload is a byte, here and on the chips


@dataclass(frozen=True)
class InputSpec:
    """How samples enter: integers 0..levels whose real value is  integer * scale; and how they are put on the wire.

    "direct": constant over the steps, not encoded yet; "events": samples hold their own frames, (T, inputs); else a compiler's choice.
    """

    levels: int = 255
    scale: float = 1.0 / 255.0
    encoding: Encoding = "direct"

    @property
    def is_temporal(self) -> bool:
        """Whether a sample has a value for every time step."""
        return self.encoding == "events"

    @property
    def is_once(self) -> bool:
        """Whether the payload comes at the first step alone; a current that never decays holds it."""
        return self.encoding in ("current", "host")

    @property
    def is_rate_coded(self) -> bool:
        """Whether samples enter as random spikes."""
        return self.encoding == "rate"

    @property
    def payload(self) -> Payload:
        """What a message of the input carries; of samples that are not encoded yet, as they are."""
        return SPIKE if self.is_rate_coded else Payload(self.levels, self.scale, self.is_once)


@dataclass(frozen=True)
class Stage:
    """Accuracy (0..1) at one stage of the chain, over `samples` samples of the split `split`, or of the `of` samples of it as `chosen`."""

    name: str
    accuracy: float
    samples: int
    split: str = "test"
    of: int | None = None
    chosen: str = "all"

    @classmethod
    def on(cls, name: str, accuracy: float, tested: Subset) -> Stage:
        """Return a stage whose accuracy was found on a subset of the test samples."""
        return cls(name, accuracy, tested.samples, of=tested.of, chosen=tested.chosen)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Stage:
        """Return what `dataclasses.asdict` wrote, by this version or an earlier one."""
        of = document.get("of")
        held = None if of is None else int(of), str(document.get("chosen", "all"))
        return cls(str(document["name"]), float(document["accuracy"]), int(document["samples"]), str(document["split"]), *held)


@dataclass(frozen=True)
class Reading:
    """What a reader says of a file that another tool wrote, beside the network in it.

    `format`: netx, NIR; `warnings`: what the file leaves open and was taken for granted; `if_silent`: a sentence, what its user can do
    where a layer cannot spike.
    """

    format: str
    warnings: tuple[str, ...] = ()
    if_silent: str = ""


@dataclass(frozen=True)
class Network:
    """Populations in order: `populations[0]` is the input, `populations[-1]` the output.

    A projection without lag leads from an earlier population to a later one; one that leads back, or to its own population, needs a lag.

    Raises:
        NetworkError: a projection that names no population, has the wrong shape, or leads back without a lag.
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    timesteps: int
    input: InputSpec = field(default_factory=InputSpec)
    stages: tuple[Stage, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])
    votes: int = 1  # output neurons a class, side by side; the class whose neurons spike most is the answer
    reading: Reading | None = field(default=None, compare=False)  # of another tool's file; not kept in ours
    # By layer, as it was trained: the synapses that a spike can cross, and all that there could be (`reachable`); set by the pass record.
    reachable: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def __post_init__(self) -> None:
        _check_network(self)

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
        """Return what the messages of a projection carry: spikes, or from the input what its encoding sends."""
        return self.input.payload if projection.source == self.populations[0].name else SPIKE

    @property
    def is_integer(self) -> bool:
        """Whether every weight and neuron is already what the chip holds."""
        return all(p.weight_bits is not None for p in self.projections)

    @property
    def spiking(self) -> tuple[Population, ...]:
        """The populations that have neurons: all but the input."""
        return self.populations[1:]

    @property
    def on_chip(self) -> tuple[Population, ...]:
        """The populations whose neurons live on the chip."""
        return tuple(p for p in self.spiking if p.place == "chip")

    @property
    def senders(self) -> tuple[Population, ...]:
        """The populations whose spikes may reach the chip, those off it first: the order of the sources in a mapping."""
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
        """Return this network without weights of zero, which are no synapses."""
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
        """This network with every synapse one by one, and without the neurons that were removed."""
        return flatten(self)

    def with_population(self, changed: Population) -> Network:
        """Return this network with the population of that name replaced."""
        return replace(self, populations=tuple(changed if p.name == changed.name else p for p in self.populations))

    def with_projection(self, changed: Projection) -> Network:
        """Return this network with the projection of that name replaced."""
        return replace(self, projections=tuple(changed if p.name == changed.name else p for p in self.projections))

    @property
    def takes(self) -> Known:
        """What the network says of the samples that it takes."""
        return Known(self.timesteps, self.input.is_temporal, self.populations[0].size)

    @property
    def classes(self) -> int:
        """The number of classes that the output tells apart."""
        return self.populations[-1].size // self.votes

    def components(self) -> list[tuple[Population, ...]]:
        """Return the spiking populations, sources before targets, in groups: those on a common cycle are stepped together."""
        groups = timing.components([p.name for p in self.populations], self.projections)
        by_name = {p.name: p for p in self.spiking}
        return [tuple(by_name[n] for n in group) for group in groups if group != [self.populations[0].name]]

    def depth(self) -> dict[str, int]:
        """Return, by population, the chip's steps by which it runs behind the input at least: see `timing.depths`.

        Raises:
            NetworkError: a loop takes longer on the chip than its lags allow.
        """
        return timing.depths([p.name for p in self.populations], self.projections)

    def arrivals(self) -> dict[str, int]:
        """Return, by population, the chip's steps by which it runs behind the input, with the delays as they are: see `timing.arrivals`.

        Raises:
            NetworkError: the delays are out of balance.
        """
        return timing.arrivals([p.name for p in self.populations], self.projections)


@dataclass(frozen=True)
class Flat:
    """A network of sparse matrices without removed neurons. `living`: by population, the neurons of the original that are left."""

    network: Network
    living: Mapping[str, NDArray[np.bool_]]


def flatten(network: Network) -> Flat:
    """Unroll every convolution and take out the neurons that are not alive; the spikes of those that are stay the same.

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


def _check_network(network: Network) -> None:
    order = {p.name: i for i, p in enumerate(network.populations)}
    if len(network.populations) < 2 or len(order) != len(network.populations):
        raise NetworkError("A network needs an input and at least one population, with distinct names.")
    if network.populations[0].neuron is not None or any(p.neuron is None for p in network.spiking):
        raise NetworkError("The first population is the input and has no neuron model; all others need one.")
    if not 1 <= network.timesteps <= 4096:
        raise NetworkError(f"The number of time steps is {network.timesteps}; it must lie in 1..4096.")
    if network.votes < 1 or network.populations[-1].size % network.votes:
        raise NetworkError(f"The output's {network.populations[-1].size} neurons cannot be shared out as {network.votes} votes a class.")
    if network.input.encoding != "direct" and network.input.payload.largest > LARGEST_PAYLOAD:
        raise NetworkError(
            f"The samples have values up to {network.input.levels:,}, and the encoding {network.input.encoding} sends them as bytes, up to "
            f"{LARGEST_PAYLOAD}. Use samples of fewer levels, or --encoding rate."
        )
    if len({p.name for p in network.projections}) != len(network.projections):
        raise NetworkError("Two projections have the same name.")
    for projection in network.projections:
        _check_projection(network, projection, order)


def _check_projection(network: Network, projection: Projection, order: dict[str, int]) -> None:
    for end in (projection.source, projection.target):
        if end not in order:
            raise NetworkError(f"Projection {projection.name}: there is no population called {end!r}.")
    if order[projection.target] == 0:
        raise NetworkError(f"Projection {projection.name} leads into the input {projection.target}, which hears nothing.")
    if order[projection.source] >= order[projection.target] and projection.lag < 1:
        raise NetworkError(
            f"Projection {projection.name} runs back from {projection.source} to {projection.target} with a lag of 0, so the target would "
            f"hear the source's step before it has run. It needs a lag of at least 1."
        )
    need = (network.population(projection.target).size, network.population(projection.source).size)
    if projection.synapses.shape != need:
        raise NetworkError(f"Projection {projection.name}: its synapses have shape {projection.synapses.shape}, its ends need {need}.")
    if isinstance(projection.synapses, Convolution):
        maps = projection.synapses.source_shape, projection.synapses.target_shape
        for end, shape in zip((projection.source, projection.target), maps, strict=True):
            declared = network.population(end).shape
            if not fits(declared, shape):
                raise NetworkError(
                    f"Projection {projection.name}: its maps at {end} have the shape {shape}, the population has {declared}."
                )
