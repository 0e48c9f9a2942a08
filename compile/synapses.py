"""The two forms of synapses: a sparse matrix, and a convolution kept as the taps that survived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import FormatError

__all__ = ["Connectivity", "Convolution", "Synapses", "row_pointers"]

IntArray = NDArray[np.int32]


def row_pointers(rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return the CSR row pointers (count + 1,) of entries that lie in `rows`, in row order."""
    pointers = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=pointers[1:])
    return pointers


@dataclass(frozen=True)
class Synapses:
    """A sparse matrix in CSR form, shape (targets, sources); a stored entry is a synapse that survived.

    `data` is float32 in a float network and int32 in an integer one.
    """

    indptr: NDArray[np.int64]
    indices: IntArray
    data: NDArray[Any]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        _check_csr(self)
        for array in (self.indptr, self.indices, self.data):
            array.setflags(write=False)

    @classmethod
    def from_dense(cls, weights: NDArray[Any]) -> Synapses:
        """Keep the non-zero entries of a (targets, sources) matrix."""
        dtype = np.int32 if np.issubdtype(weights.dtype, np.integer) else np.float32
        rows, columns = np.nonzero(weights)
        indptr = row_pointers(rows, weights.shape[0])
        return cls(indptr, columns.astype(np.int32), weights[rows, columns].astype(dtype), (weights.shape[0], weights.shape[1]))

    def to_dense(self) -> NDArray[Any]:
        """Return the (targets, sources) matrix with zeros filled in."""
        dense = np.zeros(self.shape, self.data.dtype)
        dense[self.rows, self.indices] = self.data
        return dense

    @property
    def rows(self) -> NDArray[np.int64]:
        """The target of each synapse, in the order of `indices` and `data`."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    @property
    def count(self) -> int:
        """The number of synapses, which is that of the weights."""
        return int(self.data.size)

    @property
    def weights(self) -> int:
        """The number of stored weights."""
        return self.count

    @property
    def fan_in(self) -> NDArray[np.int64]:
        """Synapses that arrive at each target."""
        return np.diff(self.indptr)

    @property
    def fan_out(self) -> NDArray[np.int64]:
        """Synapses that leave each source."""
        return np.bincount(self.indices, minlength=self.shape[1]).astype(np.int64)

    def select(self, keep: NDArray[np.bool_]) -> Synapses:
        """Return the synapses where `keep` (one entry a synapse) is true."""
        return Synapses(row_pointers(self.rows[keep], self.shape[0]), self.indices[keep], self.data[keep], self.shape)

    def with_data(self, data: NDArray[Any]) -> Synapses:
        """Return the same synapses with other weights."""
        return replace(self, data=data)

    def transposed(self) -> Synapses:
        """Return the matrix (sources, targets)."""
        order = np.argsort(self.indices, kind="stable")
        pointers = row_pointers(self.indices, self.shape[1])
        return Synapses(pointers, self.rows[order].astype(np.int32), self.data[order], (self.shape[1], self.shape[0]))

    def matrix(self, dtype: type = np.int64) -> sp.csr_matrix:
        """Return the synapses as a scipy CSR matrix (targets, sources)."""
        return sp.csr_matrix((self.data.astype(dtype), self.indices, self.indptr), shape=self.shape)

    def unrolled(self) -> Synapses:
        """Return the synapses one by one: themselves."""
        return self


def _check_csr(synapses: Synapses) -> None:
    rows, columns = synapses.shape
    indptr, indices = synapses.indptr, synapses.indices
    if indptr.shape != (rows + 1,) or indices.ndim != 1 or indices.shape != synapses.data.shape:
        raise FormatError(f"Synapses {synapses.shape}: the CSR arrays have shapes {indptr.shape}, {indices.shape}, {synapses.data.shape}.")
    if indptr[0] != 0 or indptr[-1] != indices.size or (np.diff(indptr) < 0).any():
        raise FormatError(f"Synapses {synapses.shape}: the row pointers do not rise from 0 to {indices.size}.")
    if indices.size and (indices.min() < 0 or indices.max() >= columns):
        raise FormatError(f"Synapses {synapses.shape}: a source index lies outside 0..{columns - 1}.")


@dataclass(frozen=True)
class Convolution:
    """A two-dimensional cross-correlation with zero padding over summed windows, kept as its surviving taps.

        b[c, i, j] = sum of s over the pool x pool window (i, j) of channel c     (windows that do not fit are left out)
        a[o, y, x] = sum over taps  w[o, c, ky, kx] b[c, y stride + ky - padding, x stride + kx - padding]

    A tap stands for one synapse at every output position whose window lies inside the map, times pool^2. An average over windows is a
    sum whose taps have been divided by pool^2; a fully connected layer on pooled maps is a kernel as large as the map.

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
        """Synapses that one tap at (ky, kx) stands for, (kernel height, kernel width)."""
        along = [np.array([len(self._valid(axis, k)[0]) for k in range(self.kernel[axis])]) for axis in (0, 1)]
        return np.outer(*along).astype(np.int64) * self.pool**2

    @property
    def count(self) -> int:
        """The number of synapses, were it unrolled."""
        area = self.kernel[0] * self.kernel[1]
        return int(self.positions.ravel()[self.taps.indices % area].sum())

    @property
    def possible(self) -> int:
        """The number of synapses, had every tap survived."""
        return int(self.positions.sum()) * self.taps.shape[0] * self.source_shape[0]

    def _valid(self, axis: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Along an axis, output positions whose tap k lies inside the map, and the window it falls on."""
        outputs = np.arange(self.target_shape[1 + axis])
        windows = outputs * self.stride + k - self.padding
        inside = (windows >= 0) & (windows < self.pooled_shape[axis])
        return outputs[inside], windows[inside]

    def with_data(self, data: NDArray[Any]) -> Convolution:
        """Return the same taps with other weights."""
        return replace(self, taps=self.taps.with_data(data))

    def select(self, keep: NDArray[np.bool_]) -> Convolution:
        """Return the taps where `keep` (one entry a tap) is true."""
        return replace(self, taps=self.taps.select(keep))

    def matrix(self, dtype: type = np.int64) -> sp.csr_matrix:
        """Return the unrolled synapses as a scipy CSR matrix (targets, sources)."""
        return self.unrolled().matrix(dtype)

    def unrolled(self) -> Synapses:
        """Return every synapse as an entry of a sparse matrix; memory grows with `count`."""
        none = np.zeros(0, np.int64)
        rows, columns, data = zip((none, none, self.taps.data[:0]), *self._unrolled_taps(), strict=True)
        row, column, values = np.concatenate(rows), np.concatenate(columns), np.concatenate(data)
        order = np.argsort(row * self.shape[1] + column)
        return Synapses(row_pointers(row, self.shape[0]), column[order].astype(np.int32), values[order], self.shape)

    def _unrolled_taps(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]]:
        """Yield (targets, sources, weights) of all synapses that the taps at each place of the kernel stand for."""
        area = self.kernel[0] * self.kernel[1]
        _, rows_out, columns_out = self.target_shape
        _, height, width = self.source_shape
        channel, place = self.taps.indices.astype(np.int64) // area, self.taps.indices % area
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


Connectivity = Synapses | Convolution
