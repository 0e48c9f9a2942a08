"""The parts of a network: populations, projections, how samples enter, and provenance.

Shapes are checked when a part is made, and arrays are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..subset import Subset
from .convolution import Connectivity, Convolution
from .neurons import Neuron, is_integer

__all__ = [
    "LARGEST_PAYLOAD",
    "SPIKE",
    "Encoding",
    "InputSpec",
    "Payload",
    "Place",
    "Population",
    "Projection",
    "Reading",
    "Stage",
    "Trained",
]

Encoding = Literal["direct", "current", "graded", "rate", "host", "events"]
Place = Literal["chip", "host"]


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind. `neuron` is None for the input. `place` "host" means computed off chip.

    `bias`: added to the input of every step; one number per channel (the first axis of `shape`), i.e. one per neuron for a flat population.
        float32 for a float neuron; for an integer neuron int32, added to the potential, in its units.
    `alive`: (size,) neurons that were not removed; the others never spike. None: all.
    `levels`: (size, 4) for a CrossbarLIF, the weight of each neuron per axon type; its inputs are sums of these.
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
        return same and _same(self.bias, other.bias) and _same(self.alive, other.alive) and _same(self.levels, other.levels)

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
            return np.zeros(self.size, np.int32 if is_integer(self.neuron) else np.float32)
        return np.repeat(self.bias, self.size // max(self.shape[0], 1))


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


@dataclass(frozen=True)
class Trained:
    """A projection as it was trained: its surviving weights, its possible weights and synapses, and its sources."""

    weights: int
    possible_weights: int
    possible_synapses: int
    sources: int = 0  # 0: not known


@dataclass(frozen=True)
class Projection:
    """Synapses from `source` to `target`. The integer input current of a step is  a = (W s) << exponent  (>> with floor below 0).

    `lag`: steps by which spikes of the source arrive late:  a(t) takes s(t - lag)  in local time. A connection that runs backwards or
        from a population to itself needs at least 1. Spikes that would arrive after the last step of a sample are lost.
    `delay`: steps of synaptic delay on the chip, beyond the one that every connection takes; set by the pass that balances paths.
    """

    name: str
    source: str
    target: str
    synapses: Connectivity
    exponent: int = 0
    weight_bits: int | None = None  # None: float weights
    scale: float = 1.0  # the float weight is data * 2**exponent / scale
    origin: Trained | None = None  # as trained, before passes unrolled or dropped anything; None: the present synapses
    lag: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        if self.lag < 0 or self.delay < 0:
            raise NetworkError(f"Projection {self.name}: its lag is {self.lag} and its delay {self.delay}; neither can be negative.")

    @property
    def trained(self) -> Trained:
        """The projection as trained: connectivity is counted against it."""
        if self.origin is not None:
            return self.origin
        if isinstance(self.synapses, Convolution):
            return Trained(self.synapses.weights, int(np.prod(self.synapses.taps.shape)), self.synapses.possible, self.synapses.shape[1])
        possible = int(np.prod(self.synapses.shape))
        return Trained(self.synapses.count, possible, possible, self.synapses.shape[1])

    def select(self, keep: NDArray[np.bool_]) -> Projection:
        """Keep the marked weights; the record of what was trained is unchanged."""
        return self if keep.all() else replace(self, synapses=self.synapses.select(keep), origin=self.trained)


class Payload(NamedTuple):
    """The content of a projection's messages: an integer up to `largest`, each unit worth `scale` in the float network.

    `once`: it is sent only at the first step, and a current that never decays holds it. `SPIKE` is the payload that neurons send.
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
    """How samples enter: integers 0..levels whose real value is  integer * scale; and how they are transmitted.

    "direct": constant over the steps, not yet encoded; "events": samples contain their own frames, (T, inputs); else set by the compiler.
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
        """Whether the payload is sent only at the first step; a current that never decays holds it."""
        return self.encoding in ("current", "host")

    @property
    def is_rate_coded(self) -> bool:
        """Whether samples enter as random spikes."""
        return self.encoding == "rate"

    @property
    def payload(self) -> Payload:
        """The payload of the input's messages; for samples that are not yet encoded, the samples as they are."""
        return SPIKE if self.is_rate_coded else Payload(self.levels, self.scale, self.is_once)


@dataclass(frozen=True)
class Stage:
    """Accuracy (0..1) at one stage, on `samples` samples of `split`; `of`: size of that split, `chosen`: how they were chosen."""

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
    """What a reader reports on a file written by another tool, besides the network in it.

    `format`: netx, NIR; `warnings`: assumptions made where the file leaves something open; `if_silent`: a sentence on what the user can
    do if a layer cannot spike.
    """

    format: str
    warnings: tuple[str, ...] = ()
    if_silent: str = ""
