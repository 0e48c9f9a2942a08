"""Synapses one by one: a sparse matrix. `convolution.py` has the other form, taps that each represent many synapses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import FormatError

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
        """The number of synapses, equal to the number of weights."""
        return int(self.data.size)

    @property
    def weights(self) -> int:
        """The number of stored weights."""
        return self.count

    @property
    def fan_in(self) -> NDArray[np.int64]:
        """The number of synapses onto each target."""
        return np.diff(self.indptr)

    @property
    def fan_out(self) -> NDArray[np.int64]:
        """Synapses that leave each source."""
        return np.bincount(self.indices, minlength=self.shape[1]).astype(np.int64)

    def select(self, keep: NDArray[np.bool_]) -> Synapses:
        """Return the synapses where `keep` (one entry per synapse) is true."""
        return Synapses(row_pointers(self.rows[keep], self.shape[0]), self.indices[keep], self.data[keep], self.shape)

    def with_data(self, data: NDArray[Any]) -> Synapses:
        """Return the same synapses with other weights."""
        return replace(self, data=data)

    def transposed(self) -> Synapses:
        """Return the matrix (sources, targets), targets ascending within a source."""
        columns = sp.csr_matrix((self.data, self.indices, self.indptr), shape=self.shape).tocsc()  # sorts by counting
        return Synapses(columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data, (self.shape[1], self.shape[0]))

    def matrix(self, dtype: type = np.int64) -> sp.csr_matrix:
        """Return the synapses as a scipy CSR matrix (targets, sources)."""
        return sp.csr_matrix((self.data.astype(dtype), self.indices, self.indptr), shape=self.shape)

    def operator(self, dtype: type = np.int64) -> sp.csr_matrix:
        """Return an operator whose `@` maps (sources, samples) spikes to (targets, samples) sums."""
        return self.matrix(dtype)

    def forward(self, values: NDArray[Any], sources: NDArray[Any]) -> NDArray[np.float64]:
        """Return, per target, the sum over its synapses of  value * source;  `values`: one per weight, `sources`: one per source."""
        return np.bincount(self.rows, weights=values * sources[self.indices], minlength=self.shape[0]).astype(np.float64)

    def backward(self, values: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        """Return, per source, the sum over its synapses of  value * target;  `values`: one per weight, `targets`: one per target."""
        return np.bincount(self.indices, weights=values * targets[self.rows], minlength=self.shape[1]).astype(np.float64)

    def used(self, sources: NDArray[np.bool_], targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which weights connect a live source to a live target."""
        return sources[self.indices] & targets[self.rows]

    def restricted(self, sources: NDArray[np.bool_], targets: NDArray[np.bool_]) -> Synapses:
        """Return the matrix of only the marked sources and targets, renumbered; synapses of others are left out."""
        kept = self if sources.all() and targets.all() else self.select(self.used(sources, targets))
        indptr = np.concatenate([[0], np.cumsum(kept.fan_in[targets])]).astype(np.int64)
        renumbered = (np.cumsum(sources) - 1)[kept.indices].astype(np.int32)
        return Synapses(indptr, renumbered, kept.data, (int(targets.sum()), int(sources.sum())))

    def unrolled(self) -> Synapses:
        """Return the synapses one by one, which they already are."""
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
