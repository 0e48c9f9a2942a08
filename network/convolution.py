"""A convolution stored as its surviving taps, each of which represents a synapse at many positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import FormatError
from .synapses import Synapses, row_pointers

__all__ = ["Connectivity", "Convolution", "TapOperator"]

Slices = tuple[slice, slice, slice, slice]  # rows of the output and of the windows, columns of the output and of the windows


def _slice(numbers: NDArray[np.int64]) -> slice:
    """Return evenly spaced ascending numbers as a slice."""
    return slice(int(numbers[0]), int(numbers[-1]) + 1, int(numbers[1] - numbers[0]) if numbers.size > 1 else 1)


@dataclass(frozen=True)
class Convolution:
    """A two-dimensional cross-correlation with zero padding over summed windows, kept as its surviving taps.

        b[c, i, j] = sum of s over the pool x pool window (i, j) of channel c     (windows that do not fit are left out)
        a[o, y, x] = sum over taps  w[o, c, ky, kx] b[c, y stride + ky - padding, x stride + kx - padding]

    A tap represents one synapse at every output position whose window lies inside the map, times pool^2. An average over windows is a
    sum with taps divided by pool^2; a fully connected layer on pooled maps is a kernel of the size of the map.

    Args:
        taps: (channels out, channels in * height * width of the kernel), the column being (c * height + ky) * width + kx.
        source_shape: (channels in, rows, columns) of the source population.
        kernel: (height, width).
        stride, padding, pool: the same along rows and columns.

    Raises:
        FormatError: sizes that do not agree or leave no output.
    """

    taps: Synapses
    source_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    pool: int = 1

    def __post_init__(self) -> None:
        channels, height, width = self.source_shape
        whole = min(channels, height, width, *self.kernel, self.stride, self.pool) >= 1 and self.padding >= 0
        if not whole or self.taps.shape[1] != channels * self.kernel[0] * self.kernel[1] or min(self.target_shape) < 1:
            raise FormatError(
                f"A convolution of a kernel {self.kernel} (stride {self.stride}, padding {self.padding}, pool {self.pool}) with taps of "
                f"shape {self.taps.shape} does not fit a source of shape {self.source_shape}."
            )

    @classmethod
    def from_dense(
        cls, weights: NDArray[Any], source_shape: tuple[int, int, int], *, stride: int = 1, padding: int = 0, pool: int = 1
    ) -> Convolution:
        """Keep the non-zero taps of weights (channels out, channels in, kernel height, kernel width)."""
        taps = Synapses.from_dense(weights.reshape(len(weights), -1))
        return cls(taps, source_shape, (weights.shape[2], weights.shape[3]), stride, padding, pool)

    def to_dense(self) -> NDArray[Any]:
        """Return the weights (channels out, channels in, kernel height, kernel width) with zeros filled in."""
        return self.taps.to_dense().reshape(self.taps.shape[0], self.source_shape[0], *self.kernel)

    @property
    def pooled_shape(self) -> tuple[int, int]:
        """Rows and columns of the summed windows."""
        return self.source_shape[1] // self.pool, self.source_shape[2] // self.pool

    @property
    def target_shape(self) -> tuple[int, int, int]:
        """(channels out, rows, columns) of the target population."""
        sizes = zip(self.pooled_shape, self.kernel, strict=True)
        rows, columns = ((n + 2 * self.padding - k) // self.stride + 1 for n, k in sizes)
        return self.taps.shape[0], rows, columns

    @property
    def shape(self) -> tuple[int, int]:
        """(targets, sources)."""
        return int(np.prod(self.target_shape)), int(np.prod(self.source_shape))

    @property
    def data(self) -> NDArray[Any]:
        """The taps' weights."""
        return self.taps.data

    @property
    def weights(self) -> int:
        """The number of surviving taps."""
        return self.taps.count

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Synapses that one tap at (ky, kx) represents, (kernel height, kernel width)."""
        return np.outer(self._along(0), self._along(1)).astype(np.int64) * self.pool**2

    def _along(self, axis: int) -> NDArray[np.int64]:
        """Along an axis, the number of output positions with each tap of the kernel inside the map; memory does not grow with the map."""
        shift = self.padding - np.arange(self.kernel[axis])  # output y reads window y * stride - shift
        first = np.maximum(-(-shift // self.stride), 0)
        last = np.minimum((self.pooled_shape[axis] - 1 + shift) // self.stride, self.target_shape[1 + axis] - 1)
        return np.maximum(last - first + 1, 0)

    @property
    def count(self) -> int:
        """The number of synapses when unrolled."""
        return int(self.positions.ravel()[self._place_of].sum())

    @property
    def possible(self) -> int:
        """The number of synapses if every tap had survived."""
        return int(self.positions.sum()) * self.taps.shape[0] * self.source_shape[0]

    @cached_property
    def _place_of(self) -> NDArray[np.int32]:
        """The position of each tap in the kernel."""
        return self.taps.indices % (self.kernel[0] * self.kernel[1])

    @cached_property
    def _channel_of(self) -> NDArray[np.int32]:
        """The channel that each tap reads."""
        return self.taps.indices // (self.kernel[0] * self.kernel[1])

    def windows(self, sources: NDArray[Any]) -> NDArray[Any]:
        """Return the sums of the pooling windows, (channels, rows, columns, samples), of sources (sources, samples)."""
        maps = sources.reshape(*self.source_shape, -1)
        if self.pool == 1:
            return maps
        rows, columns = self.pooled_shape
        tiles = maps[:, : rows * self.pool, : columns * self.pool].reshape(maps.shape[0], rows, self.pool, columns, self.pool, -1)
        return tiles.sum(axis=(2, 4), dtype=maps.dtype)

    def _places(self) -> Iterator[tuple[int, Slices]]:
        """Yield the kernel positions that hold taps, with the output positions and windows for which they lie inside the map."""
        for place in np.unique(self._place_of).tolist():
            (y, i), (x, j) = self._valid(0, place // self.kernel[1]), self._valid(1, place % self.kernel[1])
            if y.size and x.size:
                yield place, (_slice(y), _slice(i), _slice(x), _slice(j))

    def _by_place(self, values: NDArray[Any]) -> list[tuple[Slices, sp.csr_matrix]]:
        """Return, for each kernel position, its positions and the matrix (channels out, channels in) of `values`, one per tap."""
        shape = (self.taps.shape[0], self.source_shape[0])
        rows = self.taps.rows
        parts: list[tuple[Slices, sp.csr_matrix]] = []
        for place, slices in self._places():
            chosen = np.flatnonzero(self._place_of == place)
            parts.append((slices, sp.csr_matrix((values[chosen], (rows[chosen], self._channel_of[chosen])), shape=shape)))
        return parts

    def _valid(self, axis: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Along an axis, the output positions whose tap k lies inside the map, and the windows on which it falls."""
        outputs = np.arange(self.target_shape[1 + axis])
        windows = outputs * self.stride + k - self.padding
        inside = (windows >= 0) & (windows < self.pooled_shape[axis])
        return outputs[inside], windows[inside]

    def with_data(self, data: NDArray[Any]) -> Convolution:
        """Return the same taps with other weights."""
        return replace(self, taps=self.taps.with_data(data))

    def select(self, keep: NDArray[np.bool_]) -> Convolution:
        """Return the taps where `keep` (one entry per tap) is true."""
        return replace(self, taps=self.taps.select(keep))

    def operator(self, dtype: type = np.int64) -> TapOperator:
        """Return an operator whose `@` maps (sources, samples) spikes to (targets, samples) sums, tap by tap."""
        return TapOperator(self, self._by_place(self.data.astype(dtype)))

    def forward(self, values: NDArray[Any], sources: NDArray[Any]) -> NDArray[np.float64]:
        """Return, per target, the sum over its synapses of  value * source;  `values`: one per tap, `sources`: one per source."""
        operator = TapOperator(self, self._by_place(values))
        if not _uniform(sources):
            return (operator @ sources.astype(np.float64)[:, None])[:, 0]
        out, window = np.zeros(self.target_shape), np.full(self.source_shape[0], float(sources[0]) * self.pool**2)
        for (y, _, x, _), taps in operator.by_place:
            out[:, y, x] += np.asarray(taps @ window).reshape(-1, 1, 1)
        return out.ravel()

    def backward(self, values: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        """Return, per source, the sum over its synapses of  value * target;  `values`: one per tap, `targets`: one per target."""
        maps = targets.astype(np.float64).reshape(self.target_shape)
        windows = np.zeros((self.source_shape[0], *self.pooled_shape))
        uniform = _uniform(targets)
        for (y, i, x, j), taps in self._by_place(values):
            part = maps[:, :1, :1] if uniform else maps[:, y, x]
            windows[:, i, j] += (taps.T @ part.reshape(len(part), -1)).reshape(-1, *part.shape[1:])
        spread = np.zeros(self.source_shape)
        rows, columns = (n * self.pool for n in self.pooled_shape)
        spread[:, :rows, :columns] = windows.repeat(self.pool, axis=1).repeat(self.pool, axis=2)
        return spread.ravel()

    def used(self, sources: NDArray[np.bool_], targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which taps connect a live source to a live target at any position."""
        windows, maps = self.windows(sources.astype(np.float32)[:, None])[..., 0], targets.reshape(self.target_shape)
        used, rows = np.zeros(self.taps.count, np.bool_), self.taps.rows
        for place, (y, i, x, j) in self._places():
            chosen = np.flatnonzero(self._place_of == place)
            ends, starts = maps[:, y, x], windows[:, i, j]
            both = ends.reshape(len(ends), -1).astype(np.float32) @ starts.reshape(len(starts), -1).T > 0
            used[chosen] = both[rows[chosen], self._channel_of[chosen]]
        return used

    def restricted(self, sources: NDArray[np.bool_], targets: NDArray[np.bool_]) -> Convolution:
        """Return the convolution restricted to the marked channels, renumbered; one flag per channel."""
        area = self.kernel[0] * self.kernel[1]
        taps = self.taps.restricted(sources.repeat(area), targets)
        return replace(self, taps=taps, source_shape=(int(sources.sum()), *self.source_shape[1:]))

    def unrolled(self) -> Synapses:
        """Return a sparse matrix with an entry for every synapse; memory grows with `count`."""
        none = np.zeros(0, np.int64)
        rows, columns, data = zip((none, none, self.taps.data[:0]), *self._unrolled_taps(), strict=True)
        row, column, values = np.concatenate(rows), np.concatenate(columns), np.concatenate(data)
        order = np.argsort(row * self.shape[1] + column)
        return Synapses(row_pointers(row, self.shape[0]), column[order].astype(np.int32), values[order], self.shape)

    def _unrolled_taps(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]]:
        """Yield (targets, sources, weights) of all synapses that the taps at each kernel position represent."""
        area = self.kernel[0] * self.kernel[1]
        _, rows_out, columns_out = self.target_shape
        _, height, width = self.source_shape
        channel, place = self._channel_of.astype(np.int64), self._place_of
        taps = self.taps.rows
        for k in range(area):
            chosen = np.flatnonzero(place == k)
            if not chosen.size:
                continue
            (y, i), (x, j) = self._valid(0, k // self.kernel[1]), self._valid(1, k % self.kernel[1])
            inside = np.arange(self.pool)
            i, j = (i[:, None] * self.pool + inside), (j[:, None] * self.pool + inside)  # rows and columns of the windows
            target = np.broadcast_to((y[:, None] * columns_out + x)[:, :, None, None], (len(y), len(x), self.pool, self.pool)).ravel()
            source = (i[:, None, :, None] * width + j[None, :, None, :]).ravel()
            yield (
                (taps[chosen][:, None] * (rows_out * columns_out) + target).ravel(),
                (channel[chosen][:, None] * (height * width) + source).ravel(),
                np.repeat(self.taps.data[chosen], target.size),
            )


def _uniform(values: NDArray[Any]) -> bool:
    """Return whether all values are equal: all positions of a map then have the same sum, which is computed once."""
    return bool(values.size) and bool((values == values[0]).all())


@dataclass(frozen=True)
class TapOperator:
    """A convolution as a matrix (targets, sources): `operator @ x`, one kernel position at a time."""

    convolution: Convolution
    by_place: list[tuple[Slices, sp.csr_matrix]]

    def __matmul__(self, sources: NDArray[Any]) -> NDArray[Any]:
        """Return (targets, samples) sums of (sources, samples), in the common type of weights and sources."""
        windows = self.convolution.windows(sources)
        samples = windows.shape[-1]
        kind = np.result_type(windows.dtype, *(taps.dtype for _, taps in self.by_place))
        out = np.zeros((*self.convolution.target_shape, samples), kind)
        for (y, i, x, j), taps in self.by_place:
            part = windows[:, i, j]
            out[:, y, x] += (taps @ part.reshape(len(part), -1)).reshape(-1, *part.shape[1:])
        return out.reshape(-1, samples)


Connectivity = Synapses | Convolution
