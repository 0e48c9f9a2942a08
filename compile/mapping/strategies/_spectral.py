"""Kernels of the strategy `locality`: plain loops in a fixed order, so that every machine computes the same bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inner

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float = NDArray[np.float64]


class Graph(NamedTuple):
    """Rows of neurons with the same sources, and the sources that more than one row shares.

    `indptr`, `sources`: CSR, the sources of each row; `size`: (rows,) neurons that each stands for; `weight`: (sources,); `degree`:
    (sources,) neurons that each reaches; `rows`: (rows,) what the rows are called.
    """

    indptr: Int
    sources: Int32
    size: Int
    weight: Float
    degree: Int
    rows: Int

    def part(self, chosen: Int) -> Graph:
        """Return some of the rows, with the sources that they share, numbered as they appear."""
        degree, number = np.zeros(self.weight.size, np.int64), np.full(self.weight.size, -1, np.int32)
        indptr, size = np.zeros(chosen.size + 1, np.int64), self.size[chosen]
        sources = np.empty(int((self.indptr[chosen + 1] - self.indptr[chosen]).sum()), np.int32)
        found = _part(chosen, self.indptr, self.sources, self.size, degree, number, indptr, sources)
        known = np.flatnonzero(number >= 0)
        order = np.empty(found, np.int64)
        order[number[known]] = known
        return Graph(indptr, sources[: indptr[-1]].copy(), size, self.weight[order], degree[order], self.rows[chosen])


@jit
def _part(chosen: Int, indptr: Int, sources: Int32, size: Int, degree: Int, number: Int32, ends: Int, found: Int32) -> int:
    """Write the chosen rows' shared sources to `found`, by the numbers that they get; return how many there are."""
    for i in chosen:
        for j in range(indptr[i], indptr[i + 1]):
            degree[sources[j]] += size[i]
    shared, end = 0, 0
    for n in range(chosen.size):
        i = chosen[n]
        for j in range(indptr[i], indptr[i + 1]):
            u = sources[j]
            if degree[u] > size[i]:
                if number[u] < 0:
                    number[u] = shared
                    shared += 1
                found[end] = number[u]
                end += 1
        ends[n + 1] = end
    return shared


@jit
def hashes(neurons: Int, indptr: Int, sources: Int32, key: NDArray[np.uint64]) -> None:
    """Write a hash of the sources of each neuron to `key`, after FNV-1a."""
    for i in range(neurons.size):
        found = np.uint64(14695981039346656037)
        for j in range(indptr[neurons[i]], indptr[neurons[i] + 1]):
            found = (found ^ np.uint64(sources[j])) * np.uint64(1099511628211)
            found = found ^ (found >> np.uint64(29))
        key[i] = found


@jit
def mark(rows: Int, indptr: Int, sources: Int32, seen: NDArray[np.bool_], value: bool) -> None:
    """Set what is `seen` of the sources of some rows."""
    for i in rows:
        for j in range(indptr[i], indptr[i + 1]):
            seen[sources[j]] = value


@jit
def shared(rows: Int, indptr: Int, sources: Int32, size: Int, seen: NDArray[np.bool_]) -> Any:
    """Return how many sources that are `seen` the neurons of some rows have, on average."""
    found, neurons = 0, 0
    for i in rows:
        neurons += size[i]
        for j in range(indptr[i], indptr[i + 1]):
            if seen[sources[j]]:
                found += size[i]
    return found / neurons


@jit
def roots(graph: Graph, root: Float) -> None:
    """Write the square root of the diagonal of D, (rows,)."""
    for i in range(root.size):
        total = 0.0
        for j in range(graph.indptr[i], graph.indptr[i + 1]):
            total += graph.weight[graph.sources[j]]
        root[i] = np.sqrt(total * graph.size[i])


