"""Neurons that share sources side by side, found in the synapses alone: for networks without maps (see tiles), whatever their numbering.

Each layer is halved again and again. A walk from a neuron to one of its sources, and from there to one of the source's targets, mixes
slowly between regions that share few sources; its slowest modes are smooth along the axes of a map, and constant on clusters. With the
neurons of a part as rows, A their synapses, W the weights of the sources, D_s their targets in the part and D the sums of their weights,

    P = D^-1/2 A W D_s^-1 A^T D^-1/2

has the eigenvector D^1/2 1 of eigenvalue 1; the part is cut along a combination of the next two (Shi, Malik: Normalized cuts and image
segmentation, IEEE PAMI 22, 2000; on hypergraphs Zhou, Huang, Schoelkopf, NIPS 2006). They are found by Chebyshev-filtered subspace
iteration (Zhou, Saad, Tiago, Chelikowsky, J. Comp. Phys. 219, 2006), in a part from those of the part that it was cut from. Of several
combinations and places, the cut is taken that the fewest sources straddle. Neurons with the same sources are one row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..loads.load import Layer, Wiring, least_words
from . import _spectral
from ._spectral import Graph
from .api import Proposal, backwards

EFFORT = "fast"
LEAVES = 4  # parts that are not cut further, for each core: at least
SMALLEST = 16  # neurons of such a part: at least
MIXED = 1.5  # times the second eigenvalue of a random layer, up to which a layer has no locality worth an order
STAGES, LATER = 6, 1  # filters of the first cut of a layer, and of the others: at most
DEGREE = 10  # of the Chebyshev polynomial of each
SETTLED = 0.05  # change of an eigenvalue, as a share of its distance from 1, at which it is known well enough
DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])  # combinations of the two modes
WINDOW = 0.1  # of a part's neurons, how far from its middle it may be cut
Int = NDArray[np.int64]
Float = NDArray[np.float64]


def propose(wiring: Wiring, chip: Chip, cores: int, effort: str, seed: int) -> Proposal | None:
    """Return the order by shared sources; None if there are maps, or no layer has locality."""
    del cores, effort
    if any(layer.is_map for layer in wiring.layers):
        return None
    rng = np.random.default_rng(seed)
    found = {layer.name: _ordered(wiring, chip, layer, rng) for layer in wiring.layers}
    orders = {name: order for name, order in found.items() if order is not None}
    return Proposal(backwards(wiring, orders)) if orders else None


def _ordered(wiring: Wiring, chip: Chip, layer: Layer, rng: np.random.Generator) -> Int | None:
    """Return the neurons of a layer in an order in which neighbours share sources; None if it fits a core or has no locality."""
    per_core = _held(wiring, chip, layer)
    if layer.stop - layer.start <= per_core:
        return None
    whole, members = _merged(wiring, layer)
    modes, slow = _modes(whole, rng.standard_normal((whole.rows.size, 2)), STAGES)
    if modes is None or slow < MIXED * _random(whole):
        return None
    leaf, seen = max(SMALLEST, per_core // LEAVES), np.zeros(whole.weight.size, np.bool_)
    done: list[Int] = []
    waiting = [(whole, modes)]
    while waiting:
        part, modes = waiting.pop()
        if part.size.sum() <= leaf or part.rows.size < 2:
            if done:
                _spectral.mark(done[-1], whole.indptr, whole.sources, seen, value=False)
            done.append(part.rows)
            _spectral.mark(part.rows, whole.indptr, whole.sources, seen, value=True)
            continue
        halves = [(part.part(chosen), modes[chosen]) for chosen in _halves(part, modes)]
        near = [_spectral.shared(half.rows, whole.indptr, whole.sources, whole.size, seen) for half, _ in halves]
        first = halves[0] if near[0] >= near[1] else halves[1]
        last = halves[1] if first is halves[0] else halves[0]
        waiting += [(half, _refreshed(half, old, leaf, rng)) for half, old in (last, first)]
    order = np.concatenate([members[i] for part in done for i in part])
    return np.concatenate([order, np.setdiff1d(np.arange(layer.start, layer.stop), order)])


def _held(wiring: Wiring, chip: Chip, layer: Layer) -> int:
    """Return about how many of the layer's neurons a core holds."""
    fan_in = np.diff(wiring.indptr)[layer.start : layer.stop]
    longest = chip.limit("neurons")
    words = least_words(longest, wiring, chip)[-1] / longest  # of a synapse in a long list
    return int(min(longest, max(1.0, chip.limit("synapse_words") / max(float(fan_in.mean()) * words, 1e-9))))


