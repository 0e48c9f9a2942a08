"""Sums of synapses on torch tensors: each projection as a matrix product in a format that is exact for it, or by SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...network.model import Convolution, Network, Projection, Synapses
from ..native.exact import FORMATS, INT64, Bounds, Shape, bounds, choose, whole

__all__ = ["Arriving", "arriving", "places"]

MOST_WEIGHTS = 1 << 28  # of a projection, zeros included
MOST_UNFOLDED = 1 << 27  # elements of an unfolded convolution at once
INT32 = 1 << 31


@dataclass(frozen=True)
class _Product:
    """(n, sources) integers times a matrix, in a format that is exact for it.

    `weights`: (sources, targets), or for int8 (targets, sources) padded to sizes that every device accepts.
    """

    format: str
    weights: Tensor
    targets: int
    wide: bool  # sums need more than 32 bits

    def __call__(self, x: Tensor) -> Tensor:
        if self.format == "int8":
            n, sources = x.shape
            x = x.view(torch.int8) if x.dtype is torch.bool else x.to(torch.int8)
            x = torch.nn.functional.pad(x, (0, self.weights.shape[1] - sources, 0, max(32, _eight(n)) - n))
            sums = torch._int_mm(x, self.weights.t())  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
            return sums[:n, : self.targets]
        return (x.to(self.weights.dtype) @ self.weights).to(torch.int64 if self.wide else torch.int32)


def _eight(n: int) -> int:
    return -(-n // 8) * 8


def _product(name: str, indices: tuple[NDArray[Any], NDArray[Any]], data: NDArray[Any], shape: tuple[int, int], limits: Bounds) -> _Product:
    """Lay out weights that lie at (sources, targets) `indices` of a matrix of this shape."""
    dtype: torch.dtype = getattr(torch, name)
    rows, columns = (torch.from_numpy(np.ascontiguousarray(i, np.int64)) for i in indices)
    values = torch.from_numpy(data.astype(np.int64))
    if name == "int8":
        weights = torch.zeros((_eight(shape[1]), 2 * _eight(-(-shape[0] // 2))), dtype=dtype)
        weights[columns, rows] = values.to(dtype)
    else:
        weights = torch.zeros(shape, dtype=dtype)
        weights[rows, columns] = values.to(dtype)
    return _Product(name, weights, shape[1], limits.total is None or limits.total >= INT32)


@dataclass(frozen=True)
class _Taps:
    """A convolution, (n, rows * columns * channels) channels last: its unfolded windows times the matrix of its taps."""

    convolution: Convolution
    product: _Product

    def __call__(self, x: Tensor) -> Tensor:
        c = self.convolution
        channels, height, width = c.source_shape
        rows, columns = c.target_shape[1:]
        each = rows * columns * c.taps.shape[1]
        parts = x.view(-1, height, width, channels).split(max(MOST_UNFOLDED // each, 1))
        return torch.cat([self._convolve(part).view(len(part), -1) for part in parts])

    def _convolve(self, x: Tensor) -> Tensor:
        c = self.convolution
        if c.pool > 1:
            rows, columns = c.pooled_shape
            tiles = x[:, : rows * c.pool, : columns * c.pool].reshape(len(x), rows, c.pool, columns, c.pool, -1)
            x = tiles.sum((2, 4), dtype=torch.int32)
        x = torch.nn.functional.pad(x.to(self.product.weights.dtype), (0, 0, c.padding, c.padding, c.padding, c.padding))
        windows = x.unfold(1, c.kernel[0], c.stride).unfold(2, c.kernel[1], c.stride)  # (n, rows, columns, channels, ky, kx)
        unfolded = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, c.taps.shape[1])
        return self.product(unfolded).reshape(len(x), -1)


@dataclass(frozen=True)
class _BySciPy:
    """The reference's own sums; places of the sources and targets channels last."""

    synapses: Synapses | Convolution
    source: NDArray[np.int64]
    target: NDArray[np.int64]

    def __call__(self, x: Tensor) -> Tensor:
        spikes = np.empty((self.synapses.shape[1], len(x)), np.int64)
        spikes[self.source] = x.cpu().numpy().T
        sums = np.asarray(self.synapses.operator() @ spikes, np.int64)[self.target].T
        return torch.from_numpy(np.ascontiguousarray(sums)).to(x.device)