@jit
def apply(graph: Graph, root: Float, sums: Float, x: Float, y: Float) -> None:
    """Write  P x  to y, (rows, 2) each; `sums`: (sources, 2) scratch."""
    for u in range(sums.shape[0]):
        sums[u, 0] = 0.0
        sums[u, 1] = 0.0
    for i in range(root.size):
        if root[i] > 0.0:
            f = graph.size[i] / root[i]
            a, b = x[i, 0] * f, x[i, 1] * f
            for j in range(graph.indptr[i], graph.indptr[i + 1]):
                u = graph.sources[j]
                sums[u, 0] += a
                sums[u, 1] += b
    for u in range(sums.shape[0]):
        f = graph.weight[u] / graph.degree[u]
        sums[u, 0] *= f
        sums[u, 1] *= f
    for i in range(root.size):
        a, b = 0.0, 0.0
        for j in range(graph.indptr[i], graph.indptr[i + 1]):
            u = graph.sources[j]
            a += sums[u, 0]
            b += sums[u, 1]
        f = graph.size[i] / root[i] if root[i] > 0.0 else 0.0
        y[i, 0] = a * f
        y[i, 1] = b * f


@jit_inner
def _remove(x: Float, k: int, root: Float) -> None:
    """Make column k of x orthogonal to a vector, and to the column before."""
    along, norm = 0.0, 0.0
    for n in range(root.size):
        along += x[n, k] * root[n]
        norm += root[n] * root[n]
    for n in range(root.size if norm > 0.0 else 0):
        x[n, k] -= along / norm * root[n]
    along = 0.0
    for n in range(root.size if k == 1 else 0):
        along += x[n, 0] * x[n, 1]
    for n in range(root.size if k == 1 else 0):
        x[n, 1] -= along * x[n, 0]


@jit_inner
def _normalised(x: Float, k: int) -> bool:
    """Give column k of x the length 1; False if it has none."""
    largest, norm = 0.0, 0.0
    for n in range(x.shape[0]):
        largest = max(largest, abs(x[n, k]))
    if not 0.0 < largest < np.inf:
        return False
    for n in range(x.shape[0]):
        x[n, k] /= largest
        norm += x[n, k] * x[n, k]
    for n in range(x.shape[0]):
        x[n, k] /= np.sqrt(norm)
    return True


@jit
def orthonormal(x: Float, root: Float) -> bool:
    """Make the two columns of x orthonormal, and orthogonal to `root`; False if that leaves nothing of one."""
    for k in range(2):
        if not _normalised(x, k):
            return False
        for _ in range(2):
            _remove(x, k, root)
            if not _normalised(x, k):
                return False
    return True


@jit
def slower(x: Float, y: Float) -> float:
    """Return the larger of the scalar products of the columns of x with those of y, summed in order."""
    a, b = 0.0, 0.0
    for n in range(x.shape[0]):
        a += x[n, 0] * y[n, 0]
        b += x[n, 1] * y[n, 1]
    return max(a, b)


@jit
def cheapest(order: Int, graph: Graph, left: Int, window: float) -> Any:
    """Return where to cut the rows of `order`, near their middle, and the weight of the sources on both sides.

    `left`: (sources,) scratch: neurons that each source reaches beyond the cut.
    """
    total, passed, place = 0, 0, 0
    straddling, least, within = 0.0, np.inf, False
    for u in range(left.size):
        left[u] = graph.degree[u]
    for i in order:
        total += graph.size[i]
    for n in range(order.size - 1):
        i = order[n]
        passed += graph.size[i]
        for j in range(graph.indptr[i], graph.indptr[i + 1]):
            u = graph.sources[j]
            straddling += graph.weight[u] if left[u] == graph.degree[u] else 0.0
            left[u] -= graph.size[i]
            straddling -= graph.weight[u] if left[u] == 0 else 0.0
        near = abs(2 * passed - total) <= 2 * window * total
        if place == 0 or (near and not within) or (near and straddling < least) or (not near and 2 * passed < total):
            place, least = n + 1, straddling
        within = within or near
    return place, least