def _refreshed(part: Graph, old: Float, leaf: int, rng: np.random.Generator) -> Float:
    """Return the modes of a part from those of the part that it was cut from."""
    if part.size.sum() <= leaf:
        return old
    found, _ = _modes(part, old, LATER)
    if found is None:
        found, _ = _modes(part, rng.standard_normal(old.shape), LATER)
    return rng.standard_normal(old.shape) if found is None else found


def _halves(part: Graph, modes: Float) -> tuple[Int, Int]:
    """Return the rows of the two halves of a part, cut where the fewest sources straddle."""
    best, found = np.inf, (np.arange(0), np.arange(0))
    left = np.zeros(part.weight.size, np.int64)
    for values in (modes @ DIRECTIONS.T).T:
        order = np.argsort(values, kind="stable")
        place, straddling = _spectral.cheapest(order, part, left, WINDOW)
        if straddling < best:
            best, found = straddling, (np.sort(order[:place]), np.sort(order[place:]))
    return found


def _modes(part: Graph, start: Float, stages: int) -> tuple[Float | None, float]:
    """Return the two slowest modes of a part, (rows, 2), and the larger of their eigenvalues; None if there are none."""
    root = np.zeros(part.rows.size)
    _spectral.roots(part, root)
    vectors = start * np.maximum(root, 0.0)[:, None]
    sums, applied = np.zeros((part.weight.size, 2)), np.zeros_like(vectors)
    if part.rows.size < 4 or not _spectral.orthonormal(vectors, root):
        return None, 0.0
    slow, edge = 0.0, 0.5
    for stage in range(stages + 1):
        _spectral.apply(part, root, sums, vectors, applied)
        before, slow = slow, float(_spectral.slower(vectors, applied))
        if stage == stages or (stage and abs(slow - before) < SETTLED * (1.0 - slow)):
            break
        edge = min(max(1.0 - 2.5 * (1.0 - slow), 0.05 if stage else 0.5), 0.9995)
        vectors = _filtered(part, root, sums, vectors, applied, edge)
        if not _spectral.orthonormal(vectors, root):
            return None, 0.0
    return vectors / np.where(root > 0, root, 1.0)[:, None], slow


def _filtered(part: Graph, root: Float, sums: Float, vectors: Float, applied: Float, edge: float) -> Float:
    """Return the Chebyshev polynomial of P that is within 1 on eigenvalues from 0 to `edge`, and large beyond, times the vectors.

    `applied`:  P times the vectors; overwritten.
    """
    before, now = vectors, applied * (2.0 / edge) - vectors
    for _ in range(DEGREE - 1):
        _spectral.apply(part, root, sums, now, applied)
        before, now = now, applied * (4.0 / edge) - 2.0 * now - before
    return now


def _merged(wiring: Wiring, layer: Layer) -> tuple[Graph, list[Int]]:
    """Return the neurons of a layer that receive input, those with the same sources as one row, and the neurons of each row."""
    fed = np.flatnonzero(np.diff(wiring.indptr)[layer.start : layer.stop]) + layer.start
    key = np.zeros(fed.size, np.uint64)
    _spectral.hashes(fed, wiring.indptr, wiring.sources, key)
    _, first, row, size = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    members = np.split(fed[np.argsort(row.ravel(), kind="stable")], np.cumsum(size)[:-1])
    kept = fed[first]
    counts = np.diff(wiring.indptr)[kept]
    pointers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    taken = np.arange(int(counts.sum())) - np.repeat(pointers[:-1], counts) + np.repeat(wiring.indptr[kept], counts)
    mean = float(wiring.rates.mean())
    weight = 1.0 + wiring.rates / (mean if mean > 0 else 1.0)  # sources that are silent take axons and words, too
    graph = Graph(pointers, wiring.sources[taken], size.astype(np.int64), weight, np.zeros(weight.size, np.int64), np.arange(kept.size))
    return graph.part(graph.rows), members


def _random(graph: Graph) -> float:
    """Return about the second eigenvalue of P of a random layer with as many synapses:  (sqrt(a - 1) + sqrt(b - 1))^2 / (a b).

    a, b: mean fan-in of the neurons and mean fan-out of the sources (the spectral gap of random biregular bipartite graphs: Brito,
    Dumitriu, Harris, Combinatorics, Probability and Computing 31, 2022).
    """
    synapses = max(float((np.diff(graph.indptr) * graph.size).sum()), 1.0)
    a, b = synapses / graph.size.sum(), synapses / max(graph.weight.size, 1)
    return float((np.sqrt(max(a - 1, 0.0)) + np.sqrt(max(b - 1, 0.0))) ** 2 / (a * b))
