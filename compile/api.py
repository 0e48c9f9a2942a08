"""What passes and targets build on: what the user asked for, calibration samples, and what a pass is and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..checked import check_fields
from ..hwmodels.chip import Chip
from ..network.model import Encoding, Network
from ..subset import choose

__all__ = ["Calibration", "CompileOptions", "Pass", "PassResult", "Rates", "differing"]

# What one pass over the calibration samples may take, in updates of a synapse: one or two seconds in SciPy and NumPy, in which an update
# of a neuron takes as long as some 20 of a synapse. The quantiser makes up to ten passes over each layer.
CALIBRATION_WORK = 2e9
NEURON_WORK = 20

Rates = dict[str, NDArray[np.float64]]  # by population, spikes (or payloads) per neuron and time step


@dataclass(frozen=True)
class Calibration:
    """Training samples that calibrate the quantiser and measure rates.

    `values`: (samples, ...) uint8 of the input's shape or flat, (samples, timesteps, ...) where samples have a value for every step;
    `labels`: (samples,).
    """

    values: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_fields(self)

    def affordable(self, network: Network, work: float = CALIBRATION_WORK) -> Calibration:
        """Return as many samples, evenly spread, as run through `network` within `work`; at least 8, and all if they do."""
        step = network.synapses + NEURON_WORK * network.neurons
        count = max(8, int(work / (step * network.timesteps)))
        if count >= len(self.values):
            return self
        chosen = choose(count, len(self.values)).indices()
        return Calibration(self.values[chosen], self.labels[chosen])


def differing(spikes: NDArray[Any], goal: NDArray[Any]) -> float:
    """Return the spikes that are in one raster alone, as a share of those of `goal`; of a silent `goal`, 1 if there is any."""
    wrong, wanted = int(np.count_nonzero(spikes != goal)), int(np.count_nonzero(goal))
    return wrong / wanted if wanted else float(wrong > 0)


@dataclass(frozen=True)
class CompileOptions:
    """What the user asked for.

    `encoding` None: the chip's first; `weight_bits`, `granularity` (layer, channel): of a float network; `mode`: of crossbars.
    """

    chip: Chip
    encoding: Encoding | None = None
    weight_bits: str | int = 8
    calibration: Calibration | None = None
    seed: int = 0
    granularity: str = "layer"
    mode: str | None = None


@dataclass(frozen=True)
class PassResult:
    """The new network, what changed (for people), what looks wrong, and by population the drift and the rates measured."""

    network: Network
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    drift: dict[str, float] | None = None
    rates: Rates | None = None


@runtime_checkable
class Pass(Protocol):
    """A pass, a frozen dataclass: its options are fields; `run` returns a new network and changes nothing in place."""

    name: ClassVar[str]
    """What records, dumps and --stop-after call it; a class variable, since fields are options."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass."""
        ...
