"""A feed-forward ANN as layers of sums with ReLUs between, and its activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.model import Connectivity, Convolution, Synapses

Float = NDArray[np.float64]
Shape = tuple[int, ...]
INPUT = -1  # the source of a branch: the samples


@dataclass(frozen=True)
class Branch:
    """W mean(x): a layer's input from one other layer.

    `source`: the number of a layer, or INPUT. `weights`: (targets, sources), or (channels out, channels in, height, width), or (channels,)
    for a shortcut, which is one-to-one. `shape`: of the source. `pool`: width of the windows averaged beforehand.
    """

    source: int
    weights: Float
    shape: Shape
    stride: int = 1
    padding: int = 0
    pool: int = 1

    def connectivity(self, scale: float) -> Connectivity:
        """Return the weights times `scale`; an average is written as a sum."""
        weights = (self.weights * (scale / self.pool**2)).astype(np.float32)
        if weights.ndim == 1:
            return self._diagonal(weights)
        if weights.ndim == 2 and self.pool == 1:
            return Synapses.from_dense(weights)
        maps = self.shape[0], self.shape[1], self.shape[2]
        if weights.ndim == 2:  # on pooled maps: a kernel that covers them
            weights = weights.reshape(len(weights), maps[0], maps[1] // self.pool, maps[2] // self.pool)
        return Convolution.from_dense(weights, maps, stride=self.stride, padding=self.padding, pool=self.pool)

    def _diagonal(self, weights: NDArray[np.float32]) -> Connectivity:
        if len(self.shape) == 3:
            maps = self.shape[0], self.shape[1], self.shape[2]
            return Convolution.from_dense(np.diag(weights)[:, :, None, None], maps, pool=self.pool)
        count = weights.size
        return Synapses(np.arange(count + 1, dtype=np.int64), np.arange(count, dtype=np.int32), weights, (count, count))


@dataclass(frozen=True)
class Layer:
    """y = min(relu(sum over branches W mean(x) + b), ceiling); the last layer has no ReLU.

    `bias`: (channels out,), or (targets,) where it differs within a channel; `target`: the shape. `ceiling`: 6 for a ReLU6, inf for a ReLU.
    """

    name: str
    branches: tuple[Branch, ...]
    bias: Float
    target: Shape
    relu: bool = False
    ceiling: float = np.inf

    @property
    def size(self) -> int:
        """The number of neurons."""
        return int(np.prod(self.target))


@dataclass(frozen=True)
class Ann:
    """The layers, in topological order, the output last; and what onnxruntime needs.

    `shape`: of a sample in the file; `batch`: the file's batch size, 0 for any; `content`: the file, with its weights; `entry` and
    `exit`: its input and output.
    """

    layers: tuple[Layer, ...]
    shape: Shape
    batch: int
    content: bytes
    entry: str
    exit: str

    @property
    def maps(self) -> Shape:
        """The shape of a sample at the first layer."""
        return next(b.shape for layer in self.layers for b in layer.branches if b.source == INPUT)

    def activations(self, samples: NDArray[np.floating[Any]]) -> list[Float]:
        """Return the outputs of every layer, (samples, neurons) each, for real-valued samples (samples, inputs)."""
        found: list[Float] = []
        entry = np.asarray(samples, np.float64).T
        for layer in self.layers:
            y = np.repeat(layer.bias, layer.size // len(layer.bias))[:, None] + np.zeros((1, entry.shape[1]))
            for branch in layer.branches:
                y += branch.connectivity(1.0).operator(np.float64) @ (entry if branch.source == INPUT else found[branch.source])
            found.append(np.clip(y, 0.0, layer.ceiling) if layer.relu else y)
        return [x.T for x in found]
