"""The deployed arithmetic: the chip's integer operations in short NumPy. This is the definition that everything else is compared with.

These are the semantics of lava-nc 0.10.0's bit-accurate LIF and Sparse processes (tag `fixed_pt`), which model Loihi.
All values are integers; shapes broadcast; state is passed in and returned, never changed in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

STATE_LIMIT = 1 << 23  # u and v are 24-bit registers
DECAY_ONE = 1 << 12  # decays are 12-bit fractions
ALIGN = 6  # inputs and thresholds are shifted left by 6 against the state
VTH_MAX = (1 << 17) - 1  # 17-bit threshold mantissa
BIAS_BITS = 13  # a bias is a signed 13-bit mantissa ...
BIAS_EXPONENT_MAX = 7  # ... shifted left by 0 to 7; both per neuron
BIAS_MAX = ((1 << (BIAS_BITS - 1)) - 1) << BIAS_EXPONENT_MAX
NO_MEMORY = 4095  # du: the synaptic current lasts one step
NEVER_DECAYS = -1  # du: the synaptic current is kept exactly


def decay(state: Int, constant: int) -> Int:
    """Return  tz(state * (4096 - constant) / 4096),  tz rounding toward zero."""
    if constant in (0, DECAY_ONE):  # nothing decays, or all of it does
        return state if constant == 0 else np.zeros_like(state)
    product = state * (DECAY_ONE - constant)
    return np.sign(product) * (np.abs(product) >> 12)


def shift(value: Int, exponent: int) -> Int:
    """Return  value << exponent;  for a negative exponent the arithmetic (flooring) right shift."""
    return value << exponent if exponent >= 0 else value >> -exponent


def wrap(u: Int) -> Int:
    """Wrap a current once around 24 bits:  u > 2^23 -> u - 2^24,  u <= -2^23 -> u + 2^24."""
    wrapped = np.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, u)
    return np.where(wrapped <= -STATE_LIMIT, u + 2 * STATE_LIMIT, wrapped)


def lif_step(
    u: Int, v: Int, a: Int, *, du: int, dv: int, vth: int, bias: Int | int = 0, soft_reset: bool = False
) -> tuple[Int, Int, NDArray[np.bool_]]:
    """Advance LIF neurons by one time step.

        u <- wrap(tz(u * (4096 - (du + 1)) / 4096) + (a << 6))
        v <- clip(tz(v * (4096 - dv) / 4096) + u + bias, -(2^23 - 1), 2^23 - 1)
        s  = v > (vth << 6);   v[s] <- 0,   or with a soft reset   v[s] <- v[s] - (vth << 6)

    Args:
        u: synaptic current, any shape.
        v: membrane potential, same shape.
        a: input of this step: the sum of `synaptic_input` over the incoming projections, same shape.
        du: current decay, -1 (never decays) to 4095 (no memory).
        dv: voltage decay, 0..4095.
        vth: threshold mantissa, 0..131071.
        bias: added to v each step, aligned like v.
        soft_reset: the excess over the threshold is kept; Lava's processes have no such reset.

    Returns:
        (u, v, s) after the step; s is the boolean spike vector.
    """
    u = wrap(decay(u, du + 1) + (a << ALIGN))
    v = np.clip(decay(v, dv) + u + bias, -(STATE_LIMIT - 1), STATE_LIMIT - 1)
    s = v > (vth << ALIGN)
    return u, np.where(s, v - (vth << ALIGN) if soft_reset else 0, v), s


def synaptic_input(weights: Any, spikes: Int, exponent: int) -> Int:
    """Return  a = (W s) << exponent,  the shift applied to the sum.

    Args:
        weights: (targets, sources) integers; a NumPy or scipy.sparse matrix.
        spikes: (sources,) or (sources, samples): 0/1, or the graded payload.
    """
    return shift(np.asarray(weights @ spikes, dtype=np.int64), exponent)


def bias_registers(bias: NDArray[Any]) -> tuple[Int, Int]:
    """Return the (mantissa, exponent) of each bias:  mantissa << exponent,  with the smallest exponent that 13 bits allow.

    A bias that the chip cannot hold exactly is rounded down (or, if it exceeds the range of both, gets a mantissa with more bits).
    """
    bias, limit = bias.astype(np.int64), 1 << (BIAS_BITS - 1)
    exponent = np.full(bias.shape, BIAS_EXPONENT_MAX, np.int64)
    for e in range(BIAS_EXPONENT_MAX - 1, -1, -1):
        exponent[((bias >> e) >= -limit) & ((bias >> e) < limit)] = e
    return bias >> exponent, exponent


def holds_bias(bias: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which biases the chip holds exactly."""
    mantissa, exponent = bias_registers(bias)
    limit = 1 << (BIAS_BITS - 1)
    return (mantissa << exponent == bias) & (mantissa >= -limit) & (mantissa < limit)


def largest_weight(weight_bits: int) -> int:
    """Return the largest magnitude of a signed weight of `weight_bits` bits, the symmetric range: 127 for 8."""
    return (1 << (weight_bits - 1)) - 1


def safe_exponent(input_bound: float) -> int:
    """Return the largest exponent <= 0 that keeps |a| below 2^17, so that the 24-bit current can never wrap.

    Args:
        input_bound: the largest possible |W s| of any neuron before the shift.
    """
    exponent = 0
    while shift(np.asarray(-int(np.ceil(input_bound))), exponent) <= -(STATE_LIMIT >> ALIGN):
        exponent -= 1
    return exponent
