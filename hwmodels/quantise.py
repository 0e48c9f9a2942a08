"""From float weights and LIF parameters to the chip's registers: one rule, used by training and by the compiler.

A float layer has the input current  x = sum_j W_j p_j input_scale  of integer payloads p (0/1 for binary spikes) and spikes
when v >= v_threshold. With  W_int = round(W q)  and the shift 2^e the chip adds  a = (W_int p) 2^e.  Its membrane is the
float one times 64 * vth / v_threshold  when

    vth = q 2^e g v_threshold / input_scale,      g = tau with decay_input, else 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fixed_point import DECAY_ONE, VTH_MAX, largest_weight, safe_exponent

# Shares of the largest weight at which the others may saturate; few bits need low ones, or most weights round away.
CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class LayerRegisters:
    """What quantisation chose for one layer.

    `step`: q above, W_int = round(W q); `exponent`: e; `scale`: q 2^e, so that W ~ W_int 2^e / scale; `vth`, `dv`: LIF registers.
    """

    step: float
    exponent: int
    vth: int
    dv: int
    weight_bits: int

    @property
    def scale(self) -> float:
        """q 2^e: the float weight of one integer unit is  2^e / scale."""
        return self.step * 2.0**self.exponent


def input_bound(weights: NDArray[Any], levels: int) -> float:
    """Return the largest |sum of weights times payload| that any neuron can see.

    Args:
        weights: (targets, sources), dense.
        levels: the largest payload; 1 for binary spikes.
    """
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.float64)
    negative = np.maximum(-weights, 0).sum(axis=1, dtype=np.float64)
    return float(max(positive.max(initial=0.0), negative.max(initial=0.0)) * levels)


def voltage_decay(tau: float) -> int:
    """Return dv = round(4096 / tau), within 0..4095; tau in time steps."""
    return min(round(DECAY_ONE / tau), DECAY_ONE - 1)


def choose_registers(
    weights: NDArray[Any],
    *,
    tau: float,
    decay_input: bool,
    v_threshold: float,
    levels: int,
    input_scale: float,
    weight_bits: int = 8,
    clip: float = 1.0,
    headroom: float = 1.0,
) -> LayerRegisters:
    """Choose step, exponent and threshold so that no sum can wrap and the threshold fits its 17 bits.

    Args:
        weights: (targets, sources) float weights, dense.
        tau, decay_input, v_threshold: the float LIF; v_threshold measured from v_reset.
        levels: the largest input payload (255 for graded bytes, 1 for spikes).
        input_scale: the real value of one payload unit.
        weight_bits: bits of a signed weight, 2..9.
        clip: weights beyond `clip` times the largest magnitude saturate.
        headroom: factor on the input bound, for weights that will still change.

    Returns:
        The registers; `vth` is 0 when every weight is zero.
    """
    largest = float(np.abs(weights).max(initial=0.0)) * clip
    gain = tau if decay_input else 1.0
    if largest == 0.0:
        return LayerRegisters(1.0, 0, 0, voltage_decay(tau), weight_bits)
    step = largest_weight(weight_bits) / largest
    exponent = safe_exponent(input_bound(quantise(weights, step, weight_bits), levels) * headroom)
    while threshold(step, exponent, gain, v_threshold, input_scale) > VTH_MAX:
        exponent -= 1
    vth = threshold(step, exponent, gain, v_threshold, input_scale)
    return LayerRegisters(step, exponent, vth, voltage_decay(tau), weight_bits)


def threshold(step: float, exponent: int, gain: float, v_threshold: float, input_scale: float) -> int:
    """Return the threshold mantissa: the exact value rounded half down, since the chip's comparison is strict."""
    return int(np.ceil(step * 2.0**exponent * gain * v_threshold / input_scale - 0.5))


def quantise(weights: NDArray[Any], step: float, weight_bits: int) -> NDArray[np.int32]:
    """Return  clip(round(weights * step))  within the symmetric range of `weight_bits` bits."""
    limit = largest_weight(weight_bits)
    return np.clip(np.rint(np.asarray(weights, np.float64) * step), -limit, limit).astype(np.int32)
