"""Neuron models of a network: the float one of training, the chip's, and memoryless threshold units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from ..hwmodels.crossbar import STATE_MAX

__all__ = ["LIF", "CrossbarLIF", "IntegerLIF", "Neuron", "Threshold"]


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

    du: int = 4095
    dv: int = 2048
    vth: int = 1
    soft_reset: bool = False

    def __post_init__(self) -> None:
        if not -1 <= self.du <= 4095 or not 0 <= self.dv <= 4095:
            raise NetworkError(f"IntegerLIF: decays du={self.du}, dv={self.dv} must lie in -1..4095 and 0..4095.")
        if not 0 <= self.vth <= 131071:
            raise NetworkError(f"IntegerLIF: the threshold {self.vth} exceeds the 17 bits of the chip (131071).")


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

    threshold: int = 1
    leak: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= STATE_MAX or not 0 <= self.leak <= STATE_MAX:
            raise NetworkError(
                f"CrossbarLIF: threshold {self.threshold} and leak {self.leak} must lie in 1..{STATE_MAX} and 0..{STATE_MAX}."
            )


Neuron = LIF | IntegerLIF | Threshold | CrossbarLIF
