"""What a value of the graph is, in terms of layers: the rates of one layer, or a sum that has not reached its ReLU yet.

Averages, gains and shifts of rates are linear, so they are folded into the layer that receives them:

    W (g mean(x) + c) + b  =  (W g) mean(x) + (W c + b)

W c is one number per channel inside a map. Where a convolution pads with zeros (it pads the normalised map) it differs at the edges, and
the bias is then one number per neuron, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from ...network.model import Convolution
from ._nodes import Float, Pads, padded_alike, refused
from .ann import Branch, Shape


@dataclass(frozen=True)
class Rates:
    """gain mean(x) + shift, with x the output of the layer `source`, of shape `shape`.

    `pool`: width of the windows averaged; `whole`: whether each map is averaged as well. `view`: the shape of a sample as
    the next node sees it. `gain`, `shift`: none, or arrays that broadcast to `averaged`. `ended`: whether a Softmax came.
    """

    source: int
    shape: Shape
    view: Shape
    pool: int = 1
    whole: bool = False
    gain: Float | None = None
    shift: Float | None = None
    ended: bool = False

    @property
    def averaged(self) -> Shape:
        """The shape after the averages."""
        if len(self.shape) < 3:
            return self.shape
        return (self.shape[0], 1, 1) if self.whole else (self.shape[0], *(n // self.pool for n in self.shape[1:]))

    @property
    def plain(self) -> bool:
        """Whether these are the unchanged rates."""
        return self.pool == 1 and not self.whole and self.gain is None and self.shift is None

    def affine(self, gain: Float | float, shift: Float | float) -> Rates:
        """Return gain (this) + shift, with arrays that broadcast to `averaged`."""
        g, c = (1.0 if self.gain is None else self.gain), (0.0 if self.shift is None else self.shift)
        scaled, moved = np.asarray(g * gain, np.float64), np.asarray(c * gain + shift, np.float64)
        return replace(self, gain=None if (scaled == 1.0).all() else scaled, shift=moved if moved.any() else None)

    def _filled(self, values: Float | None, otherwise: float) -> Float:
        return np.broadcast_to(otherwise if values is None else values, self.averaged)

    def by_dense(self, weights: Float) -> tuple[Branch, Float]:
        """Return the branch and the bias of weights (targets, features)."""
        bias = weights @ self._filled(self.shift, 0.0).ravel()
        scaled = weights * self._filled(self.gain, 1.0).ravel()
        if self.whole:
            area = (self.shape[1] // self.pool) * (self.shape[2] // self.pool)
            return Branch(self.source, np.repeat(scaled / area, area, axis=1), self.shape, pool=self.pool), bias
        return Branch(self.source, scaled, self.shape, pool=self.pool), bias

    def by_kernel(self, node: onnx.NodeProto, kernel: Float, stride: int, pads: Pads) -> tuple[Branch, Float]:
        """Return the branch and the bias, (channels,) or (targets,), of a convolution."""
        gain = self._filled(self.gain, 1.0)
        if self.whole or (gain != gain[:, :1, :1]).any():
            raise refused(node, f"it follows {self._uneven}", "Put a fully connected layer or a ReLU before it")
        even, padding = padded_alike(node, kernel, pads)
        scaled = even * gain[:, 0, 0][:, None, None]
        branch = Branch(self.source, scaled, self.shape, stride, padding, self.pool)
        return branch, self._bias(even, stride, padding)

    @property
    def _uneven(self) -> str:
        return "an average over maps that are not square" if self.whole else "a factor that differs within a channel"

    def _bias(self, kernel: Float, stride: int, padding: int) -> Float:
        if self.shift is None:
            return np.zeros(len(kernel))
        shift = self._filled(self.shift, 0.0)
        if not padding and (shift == shift[:, :1, :1]).all():
            return np.einsum("ochw,c->o", kernel, shift[:, 0, 0])
        maps = self.averaged[0], self.averaged[1], self.averaged[2]
        return Convolution.from_dense(kernel, maps, stride=stride, padding=padding).operator(np.float64) @ shift.ravel()

    def alone(self, node: onnx.NodeProto) -> Sum:
        """Return these rates as a sum of one branch, one-to-one."""
        gain, shift = self._filled(self.gain, 1.0), self._filled(self.shift, 0.0)
        if len(self.shape) == 1:
            return Sum((Branch(self.source, gain.copy(), self.shape),), shift.copy(), self.shape, self.view)
        if self.whole or (gain != gain[:, :1, :1]).any():
            raise refused(node, f"it follows {self._uneven}", "Put a fully connected layer before it")
        branch = Branch(self.source, gain[:, 0, 0].copy(), self.shape, pool=self.pool)
        return Sum((branch,), by_channel(shift), self.averaged, self.view)


@dataclass(frozen=True)
class Sum:
    """The sum over `branches` + bias, before its ReLU.

    `bias`: (channels,) or (targets,); `target`: its shape; `view`: as the next node sees it.
    `name`: the node whose weights made it, None for shortcuts alone; `label`: for those, the node that added them. `ended`: whether a
    Softmax came.
    """

    branches: tuple[Branch, ...]
    bias: Float
    target: Shape
    view: Shape
    name: str | None = None
    label: str | None = None
    ended: bool = False

    @property
    def size(self) -> int:
        """The number of values."""
        return int(np.prod(self.target, dtype=object))

    @property
    def full_bias(self) -> Float:
        """The bias of every neuron, (targets,)."""
        return np.repeat(self.bias, self.size // len(self.bias))

    @property
    def never_negative(self) -> bool:
        """Whether it sums rates with non-negative weights and biases, so that a ReLU changes nothing."""
        return bool((self.bias >= 0.0).all() and all((b.weights >= 0.0).all() for b in self.branches))

    def affine(self, gain: NDArray[np.float64], shift: Float) -> Sum:
        """Return gain (this) + shift: one gain per channel, (channels,), and one shift per neuron or channel."""
        branches = tuple(replace(b, weights=b.weights * gain.reshape(-1, *[1] * (b.weights.ndim - 1))) for b in self.branches)
        if len(self.bias) == len(gain) == len(shift):
            return replace(self, branches=branches, bias=self.bias * gain + shift)
        each = self.size // len(gain)
        bias = self.full_bias * np.repeat(gain, each) + np.repeat(shift, self.size // len(shift))
        return replace(self, branches=branches, bias=by_channel(bias.reshape(self.target)))

    def added(self, other: Sum) -> Sum:
        """Return the sum of both, which have the same target."""
        alike = len(self.bias) == len(other.bias)
        bias = self.bias + other.bias if alike else by_channel((self.full_bias + other.full_bias).reshape(self.target))
        return replace(self, branches=(*self.branches, *other.branches), bias=bias)


def by_channel(values: Float) -> Float:
    """Return one value per channel of (channels, ...), or all values where they differ within a channel."""
    rows = values.reshape(len(values), -1)
    return rows[:, 0].copy() if (rows == rows[:, :1]).all() else values.ravel().copy()
