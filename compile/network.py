"""The network that flows through the compiler: named populations and projections, immutable.

A float network comes out of a reader; the quantise pass makes an integer one of it, in which every number is what the
chip holds. Shapes are checked when a value is made, and arrays are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, NetworkError

Encoding = Literal["direct", "current", "graded", "rate", "host"]
Place = Literal["chip", "host"]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class LIF:
    """SpikingJelly's leaky integrate-and-fire neuron with hard reset.

    decay_input:      v <- v + (v_reset - v + x) / tau;    without:  v <- v + (v_reset - v) / tau + x
    spike when v >= v_threshold, then v <- v_reset.        `tau` in time steps.
    """

    tau: float = 2.0
    v_threshold: float = 1.0
    v_reset: float = 0.0
    decay_input: bool = True

    def __post_init__(self) -> None:
        if not (self.tau >= 1.0 and np.isfinite(self.tau)):
            raise NetworkError(f"LIF: tau is {self.tau}; it must be at least 1 time step.")
        if not (self.v_threshold > self.v_reset):
            raise NetworkError(f"LIF: v_threshold {self.v_threshold} must lie above v_reset {self.v_reset}.")


@dataclass(frozen=True)
class IntegerLIF:
    """The chip's LIF: the registers that `hwmodels.fixed_point.lif_step` takes.

    `du`, `dv`: 12-bit decays of current and voltage (du = -1: the current never decays); `vth`: 17-bit threshold mantissa.
    """

    du: int = 4095
    dv: int = 2048
    vth: int = 1

    def __post_init__(self) -> None:
        if not -1 <= self.du <= 4095 or not 0 <= self.dv <= 4095:
            raise NetworkError(f"IntegerLIF: decays du={self.du}, dv={self.dv} must lie in -1..4095 and 0..4095.")
        if not 0 <= self.vth <= 131071:
            raise NetworkError(f"IntegerLIF: the threshold {self.vth} exceeds the 17 bits of the chip (131071).")


Neuron = LIF | IntegerLIF


def row_pointers(rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return the CSR row pointers (count + 1,) of entries that lie in `rows`, in row order."""
    pointers = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=pointers[1:])
    return pointers


@dataclass(frozen=True)
class Synapses:
    """A sparse matrix in CSR form, shape (targets, sources); a stored entry is a synapse that survived.

    `data` is float32 in a float network and int32 in an integer one.
    """

    indptr: NDArray[np.int64]
    indices: IntArray
    data: NDArray[Any]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        _check_csr(self)
        for array in (self.indptr, self.indices, self.data):
            array.setflags(write=False)

    @classmethod
    def from_dense(cls, weights: NDArray[Any]) -> Synapses:
        """Keep the non-zero entries of a (targets, sources) matrix."""
        dtype = np.int32 if np.issubdtype(weights.dtype, np.integer) else np.float32
        rows, columns = np.nonzero(weights)
        indptr = row_pointers(rows, weights.shape[0])
        return cls(indptr, columns.astype(np.int32), weights[rows, columns].astype(dtype), (weights.shape[0], weights.shape[1]))

    def to_dense(self) -> NDArray[Any]:
        """Return the (targets, sources) matrix with zeros filled in."""
        dense = np.zeros(self.shape, self.data.dtype)
        dense[self.rows, self.indices] = self.data
        return dense

    @property
    def rows(self) -> NDArray[np.int64]:
        """The target of each synapse, in the order of `indices` and `data`."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    @property
    def count(self) -> int:
        """The number of synapses."""
        return int(self.data.size)

    @property
    def fan_in(self) -> NDArray[np.int64]:
        """Synapses that arrive at each target."""
        return np.diff(self.indptr)

    @property
    def fan_out(self) -> NDArray[np.int64]:
        """Synapses that leave each source."""
        return np.bincount(self.indices, minlength=self.shape[1]).astype(np.int64)

    def select(self, keep: NDArray[np.bool_]) -> Synapses:
        """Return the synapses where `keep` (one entry a synapse) is true."""
        return Synapses(row_pointers(self.rows[keep], self.shape[0]), self.indices[keep], self.data[keep], self.shape)


def _check_csr(synapses: Synapses) -> None:
    rows, columns = synapses.shape
    indptr, indices = synapses.indptr, synapses.indices
    if indptr.shape != (rows + 1,) or indices.ndim != 1 or indices.shape != synapses.data.shape:
        raise FormatError(f"Synapses {synapses.shape}: the CSR arrays have shapes {indptr.shape}, {indices.shape}, {synapses.data.shape}.")
    if indptr[0] != 0 or indptr[-1] != indices.size or (np.diff(indptr) < 0).any():
        raise FormatError(f"Synapses {synapses.shape}: the row pointers do not rise from 0 to {indices.size}.")
    if indices.size and (indices.min() < 0 or indices.max() >= columns):
        raise FormatError(f"Synapses {synapses.shape}: a source index lies outside 0..{columns - 1}.")


@dataclass(frozen=True)
class Population:
    """Neurons of one kind. `neuron` is None for the input. `place` "host" means that they are computed off chip."""

    name: str
    shape: tuple[int, ...]
    neuron: Neuron | None
    place: Place = "chip"

    @property
    def size(self) -> int:
        """The number of neurons."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Projection:
    """Synapses from `source` to `target`. The integer input current of a step is  a = (W s) << exponent  (>> with floor below 0)."""

    name: str
    source: str
    target: str
    synapses: Synapses
    exponent: int = 0
    weight_bits: int | None = None  # None: float weights
    scale: float = 1.0  # the float weight is data * 2**exponent / scale
    trained_shape: tuple[int, int] | None = None  # before dead neurons were dropped; None: the synapses' own

    @property
    def full_shape(self) -> tuple[int, int]:
        """The shape that was trained: connectivity is counted against it."""
        return self.trained_shape or self.synapses.shape