Sums = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Arriving:
    """A projection, ready to be summed; `row` is its entry in a report."""

    source: str
    lag: int
    exponent: int
    sums: Sums
    limits: Bounds
    row: dict[str, Any]

    @property
    def shifted(self) -> float:
        """The largest magnitude of the sums after their shift, which rounds down."""
        return float("inf") if self.limits.total is None else np.ceil(self.limits.total * 2.0**self.exponent) + 1.0

    def currents(self, x: Tensor, kind: torch.dtype) -> Tensor:
        """Return  (W s) << exponent  of (n, sources) spikes, (n, targets)."""
        sums = self.sums(x)
        if self.exponent < 0:
            return (sums >> -self.exponent).to(kind)
        return sums.to(kind) << self.exponent


def places(shape: Shape) -> NDArray[np.int64]:
    """Return, place by place channels last, the neuron that lies there."""
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(1, 2, 0).ravel()


def _candidate(name: str, projection: Projection, limits: Bounds, source: Shape, target: Shape, device: torch.device) -> Sums:
    synapses = projection.synapses
    if isinstance(synapses, Convolution) and not whole(synapses):
        area = synapses.kernel[0] * synapses.kernel[1]
        channel, place = np.divmod(synapses.taps.indices.astype(np.int64), area)
        at = place * synapses.source_shape[0] + channel
        taps = synapses.taps
        product = _product(name, (at, taps.rows), taps.data, (area * synapses.source_shape[0], taps.shape[0]), limits)
        return _Taps(synapses, _on(product, device))
    matrix = synapses.unrolled()
    back = np.argsort(places(source)), np.argsort(places(target))
    indices = back[0][matrix.indices], back[1][matrix.rows]
    return _on(_product(name, indices, matrix.data, (matrix.shape[1], matrix.shape[0]), limits), device)


def _on(product: _Product, device: torch.device) -> _Product:
    return _Product(product.format, product.weights.to(device), product.targets, product.wide)


def arriving(network: Network, projection: Projection, shapes: dict[str, Shape], device: torch.device, order: tuple[str, ...]) -> Arriving:
    """Choose a projection's format: the first that is proven exact, and agrees with the reference on the device."""
    limits, synapses = bounds(network, projection), projection.synapses
    ends = shapes[projection.source], shapes[projection.target]
    proven = choose(limits, order)
    size = synapses.shape if whole(synapses) or isinstance(synapses, Synapses) else synapses.taps.shape
    if size[0] * size[1] > MOST_WEIGHTS:
        proven = []
    fallback = _BySciPy(synapses, places(ends[0]), places(ends[1]))
    trial = _trial(synapses.shape[1], network.payload_of(projection).largest).to(device)
    expected = fallback(trial)
    chosen, sums = INT64, fallback
    for name in proven:
        candidate = _candidate(name, projection, limits, *ends, device)
        if bool((candidate(trial) == expected).all()):
            chosen, sums = name, candidate
            break
    exact_to = FORMATS[chosen].total if chosen in FORMATS else None
    row = {"projection": projection.name, "format": chosen, "largest_sum": limits.total, "exact_to": exact_to}
    return Arriving(projection.source, projection.lag, projection.exponent, sums, limits, row)


def _trial(sources: int, most: int) -> Tensor:
    """Return test payloads (4, sources), each 0 or the largest: few, half, most and all of them non-zero."""
    drawn = np.random.default_rng(0).random((4, sources)) < np.array([[0.1], [0.5], [0.9], [1.1]])
    return torch.from_numpy((drawn * most).astype(np.uint8))
