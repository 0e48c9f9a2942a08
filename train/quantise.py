"""Quantisation-aware training: the chip's integer arithmetic forward, a straight-through gradient back.

Forward, each layer computes what `hwmodels.fixed_point` defines, every integer held exactly. Backward, rounding counts as the
identity, and the surrogate is evaluated at  v / (vth << 6) - 1,  which is the float layer's  v / v_threshold - 1.

A synapse that survived pruning is kept: weights that would round to 0 are set to -1 or +1 unit, so the integer network has
exactly the sparsity of the float one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..hwmodels.fixed_point import ALIGN, BIAS_MAX, DECAY_ONE, largest_weight
from ..hwmodels.quantise import CLIPS, LayerRegisters, choose_registers, input_bound, round_bias
from . import kernels, threads
from .neurons import FusedLIFNode, LIFShape, backward_through_time, flat

EXACT_IN_FLOAT32 = 1 << 24
HEADROOM = 1.5  # on the input bound when the exponent is chosen: weights still change during the stage


@dataclass(frozen=True)
class IntegerArithmetic:
    """One layer on the chip: its registers, the largest input payload, and that payload's real unit."""

    registers: LayerRegisters
    levels: int
    input_scale: float

    @property
    def gain(self) -> float:
        """The units of the chip's input for an input of 1.0."""
        return self.registers.scale / self.input_scale


def choose_arithmetic(
    weights: NDArray[Any], neuron: Any, bits: int, levels: int, input_scale: float, bias: NDArray[Any] | None = None
) -> IntegerArithmetic:
    """Choose a layer's registers for its float `weights` (outputs, ...) and `bias`, clipped where the squared error is smallest.

    `neuron`: anything with tau, v_threshold, v_reset and decay_input.

    See `hwmodels.quantise.choose_registers`.
    """

    def registers(clip: float) -> LayerRegisters:
        return choose_registers(
            weights.reshape(len(weights), -1),
            tau=neuron.tau,
            decay_input=neuron.decay_input,
            v_threshold=neuron.v_threshold - float(neuron.v_reset or 0.0),
            levels=levels,
            input_scale=input_scale,
            weight_bits=bits,
            clip=clip,
            headroom=HEADROOM,
            bias=bias,
        )

    best = min((registers(clip) for clip in CLIPS), key=lambda r: _weight_error(weights, r))
    return IntegerArithmetic(best, levels, input_scale)


def _weight_error(weights: NDArray[Any], registers: LayerRegisters) -> float:
    """Return the sum of squared differences between the float weights and the values that their integers represent."""
    integers = integer_weights(torch.from_numpy(weights), registers).numpy()
    return float(np.square(weights - integers / registers.step).sum())


def integer_weights(weight: Tensor, registers: LayerRegisters) -> Tensor:
    """Return  W_int = clip(round(W q)),  non-zero where W is, as whole numbers in the dtype of `weight`."""
    limit = float(largest_weight(registers.weight_bits))
    rounded = torch.round(weight.detach() * registers.step).clamp_(-limit, limit)
    lost = (rounded == 0) & (weight.detach() != 0)
    return torch.where(lost, torch.sign(weight.detach()), rounded)


def fits(weight: Tensor, arithmetic: IntegerArithmetic, bias: Tensor | None = None) -> bool:
    """Whether no sum of the layer can wrap the chip's 24-bit current, and its registers hold every bias."""
    bound = input_bound(integer_weights(weight, arithmetic.registers).flatten(1).numpy(), arithmetic.levels)
    held = bias is None or float(bias.abs().max()) * arithmetic.gain * (1 << ALIGN) <= BIAS_MAX
    return held and np.ceil(bound) * 2.0**arithmetic.registers.exponent < (1 << 17) - 1


def integer_layer(x: Tensor, weight: Tensor, neuron: FusedLIFNode, arithmetic: IntegerArithmetic, bias: Tensor | None = None) -> Tensor:
    """Return the spikes (T, N, outputs) of the integer layer.

    Args:
        x: static integers (N, inputs) for a neuron with `repeat`, otherwise spikes (T, N, inputs).
        weight: float weights (outputs, inputs), quantised here.
        bias: float biases (outputs,), rounded here to what the chip's registers hold.
    """
    inputs = x if neuron.repeat is None else x.unsqueeze(0)
    return cast(Tensor, _IntegerLayer.apply(inputs, weight, neuron, arithmetic, neuron.repeat or inputs.shape[0], bias))


class _IntegerLayer(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, x: Tensor, weight: Tensor, neuron: FusedLIFNode, arithmetic: IntegerArithmetic, steps: int, bias: Tensor | None
    ) -> Tensor:
        registers = arithmetic.registers
        integers = integer_weights(weight, registers)
        total = exact_product(x, integers, arithmetic.levels)
        spikes = torch.empty((steps, *total.shape[1:]), dtype=x.dtype)
        charged = torch.empty_like(spikes)
        keep = (DECAY_ONE - registers.dv) / DECAY_ONE
        numbers = 2.0**registers.exponent, keep, float(registers.vth << 6)
        added = _added(bias, arithmetic, spikes)
        work = (flat(total), *numbers, added, bias is not None, neuron.v_reset is None, flat(spikes), flat(charged))
        threads.run(kernels.integer_lif_forward, spikes.numel(), *work)
        ctx.save_for_backward(charged, x, integers)
        ctx.neuron, ctx.arithmetic, ctx.rows = neuron, arithmetic, x.shape[0]
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, Tensor, None, None, None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        charged, x, integers = ctx.saved_tensors
        neuron, arithmetic = ctx.neuron, ctx.arithmetic
        registers, threshold = arithmetic.registers, float(arithmetic.registers.vth << 6)
        gain = 1.0 / neuron.tau if neuron.decay_input else 1.0
        keep = (DECAY_ONE - registers.dv) / DECAY_ONE
        alpha = float(neuron.surrogate_function.alpha)
        unit, reset = threshold / neuron.v_threshold, None if neuron.v_reset is None else 0.0
        shape = LIFShape(threshold, unit, alpha, gain, keep, reset, True, strict=True)
        grad_real, _ = backward_through_time(charged, grad_spikes, None, ctx.rows, shape)
        flat_grad = grad_real.flatten(0, -2)
        grad_weight = flat_grad.T @ (x.flatten(0, -2) * arithmetic.input_scale)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (flat_grad @ (integers * (arithmetic.input_scale / registers.step))).view_as(x)
        return grad_x, grad_weight, None, None, None, flat_grad.sum(0) if ctx.needs_input_grad[5] else None


def _added(bias: Tensor | None, arithmetic: IntegerArithmetic, spikes: Tensor) -> NDArray[Any]:
    """Return what is added to each neuron's voltage in each step, (N * outputs,) integers; of layers without biases, one number."""
    if bias is None:
        return np.zeros(1, spikes.numpy().dtype)
    rounded = round_bias(bias.detach().numpy(), arithmetic.gain)
    return np.ascontiguousarray(np.broadcast_to(rounded, tuple(spikes.shape[1:]))).ravel().astype(spikes.numpy().dtype)


def exact_product(x: Tensor, integers: Tensor, levels: int) -> Tensor:
    """Return  x W_int^T  without rounding: in float32 where every partial sum stays below 2^24, else in float64."""
    absolute = float(integers.abs().sum(1).max()) * levels
    if x.dtype == torch.float32 and absolute >= EXACT_IN_FLOAT32:
        return torch.matmul(x.double(), integers.double().T)
    return torch.matmul(x, integers.T)
