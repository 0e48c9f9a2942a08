"""Samples with their mean taken off, in units of their standard deviation, inside the network:  x <- (x - mean) / std  per channel.

On the chip there is no such step. For export it is folded into the first layer's weights and biases (`folded`), in float64, rounded once.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from ..errors import UsageError
from .connections import Connection, Shape

__all__ = ["Standardise"]


class Standardise(nn.Module):
    """x <- (x - mean) / std,  per channel of the samples.

    Args:
        mean, std: one number each for all channels, or one per channel, in the units of the samples, 0..1; empty: 0 and 1.
        samples: the shape of a sample, or of a frame: (C, H, W); (H, W), one channel; or (N,), each number a channel.
        shape: that shape as the network receives it, perhaps flat.

    Raises:
        UsageError: another number of values, or values that are not finite, or a std that is not above 0.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], samples: Shape, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("mean", _spread("mean", mean or (0.0,), samples, shape))
        self.register_buffer("std", _spread("std", std or (1.0,), samples, shape))
        if not bool((self.std > 0).all()):
            raise UsageError(f"net.std is {_text(std)}; each of its numbers must be above 0.")

    mean: Tensor
    std: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return samples (..., *shape), standardised."""
        return (x - self.mean) / self.std

    def folded(self, connection: Connection) -> tuple[Tensor, Tensor]:
        """Return what replaces a connection from the input, W, so that it takes the samples as they are: weight and bias, in float64.

            W ((x - mean) / std)  =  (W / std) x - W (mean / std)

        A convolution pads the standardised maps with zeros, so that at the border fewer taps meet the mean: with padding the bias is one
        number per neuron (C, H, W), otherwise one per channel (C,).
        """
        assert connection.op is not None
        weight = connection.op.weight.detach().double()
        mean, std = self.mean.double(), self.std.double()
        ratio = mean / std
        if isinstance(connection.op, nn.Linear):
            ratio, std = _by_input(connection, ratio, std)
            return weight / std, -(weight @ ratio)
        per_channel = [t.broadcast_to(connection.source_shape)[:, :1, :1] for t in (ratio, std)]
        thin = weight / per_channel[1]
        if not int(connection.op.padding[0]):
            return thin, -(weight * per_channel[0]).sum((1, 2, 3))
        maps = per_channel[0].expand(connection.pooled_shape)
        return thin, -conv2d(maps[None], weight, stride=connection.op.stride, padding=connection.op.padding)[0]

    def taken_up(self, connection: Connection) -> tuple[Tensor, Tensor]:
        """Return `folded` of a linear connection, rounded to float32 as the exported file has it, with gradients to the weight."""
        assert isinstance(connection.op, nn.Linear)
        weight, bias = (t.float().to(connection.op.weight.dtype) for t in self.folded(connection))
        std, ratio = _by_input(connection, self.std, self.mean / self.std)
        return cast("tuple[Tensor, Tensor]", _TakenUp.apply(connection.op.weight, weight, bias, std, ratio))


def _by_input(connection: Connection, *numbers: Tensor) -> list[Tensor]:
    """Return numbers per channel as one for each input of a linear connection: (inputs,) each."""
    return [t.broadcast_to(connection.pooled_shape).flatten() for t in numbers]


class _TakenUp(torch.autograd.Function):
    """The values of weight and bias, with the gradients of  W / std  and  -W ratio  to W."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, weight: Tensor, bias: Tensor, std: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(std, ratio)
        return weight.clone(), bias.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_weight: Tensor, grad_bias: Tensor) -> tuple[Tensor, None, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        std, ratio = ctx.saved_tensors
        return grad_weight / std - grad_bias[:, None] * ratio, None, None, None, None


def _spread(name: str, values: tuple[float, ...], samples: Shape, shape: Shape) -> Tensor:
    """Return the values in a shape that broadcasts to `shape`."""
    channels = samples[0] if len(samples) != 2 else 1
    if len(values) not in (1, channels):
        what = f"one for each of the {channels} channels of samples of shape {samples}" if channels > 1 else "one"
        raise UsageError(f"net.{name} has {len(values)} numbers, {_text(values)}. Give {what}{', or one for all' if channels > 1 else ''}.")
    if not all(math.isfinite(value) for value in values):
        raise UsageError(f"net.{name} is {_text(values)}; its numbers must be finite.")
    made = torch.tensor(values, dtype=torch.float32)
    if len(values) == 1:
        return made.view([1] * len(shape))
    made = made.view(-1, *[1] * (len(samples) - 1))
    return made.clone() if len(shape) == len(samples) else made.expand(samples).reshape(shape).clone()


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
