"""A layer's integer weights as projections of the chip: exponents, parts, and convolutions that are not the same along both axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.fixed_point import largest_weight
from ...network.model import Connectivity, Convolution, Projection, Synapses, row_pointers

BITS = 8
LARGEST = largest_weight(BITS)
LOWEST_WEIGHT, HIGHEST_WEIGHT = -256, 255  # of Loihi's synapses
MAX_SYNAPSES = 1 << 27  # of weights written out, or of a convolution unrolled
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Geometry:
    """How a convolution slides: (along rows, along columns) each."""

    source: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def positions(self, kernel: tuple[int, int]) -> tuple[int, int]:
        """Return the rows and columns of the outputs of a kernel (height, width)."""
        sizes = zip(self.source[1:], kernel, self.stride, self.padding, strict=True)
        rows, columns = ((n + 2 * p - k) // s + 1 for n, k, s, p in sizes)
        return rows, columns

    def connectivity(self, weights: Int) -> Connectivity:
        """Return the taps (channels out, channels in, height, width), unrolled to synapses if rows and columns slide differently."""
        if self.stride[0] == self.stride[1] and self.padding[0] == self.padding[1]:
            return Convolution.from_dense(weights.astype(np.int32), self.source, stride=self.stride[0], padding=self.padding[0])
        return _unrolled(weights, self)


def _unrolled(weights: Int, geometry: Geometry) -> Synapses:
    kernel = weights.shape[2], weights.shape[3]
    (rows, columns), (_, height, width) = geometry.positions(kernel), geometry.source
    targets, sources, data = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for ky, kx in np.ndindex(kernel):
        y, i = _inside(rows, ky, geometry.stride[0], geometry.padding[0], height)
        x, j = _inside(columns, kx, geometry.stride[1], geometry.padding[1], width)
        out, channel = np.nonzero(weights[:, :, ky, kx])
        places, inputs = (y[:, None] * columns + x).ravel(), (i[:, None] * width + j).ravel()
        targets.append((out[:, None] * (rows * columns) + places).ravel())
        sources.append((channel[:, None] * (height * width) + inputs).ravel())
        data.append(np.repeat(weights[out, channel, ky, kx].astype(np.int32), places.size))
    target, source = np.concatenate(targets), np.concatenate(sources)
    shape = (len(weights) * rows * columns, geometry.source[0] * height * width)
    order = np.argsort(target * shape[1] + source)
    return Synapses(row_pointers(target, shape[0]), source[order].astype(np.int32), np.concatenate(data)[order], shape)


def _inside(outputs: int, tap: int, stride: int, padding: int, size: int) -> tuple[Int, Int]:
    """Return the output positions whose tap lies inside the map, and where it falls."""
    places = np.arange(outputs) * stride + tap - padding
    inside = (places >= 0) & (places < size)
    return np.flatnonzero(inside), places[inside]


def spread(weights: Int, groups: int, dilation: tuple[int, int]) -> Int:
    """Return the kernel (channels out, channels in of a group, height, width) of all channels, with the gaps of a dilation as zeros."""
    out, inside, height, width = weights.shape
    size = (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1
    whole = np.zeros((out, inside * groups, *size), np.int64)
    for g in range(groups):
        mine = slice(g * out // groups, (g + 1) * out // groups)
        whole[mine, g * inside : (g + 1) * inside, :: dilation[0], :: dilation[1]] = weights[mine]
    return whole


def parts(weights: Int) -> list[tuple[Int, int]]:
    """Return integers as 8-bit weights with exponents, whose sum  sum_k W_k << e_k  they are exactly.

    Weights of up to 127 keep the exponent 0. SLAYER's 9-bit weights of mixed signs are even and get an exponent of 1; others become two
    parts: all but the last bit, and the rest.
    """
    largest = int(np.abs(weights).max(initial=0))
    exponent = 0
    while largest >> exponent > LARGEST and not (weights & ((2 << exponent) - 1)).any():
        exponent += 1
    held = weights >> exponent
    if largest >> exponent <= LARGEST:
        return [(held, exponent)]
    coarse = np.clip(np.trunc(held / 2).astype(np.int64), -LARGEST, LARGEST)
    return [(coarse, exponent + 1), (held - 2 * coarse, exponent)]


def projections(name: str, ends: tuple[str, str], weights: Int, geometry: Geometry | None, lags: Int | None = None) -> list[Projection]:
    """Return the projections of a layer.

    Args:
        ends: source and target.
        weights: (targets, sources), or with a `geometry` (channels out, channels in, height, width).
        lags: (targets, sources) delay of each synapse in steps; None: no delays.
    """
    made: list[Projection] = []
    for lag in [0] if lags is None else np.unique(lags[weights != 0]).tolist() or [0]:
        chosen = weights if lags is None else np.where(lags == lag, weights, 0)
        for data, exponent in parts(chosen):
            synapses: Any = Synapses.from_dense(data) if geometry is None else geometry.connectivity(data)
            label = name if not made else f"{name}.{len(made)}"
            made.append(Projection(label, *ends, synapses, exponent, BITS, lag=int(lag)))
    return made
