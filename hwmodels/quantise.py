"""From float weights and LIF parameters to the chip's registers: one rule, used by training and by the compiler.

A float layer has the input current  x = sum_j W_j p_j input_scale  of integer payloads p (0/1 for binary spikes) and spikes
when v >= v_threshold. With  W_int = round(W q)  and the shift 2^e the chip adds  a = (W_int p) 2^e.  Its membrane is the
float one times 64 * vth / v_threshold  when

    vth = q 2^e g v_threshold / input_scale,      g = tau with decay_input, else 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fixed_point import ALIGN, BIAS_BITS, BIAS_EXPONENT_MAX, BIAS_MAX, DECAY_ONE, STATE_LIMIT, VTH_MAX, largest_weight

EXPONENT_MAX = 7  # of a chip's weights
LIMIT = STATE_LIMIT >> ALIGN  # of an input: from 2^17 on, the 24-bit current would wrap

PLAIN_BIAS_MAX = (1 << (BIAS_BITS - 1)) - 1  # in units of `a`, where every bias is shifted left by 6

# Shares of the largest weight at which weights may saturate; few bits need low shares, or most weights round to zero.
CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class LayerRegisters:
    """The registers that quantisation chose for one layer.

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
    """Return the largest |sum of weights times payload| that any neuron can receive.

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


def current_decay(tau_syn: float) -> int:
    """Return du = round(4096/tau_syn) - 1, of a current that keeps  1 - 1/tau_syn  of itself; tau_syn in time steps, at least 1."""
    return max(round(DECAY_ONE / tau_syn), 1) - 1


@dataclass(frozen=True)
class Arriving:
    """The float weights of one projection into a population.

    `weights`: (weights,); `sums`: of (weights,) values, their sum over the synapses of each target, (targets,); `levels`: the largest
    payload (255 for graded bytes, 1 for spikes); `unit`: the real value of one payload unit.
    """

    weights: NDArray[Any]
    sums: Callable[[NDArray[Any]], NDArray[np.float64]]
    levels: int = 1
    unit: float = 1.0

    def top(self, clip: float) -> float:
        """Return the magnitude at which weights saturate; weights of equal magnitude, such as a shortcut's, never do."""
        magnitudes = np.abs(self.weights)
        largest = float(magnitudes.max(initial=0.0))
        return largest if largest == float(magnitudes.min(initial=largest)) else largest * clip

    def bounds(self, integers: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return, for each target, the largest and the smallest sum of weights times payload, (2, targets)."""
        parts = (np.maximum(integers, 0), np.minimum(integers, 0))
        return np.stack([self.sums(part) for part in parts]) * self.levels


@dataclass(frozen=True)
class PopulationRegisters:
    """The registers that quantisation chose for a population and its incoming projections.

    `gain`: units of `a` for an input of 1.0; `exponents`: e of each projection; `steps`: its q, W_int = round(W q),  q 2^e = gain * unit.
    """

    gain: float
    exponents: tuple[int, ...]
    steps: tuple[float, ...]
    vth: int
    dv: int


def choose_population(
    inputs: Sequence[Arriving],
    *,
    tau: float,
    decay_input: bool,
    v_threshold: float,
    bias: NDArray[Any] | None = None,
    weight_bits: int = 8,
    clip: float = 1.0,
    headroom: float = 1.0,
    finest: bool = False,
) -> PopulationRegisters:
    """Choose steps, exponents and the threshold of a population so that no sum can wrap and threshold and bias fit their bits.

    All projections into a neuron share its threshold, and so one gain: the finest that any of them needs, halved until it
    fits. Each projection then has the exponent with which its largest weight fills its bits; equal weights get equal registers.

    Args:
        inputs: the incoming projections; those with only zero weights are ignored.
        tau, decay_input, v_threshold: the float LIF; v_threshold measured from v_reset.
        bias: (size,) or (channels,) float biases.
        weight_bits: bits of a signed weight, 2..9.
        clip: weights beyond `clip` times a projection's largest magnitude saturate.
        headroom: factor on the input bound, for weights that will still change.
        finest: shift sums left as far as is possible without saturating the potential (it sums up to tau inputs and biases): the
            threshold, and sums of several projections, are then rounded less.

    Returns:
        The registers; `vth` is 0 when all inputs are zero and there is no bias.
    """
    limit, g = largest_weight(weight_bits), tau if decay_input else 1.0
    loudest = float(np.abs(bias).max(initial=0.0)) if bias is not None else 0.0
    tops = [w.top(clip) for w in inputs]
    wishes = [limit / top / w.unit for w, top in zip(inputs, tops, strict=True) if top > 0.0]
    if not wishes and loudest == 0.0:
        return PopulationRegisters(1.0, (0,) * len(inputs), (1.0,) * len(inputs), 0, voltage_decay(tau))
    gain = max(wishes, default=VTH_MAX / 2.0 / (g * v_threshold))
    exponents = [_exponent(gain * w.unit * top / limit) for w, top in zip(inputs, tops, strict=True)]
    steps = [gain * w.unit / 2.0**e for w, e in zip(inputs, exponents, strict=True)]
    sums = [w.bounds(quantise(w.weights, step, weight_bits)) * headroom for w, step in zip(inputs, steps, strict=True)]
    halvings = 0
    while finest and _largest(sums, [e - halvings + 1 for e in exponents]) + 2.0 * loudest * gain / 2.0**halvings < LIMIT / tau:
        halvings -= 1
        if halvings == -EXPONENT_MAX:
            break
    while not (
        _largest(sums, [e - halvings for e in exponents]) < LIMIT
        and max(exponents, default=0) - halvings <= EXPONENT_MAX
        and threshold(gain / 2.0**halvings, 0, g, v_threshold, 1.0) <= VTH_MAX
        and (gain / 2.0**halvings) * loudest * (1 << ALIGN) <= BIAS_MAX
    ):
        halvings += 1
    gain /= 2.0**halvings
    vth = threshold(gain, 0, g, v_threshold, 1.0)
    return PopulationRegisters(gain, tuple(e - halvings for e in exponents), tuple(steps), vth, voltage_decay(tau))


def choose_plain(
    inputs: Sequence[Arriving],
    *,
    tau: float,
    decay_input: bool,
    v_threshold: float,
    bias: NDArray[Any] | None = None,
    weight_bits: int = 8,
    clip: float = 1.0,
) -> PopulationRegisters:
    """Like `choose_population`, with exponents of 0 only and biases that are mantissas shifted left by 6, as netx requires.

    The gain is the finest with which no weight exceeds its bits; it is halved until no sum can wrap and threshold and biases fit.

    Args:
        inputs, tau, decay_input, v_threshold, bias, weight_bits, clip: those of `choose_population`.

    Returns:
        The registers; `round_bias_plain` rounds the biases.
    """
    limit, g = largest_weight(weight_bits), tau if decay_input else 1.0
    loudest = float(np.abs(bias).max(initial=0.0)) if bias is not None else 0.0
    wishes = [limit / w.top(clip) / w.unit for w in inputs if w.top(clip) > 0.0]
    gain = min(wishes, default=VTH_MAX / 2.0 / (g * v_threshold))
    while True:
        steps = tuple(gain * w.unit for w in inputs)
        sums = [w.bounds(quantise(w.weights, step, weight_bits)) for w, step in zip(inputs, steps, strict=True)]
        vth = threshold(gain, 0, g, v_threshold, 1.0)
        if _largest(sums, [0] * len(inputs)) < LIMIT and vth <= VTH_MAX and gain * loudest <= PLAIN_BIAS_MAX:
            return PopulationRegisters(gain, (0,) * len(inputs), steps, vth, voltage_decay(tau))
        gain /= 2.0


def round_bias_plain(bias: NDArray[Any], gain: float) -> NDArray[np.int32]:
    """Return float biases as voltages  64 round(gain b),  mantissas of 13 bits shifted left by 6."""
    mantissas = np.clip(np.rint(np.asarray(bias, np.float64) * gain), -PLAIN_BIAS_MAX, PLAIN_BIAS_MAX)
    return mantissas.astype(np.int32) << ALIGN


def _exponent(ratio: float) -> int:
    """Return the smallest e with  ratio <= 2^e;  a rounding error in the last bit does not change the result for a ratio of 1."""
    return math.ceil(math.log2(ratio) - 1e-9) if ratio > 0.0 else 0


def _largest(sums: Sequence[NDArray[np.float64]], exponents: Sequence[int]) -> float:
    """Return the largest magnitude of any neuron's input, each projection's sum shifted with the chip's floor."""
    total = sum((np.floor(s * 2.0**e) for s, e in zip(sums, exponents, strict=True)), np.zeros(()))
    return float(np.abs(total).max(initial=0.0))


def round_bias(bias: NDArray[Any], gain: float) -> NDArray[np.int32]:
    """Return float biases as voltages of the chip:  64 gain b,  rounded to what a 13-bit mantissa and a 3-bit exponent hold.

    The input x adds  64 gain x  to the voltage in each step, with or without decay_input (the threshold carries its tau), and so does b.
    """
    wanted, mantissas = np.asarray(bias, np.float64) * gain * (1 << ALIGN), (1 << (BIAS_BITS - 1)) - 1
    exponent = np.zeros(wanted.shape, np.int64)
    for e in range(BIAS_EXPONENT_MAX):
        exponent[np.abs(np.rint(wanted / (1 << e))) > mantissas] = e + 1
    return np.rint(wanted / (1 << exponent)).astype(np.int32) << exponent.astype(np.int32)


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
    bias: NDArray[Any] | None = None,
) -> LayerRegisters:
    """Choose the registers of a population with one dense projection; see `choose_population`.

    Args:
        weights: (targets, sources) float weights, dense.
        tau, decay_input, v_threshold: the float LIF; v_threshold measured from v_reset.
        levels: the largest input payload (255 for graded bytes, 1 for spikes).
        input_scale: the real value of one payload unit.
        weight_bits: bits of a signed weight, 2..9.
        clip: weights beyond `clip` times the largest magnitude saturate.
        headroom: factor on the input bound, for weights that will still change.
        bias: (targets,) float biases.

    Returns:
        The registers; `vth` is 0 when every weight is zero.
    """
    chosen = choose_population(
        [Arriving(weights.ravel(), lambda values: values.reshape(weights.shape).sum(axis=1, dtype=np.float64), levels, input_scale)],
        tau=tau,
        decay_input=decay_input,
        v_threshold=v_threshold,
        bias=bias,
        weight_bits=weight_bits,
        clip=clip,
        headroom=headroom,
    )
    return LayerRegisters(chosen.steps[0], chosen.exponents[0], chosen.vth, chosen.dv, weight_bits)


def threshold(step: float, exponent: int, gain: float, v_threshold: float, input_scale: float) -> int:
    """Return the threshold mantissa: the exact value rounded half down, since the chip's comparison is strict."""
    return int(np.ceil(step * 2.0**exponent * gain * v_threshold / input_scale - 0.5))


def quantise(weights: NDArray[Any], step: float, weight_bits: int) -> NDArray[np.int32]:
    """Return  clip(round(weights * step))  within the symmetric range of `weight_bits` bits."""
    limit = largest_weight(weight_bits)
    return np.clip(np.rint(np.asarray(weights, np.float64) * step), -limit, limit).astype(np.int32)