@dataclass(frozen=True)
class InputSpec:
    """How samples enter: integers 0..levels whose real value is  integer * scale; and how they are put on the wire."""

    levels: int = 255
    scale: float = 1.0 / 255.0
    encoding: Encoding = "direct"


@dataclass(frozen=True)
class Stage:
    """Accuracy (0..1) at one stage of the chain, over `samples` samples of the split `split`."""

    name: str
    accuracy: float
    samples: int
    split: str = "test"


@dataclass(frozen=True)
class Network:
    """A feed-forward network in topological order: `populations[0]` is the input, `populations[-1]` the output.

    Raises:
        NetworkError: a projection that names no population, has the wrong shape or closes a loop.
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    timesteps: int
    input: InputSpec = field(default_factory=InputSpec)
    stages: tuple[Stage, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])

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

    def with_population(self, changed: Population) -> Network:
        """Return this network with the population of that name replaced."""
        return replace(self, populations=tuple(changed if p.name == changed.name else p for p in self.populations))

    def with_projection(self, changed: Projection) -> Network:
        """Return this network with the projection of that name replaced."""
        return replace(self, projections=tuple(changed if p.name == changed.name else p for p in self.projections))

    def depth(self) -> dict[str, int]:
        """Return, by population, the longest number of connections from the input to it."""
        depth = {self.populations[0].name: 0}
        for population in self.spiking:
            depth[population.name] = 1 + max((depth[p.source] for p in self.inputs_of(population.name)), default=-1)
        return depth


def _check_network(network: Network) -> None:
    order = {p.name: i for i, p in enumerate(network.populations)}
    if len(network.populations) < 2 or len(order) != len(network.populations):
        raise NetworkError("A network needs an input and at least one population, with distinct names.")
    if network.populations[0].neuron is not None or any(p.neuron is None for p in network.spiking):
        raise NetworkError("The first population is the input and has no neuron model; all others need one.")
    if not 1 <= network.timesteps <= 4096:
        raise NetworkError(f"The number of time steps is {network.timesteps}; it must lie in 1..4096.")
    if len({p.name for p in network.projections}) != len(network.projections):
        raise NetworkError("Two projections have the same name.")
    for projection in network.projections:
        _check_projection(network, projection, order)


def _check_projection(network: Network, projection: Projection, order: dict[str, int]) -> None:
    for end in (projection.source, projection.target):
        if end not in order:
            raise NetworkError(f"Projection {projection.name}: there is no population called {end!r}.")
    if order[projection.source] >= order[projection.target]:
        raise NetworkError(f"Projection {projection.name} runs backwards; only feed-forward networks are compiled yet.")
    need = (network.population(projection.target).size, network.population(projection.source).size)
    if projection.synapses.shape != need:
        raise NetworkError(f"Projection {projection.name}: its synapses have shape {projection.synapses.shape}, its ends need {need}.")
