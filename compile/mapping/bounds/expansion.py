"""Lower bounds from expansion: what a core full of a layer's neurons must at least receive, whatever neurons these are.

A *block* is one population of sources and all neurons that receive input from it. Source u costs r_u a message, and its synapses share
r_u as their weights, evenly unless its targets lie on a map. The volume of a set X of targets is the weight of their synapses, and N(X) the
sources of X. With s_1 = 1 >= s_2 >= ... the singular values of the block's weights, divided by the roots of the volume of the target and of
r of the source:

    r(N(X))  >=  vol(X) / (s_2^2 + (1 - s_2^2) vol(X) / R),     R = vol(all) = sum of r                          (expansion)
    M        >=  R^2 / sum over i of v_i s_i^2                                                                     (spectrum)

for any X, and for the messages M of any partition into sets whose volumes in descending order are v_1, v_2, ... Both begin with Cauchy and
Schwarz: with a_u(X) the weight that X receives from u,  vol(X)^2 = (sum over N(X) of a_u)^2 <= r(N(X)) * sum of a_u^2 / r_u,  and the last
sum is f'BB'f for the normalised block B and the vector f of the roots of the volumes in X, |f|^2 = vol(X). The first then splits f into its
part along the first singular vector, vol(X)^2 / R, and the rest; it is the inequality of Tanner, "Explicit concentrators from generalized
N-gons", SIAM J. Algebraic Discrete Methods 5(3), 1984, for weights and degrees of any kind. The second sums over all sets, whose vectors
are orthogonal (Donath and Hoffman, "Lower bounds for the partitioning of graphs", IBM J. Res. Dev. 17, 1973). The first is concave in
vol(X), so its sum over the sets is least, like the second bound, if the volumes are as unequal as the limits of a core allow (`largest`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..loads.load import Wiring
from .spectrum import upper_squares

__all__ = ["Block", "Cap", "Measure", "blocks", "largest"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Matrix: TypeAlias = "sp.csr_array[Any]"  # in quotes: SciPy before 1.15 cannot subscript it
Cap = tuple[Float, float]  # what each target takes of a resource, and how much of it a core has
MOST = 64  # singular values that are bounded one by one
MIDDLE = 0.4  # of the weight at the edge of the places that a source reaches: that in their middle
SLACK = 1.0 - 1e-9  # of sums of floating-point numbers


@dataclass(frozen=True)
class Block:
    """The synapses from one population, or from all sources off chip.

    `first`, `last`: the range of its sources; `targets`: (targets,) numbers of its neurons; `edges`: (targets, sources) the share of a
    source's rate that is the weight of its synapse, or of several; `synapses`: (targets,) how many. `smooth`: (targets, vectors) functions
    that vary slowly over positions of a map.
    """

    first: int
    last: int
    targets: Int
    edges: Matrix
    synapses: Int
    smooth: Float | None

    def measure(self, rates: Float, sets: int) -> Measure:
        """Return the block with the rates (all sources,) as what a message costs, for partitions into so many sets or more."""
        return Measure(self, np.asarray(rates[self.first : self.last], np.float64), sets)


@dataclass(frozen=True)
class Measure:
    """A block and what a message of each of its sources costs.

    `rates`: (sources,); `sets`: how many singular values are looked at; `known`: their squares, if they are.
    """

    block: Block
    rates: Float
    sets: int
    known: Float | None = None

    @cached_property
    def volumes(self) -> Float:
        """The volume of each target."""
        return self.block.edges @ self.rates

    @cached_property
    def total(self) -> float:
        """R: the rates of all sources that have targets."""
        return float(self.volumes.sum())

    @cached_property
    def squares(self) -> Float:
        """Upper bounds on the squares of the largest singular values, descending: at least two, at most `MOST`."""
        if self.known is not None:
            return self.known
        count = max(2, min(MOST, self.sets))
        rows, columns = np.flatnonzero(self.volumes > 0), np.flatnonzero(self.rates > 0)
        edges = self.block.edges
        if rows.size < self.volumes.size or columns.size < self.rates.size:
            edges = edges[rows][:, columns]
        roots = np.sqrt(self.volumes[rows])
        smooth = self.block.smooth
        start = None if smooth is None else smooth[rows][:, :count] * roots[:, None]
        taken = np.repeat(1.0 / roots, np.diff(edges.indptr))
        normalised = sp.csr_array(
            (taken * edges.data * np.sqrt(self.rates[columns])[edges.indices], edges.indices, edges.indptr), edges.shape
        )
        return upper_squares(normalised, count, roots, start)

    def received(self, volumes: Float) -> Float:
        """Return the least cost of a message from each source of any sets of targets of these volumes."""
        volumes, second = np.minimum(volumes, self.total), self.squares[1]
        if not self.total or second <= 0.0:
            return volumes
        return volumes / (second + (1.0 - second) * volumes / self.total)

    @cached_property
    def least_of_one(self) -> float:
        """The least cost of a message from each source of any one target."""
        pattern = self.block.edges.copy()
        pattern.data[:] = 1.0
        return float((pattern @ self.rates).min())

    def messages(self, parts: Float) -> float:
        """Return the least cost of all messages in any partition; `parts`: the volumes of its sets as `largest` bounds them."""
        squares = self.squares
        expansion = float(self.received(parts).sum())
        single = parts[: squares.size - 1]
        spread = float(single @ squares[: single.size] + parts[single.size :].sum() * squares[-1])
        return SLACK * max(expansion, self.total**2 / spread)


def blocks(wiring: Wiring) -> Iterator[Block]:
    """Return the blocks that have synapses."""
    first = np.ones(wiring.sources.size, np.bool_)
    first[1:] = (np.diff(wiring.sources) != 0) | (np.diff(wiring.rows) != 0)
    ranges = [(0, wiring.outside), *((wiring.outside + n.start, wiring.outside + n.stop) for n in wiring.layers)]
    for start, stop in ranges:
        here = (wiring.sources >= start) & (wiring.sources < stop)
        if here.any():
            yield _block(wiring, start, stop, here, here & first)


def _block(wiring: Wiring, start: int, stop: int, here: Bool, distinct: Bool) -> Block:
    synapses = np.bincount(wiring.rows[here], minlength=wiring.neurons)
    targets = np.flatnonzero(synapses)
    number = np.zeros(wiring.neurons, np.int64)
    number[targets] = np.arange(targets.size)
    rows, columns = number[wiring.rows[distinct]], wiring.sources[distinct].astype(np.int64) - start
    weights = np.ones(rows.size) if (at := _positions(wiring, targets)) is None else _outer(at[:, rows], columns, stop - start)
    weights /= np.bincount(columns, weights, minlength=stop - start)[columns]
    edges = sp.csr_array((weights, (rows, columns)), shape=(targets.size, stop - start))
    return Block(start, stop, targets, edges, synapses[targets], _smooth(wiring, targets))


def _positions(wiring: Wiring, targets: Int) -> Int | None:
    """Return the rows and columns of the targets on their map, (2, targets); None if they are not of one map."""
    layers = [n for n in wiring.layers if n.start <= targets[-1] and n.stop > targets[0]]
    if len(layers) != 1 or not layers[0].is_map:
        return None
    _, height, width = layers[0].shape
    return np.stack(np.divmod(wiring.places[targets].astype(np.int64) % (height * width), width))


def _outer(at: Int, columns: Int, sources: int) -> Float:
    """Return weights that rise from the middle of the places that a source reaches to their edge: a tile cuts more of those.

    Any weights give bounds. Those of a window of three, 1 : 2 : 1 upside down, bound it some 5 % better than equal ones.
    """
    weights = np.ones(columns.size)
    for places in at:
        low, high = np.full(sources, np.iinfo(np.int64).max), np.zeros(sources, np.int64)
        np.minimum.at(low, columns, places)
        np.maximum.at(high, columns, places)
        span = np.maximum(high - low, 1)[columns]
        weights *= np.where(
            high[columns] > low[columns], MIDDLE + (1.0 - MIDDLE) * np.abs(2 * places - low[columns] - high[columns]) / span, 1.0
        )
    return weights


def _smooth(wiring: Wiring, targets: Int) -> Float | None:
    """Return products of cosines over the positions of the targets' map, the slowest first; None if they are not of one map."""
    at = _positions(wiring, targets)
    if at is None:
        return None
    (y, x), (height, width) = at, (at.max(axis=1) + 1).tolist()
    waves = np.stack(np.meshgrid(np.arange(min(height, MOST)), np.arange(min(width, MOST)), indexing="ij"), -1).reshape(-1, 2)
    slowest = np.argsort(((waves / [height, width]) ** 2).sum(axis=1), kind="stable")[1 : MOST + 1]
    kept = [np.cos(np.pi * a * (y + 0.5) / height) * np.cos(np.pi * b * (x + 0.5) / width) for a, b in waves[slowest].tolist()]
    return np.stack(kept, axis=1) if kept else None


def largest(values: Float, caps: list[Cap]) -> Float:
    """Return the sums of the values of the sets of a partition that keeps all caps, as unequal as can be: descending.

    The n largest sums of any such partition are together at most those of the first n here, by the fractional knapsack of n times the room.
    So a concave function of the sums is in total at least, and a sum weighted in descending order at most, what it is for these.
    """
    total = float(values.sum())
    if total <= 0.0:
        return np.zeros(1)
    sets = max([1.0, *(float(takes.sum()) / room for takes, room in caps)])
    upto = np.arange(math.ceil(sets) + 2, dtype=np.float64)
    held = np.full(upto.size, total)
    for takes, room in caps:
        free = takes <= 0
        order = np.argsort(-values[~free] / takes[~free], kind="stable")
        taken = np.append(0.0, np.cumsum(takes[~free][order]))
        summed = np.append(0.0, np.cumsum(values[~free][order]))
        held = np.minimum(held, values[free].sum() + np.interp(upto * room, taken, summed))
    held[0] = 0.0
    parts = np.diff(held)
    return parts[parts > 1e-12 * total]
