"""Types shared by passes and targets: the user's options, calibration samples, a pass and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..checked import check_fields
from ..hwmodels.chip import Chip
from ..network.model import Encoding, Network
from ..subset import choose
from .mapping.api import Objective
from .mapping.given import Given

__all__ = ["Calibration", "Calibrated", "CompileOptions", "Pass", "PassResult", "Rates", "differing"]

# Budget of one pass over the calibration samples, in synapse updates: one or two seconds in SciPy and NumPy, where one neuron update takes
# about as long as 20 synapse updates. The quantiser makes up to ten passes over each layer.
CALIBRATION_WORK = 2e9
NEURON_WORK = 20

Rates = dict[str, NDArray[np.float64]]  # by population, spikes (or payloads) per neuron and time step


@dataclass(frozen=True)
class Calibration:
    """Training samples that calibrate the quantiser and measure rates.

    `values`: (samples, ...) uint8 in the input's shape or flat, (samples, timesteps, ...) where samples have a value for every step;
    `labels`: (samples,).
    """

    values: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_fields(self)

    def affordable(self, network: Network, work: float = CALIBRATION_WORK) -> Calibration:
        """Return the largest evenly spaced subset of samples that `network` processes within `work`; at least 8, all if they fit."""
        step = network.synapses + NEURON_WORK * network.neurons
        count = max(8, int(work / (step * network.timesteps)))
        if count >= len(self.values):
            return self
        chosen = choose(count, len(self.values)).indices()
        return Calibration(self.values[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Calibrated:
    """What calibration samples that are not at hand once gave, at some weight bits.

    `clips`: by layer, the share of its largest weight at which weights are clipped; `rates`: by population, the mean of its spikes (or
    payloads) per neuron and time step.
    """

    weight_bits: str
    clips: Mapping[str, float]
    rates: Mapping[str, float]

    def spread(self, network: Network) -> Rates | None:
        """Return the rates of each neuron of a network; None if those of a population are unknown."""
        if any(p.name not in self.rates for p in network.populations):
            return None
        return {p.name: np.full(p.size, self.rates[p.name]) for p in network.populations}


def differing(spikes: NDArray[Any], goal: NDArray[Any]) -> float:
    """Return the spikes that are in only one of the rasters, as a share of those of `goal`; if `goal` is silent, 1 if there are any."""
    wrong, wanted = int(np.count_nonzero(spikes != goal)), int(np.count_nonzero(goal))
    return wrong / wanted if wanted else float(wrong > 0)


@dataclass(frozen=True)
class CompileOptions:
    """The options that the user chose.

    `encoding` None: the chip's first; `weight_bits`, `granularity` (layer, channel): for a float network; `mode`: for crossbars;
    `given`: what is said of the mapping; `calibrated`: what takes the place of `calibration` where there is none; `objective`: what the
    mapping makes small.
    """

    chip: Chip
    encoding: Encoding | None = None
    weight_bits: str | int = 8
    calibration: Calibration | None = None
    seed: int = 0
    granularity: str = "layer"
    mode: str | None = None
    given: Given | None = None
    calibrated: Calibrated | None = None
    objective: Objective = "messages"


@dataclass(frozen=True)
class PassResult:
    """The new network, what changed (human-readable), warnings, and the spike mismatch and measured rates per population."""

    network: Network
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    drift: dict[str, float] | None = None
    rates: Rates | None = None


@runtime_checkable
class Pass(Protocol):
    """A pass: a frozen dataclass whose fields are its options; `run` returns a new network and changes nothing in place."""

    name: ClassVar[str]
    """Its name in records, dumps and --stop-after; a class variable, since fields are options."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass."""
        ...
