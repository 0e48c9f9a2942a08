"""Neuron models of a network: the float one of training, those of the chips, and memoryless threshold units.

What other code has to know of a model, the model says itself: whether its registers are integers, which of them it has, the most spikes
that it sends in a step, and the level of its potential at which it spikes. Its arithmetic is in `hwmodels`, its step in `reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import NetworkError
from ..hwmodels import xylo
from ..hwmodels.crossbar import STATE_MAX
from ..hwmodels.fixed_point import ALIGN

__all__ = ["LIF", "NEURONS", "CrossbarLIF", "IntegerLIF", "Neuron", "Threshold", "XyloLIF", "is_integer", "most_spikes", "states_of"]


@dataclass(frozen=True)
class LIF:
    """SpikingJelly's leaky integrate-and-fire neuron.

    i <- i - i / tau_syn + W s;   x = i + bias             (tau_syn = 1: the current lasts one step)
    decay_input:      v <- v + (v_reset - v + x) / tau;    without:  v <- v + (v_reset - v) / tau + x
    spike when v >= v_threshold, then v <- v_reset, or with `soft_reset`  v <- v - (v_threshold - v_reset).
    `tau`, `tau_syn` in time steps; tau infinite, without decay_input: nothing leaks, an integrate-and-fire neuron (IF).
    """

    tau: float = 2.0
    v_threshold: float = 1.0
    v_reset: float = 0.0
    decay_input: bool = True
    soft_reset: bool = False
    tau_syn: float = 1.0

    def __post_init__(self) -> None:
        if not (self.tau >= 1.0 and (np.isfinite(self.tau) or not self.decay_input)):
            raise NetworkError(
                f"LIF: tau is {self.tau}; it must be at least 1 time step, and infinite only where the input does not decay."
            )
        if not (self.tau_syn >= 1.0 and np.isfinite(self.tau_syn)):
            raise NetworkError(f"LIF: tau_syn is {self.tau_syn}; it must be at least 1 time step.")
        if not (self.v_threshold > self.v_reset):
            raise NetworkError(f"LIF: v_threshold {self.v_threshold} must be above v_reset {self.v_reset}.")


@dataclass(frozen=True)
class IntegerLIF:
    """The chip's LIF: the registers that `hwmodels.fixed_point.lif_step` takes.

    `du`, `dv`: 12-bit decays of current and voltage (du = -1: the current never decays); `vth`: 17-bit threshold mantissa;
    `soft_reset`: a spike subtracts the threshold from the voltage instead of resetting it to 0.
    """

    states: ClassVar[tuple[str, ...]] = ("v", "u")

    du: int = 4095
    dv: int = 2048
    vth: int = 1
    soft_reset: bool = False

    def __post_init__(self) -> None:
        if not -1 <= self.du <= 4095 or not 0 <= self.dv <= 4095:
            raise NetworkError(f"IntegerLIF: decays du={self.du}, dv={self.dv} must lie in -1..4095 and 0..4095.")
        if not 0 <= self.vth <= 131071:
            raise NetworkError(f"IntegerLIF: the threshold {self.vth} exceeds the 17 bits of the chip (131071).")

    @property
    def register_level(self) -> int:
        """The threshold in units of the register v."""
        return self.vth << ALIGN


@dataclass(frozen=True)
class Threshold:
    """A memoryless threshold unit:  spike when the input of the current step >= level.

    On spikes with weights of 1 it is the OR of a pooling window (level 1), or the AND of n branches (level n).
    """

    level: float = 1.0

    def __post_init__(self) -> None:
        if not (self.level > 0.0 and np.isfinite(self.level)):
            raise NetworkError(f"Threshold: the level is {self.level}; it must be above 0.")


@dataclass(frozen=True)
class CrossbarLIF:
    """A neuron of a TrueNorth-style core, as `hwmodels.crossbar.crossbar_step` runs it: a linear leak towards zero, a reset to zero."""

    states: ClassVar[tuple[str, ...]] = ("v",)

    threshold: int = 1
    leak: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= STATE_MAX or not 0 <= self.leak <= STATE_MAX:
            raise NetworkError(
                f"CrossbarLIF: threshold {self.threshold} and leak {self.leak} must lie in 1..{STATE_MAX} and 0..{STATE_MAX}."
            )

    @property
    def register_level(self) -> int:
        """The threshold in units of the register v."""
        return self.threshold


@dataclass(frozen=True)
class XyloLIF:
    """A neuron of Xylo, as `hwmodels.xylo.xylo_step` runs it: 16 bits, decays by shifts, a reset by subtraction, several spikes a step.

    `dash_syn`, `dash_mem`: shifts of the decays of current and potential; `most`: spikes in a step, 31 of a hidden neuron, 1 of an output.
    """

    states: ClassVar[tuple[str, ...]] = ("v", "u")

    dash_syn: int = 1
    dash_mem: int = 1
    threshold: int = 1
    most: int = xylo.HIDDEN_SPIKES

    def __post_init__(self) -> None:
        if not 0 <= self.dash_syn <= xylo.DASH_MAX or not 0 <= self.dash_mem <= xylo.DASH_MAX:
            raise NetworkError(f"XyloLIF: dash_syn={self.dash_syn} and dash_mem={self.dash_mem} must lie in 0..{xylo.DASH_MAX}.")
        if not 1 <= self.threshold <= xylo.STATE_MAX or not 1 <= self.most <= xylo.HIDDEN_SPIKES:
            raise NetworkError(
                f"XyloLIF: threshold {self.threshold} and most {self.most} must lie in 1..{xylo.STATE_MAX} and 1..{xylo.HIDDEN_SPIKES}."
            )

    @property
    def register_level(self) -> int:
        """The threshold in units of the register v."""
        return self.threshold


Neuron = LIF | IntegerLIF | Threshold | CrossbarLIF | XyloLIF
NEURONS: dict[str, type[Neuron]] = {kind.__name__: kind for kind in (LIF, IntegerLIF, Threshold, CrossbarLIF, XyloLIF)}


def is_integer(neuron: Neuron | None) -> bool:
    """Return whether a neuron's registers are the integers of a chip."""
    return isinstance(neuron, IntegerLIF | CrossbarLIF | XyloLIF)


def states_of(neuron: Neuron | None) -> tuple[str, ...]:
    """Return the registers that a neuron has: v, and u where it has a synaptic current; float neurons' are named alike."""
    return neuron.states if isinstance(neuron, IntegerLIF | CrossbarLIF | XyloLIF) else ("v", "u")


def most_spikes(neuron: Neuron | None) -> int:
    """Return the most spikes that a neuron sends in a step."""
    return neuron.most if isinstance(neuron, XyloLIF) else 1
