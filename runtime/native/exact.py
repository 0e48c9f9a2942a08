"""Which number formats multiply a projection exactly: the proof, in integers, before anything runs.

A sum of products of integers w s, with payloads s >= 0, has the weights' positive parts P and negative parts N. In whatever order and
blocks a matrix product adds them up, every partial sum lies in  [-N, P].  A format that holds every integer up to
`total` in magnitude therefore never rounds, if

    max |w| <= operand,   max s <= operand,   max(P, N) <= total,

since each product and each partial sum is an integer that it holds. The argument needs an algorithm that adds products and nothing else:
matrix products do; Winograd's and the Fourier transform do not (they multiply by fractions, and by differences), which is why
convolutions are unfolded into matrices and never passed to a library's own convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UsageError, unknown_name
from ...network.model import Convolution, Network, Population, Projection, Synapses

__all__ = ["FORMATS", "INT64", "Bounds", "Format", "bounds", "choose", "maps", "whole"]

DOUBLE = 1 << 53


@dataclass(frozen=True)
class Format:
    """A number format: the largest magnitude of an operand, and up to where it holds every integer."""

    name: str
    operand: int
    total: int


FORMATS = {
    f.name: f
    for f in (
        Format("int8", 127, (1 << 31) - 1),  # summed in 32 bits
        Format("bfloat16", 1 << 8, 1 << 8),
        Format("float16", 1 << 11, 1 << 11),
        Format("float32", 1 << 24, 1 << 24),  # at the highest precision: without TF32
        Format("float64", DOUBLE, DOUBLE),
    )
}
INT64 = "int64"  # the fallback if no format is exact: SciPy on the CPU, the reference's own sums
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Bounds:
    """Largest magnitudes of a projection: of its weights, of what they are multiplied by, and of any partial sum (None: past 2^53)."""

    weight: int
    operand: int
    total: int | None


def bounds(network: Network, projection: Projection) -> Bounds:
    """Return the bounds of a projection's products and sums, exact integers.

    Sums of positive numbers in float64 are exact below 2^53, and cannot fall below it again once they have passed it.
    """
    synapses = projection.synapses
    taps, pool = (synapses.taps, synapses.pool) if isinstance(synapses, Convolution) else (synapses, 1)
    operand = network.payload_of(projection).largest * pool**2
    data = taps.data.astype(np.int64)
    largest = 0
    for part in (np.maximum(data, 0), np.maximum(-data, 0)):
        sums = np.bincount(taps.rows, weights=part, minlength=1)
        if sums.max() >= DOUBLE:
            return Bounds(int(np.abs(data).max()), operand, None)
        largest = max(largest, int(sums.max()))
    total = largest * operand
    return Bounds(int(np.abs(data).max(initial=0)), operand, total if total <= DOUBLE else None)


def choose(limits: Bounds, order: Sequence[str]) -> list[str]:
    """Return the formats of `order` that are proven exact within these bounds, in that order.

    Raises:
        UsageError: an unknown format name.
    """
    for name in order:
        if name not in FORMATS:
            raise unknown_name("number format", name, FORMATS)
    if not order:
        raise UsageError(f"There are no number formats to choose from. Known: {', '.join(FORMATS)}.")
    if limits.total is None:
        return []
    proven = (FORMATS[name] for name in order)
    return [f.name for f in proven if max(limits.weight, limits.operand) <= f.operand and limits.total <= f.total]


def whole(synapses: Synapses | Convolution) -> bool:
    """Return whether a projection is a matrix: one by nature, or a convolution with one output position."""
    return isinstance(synapses, Synapses) or synapses.target_shape[1:] == (1, 1)


def maps(network: Network) -> dict[str, Shape] | None:
    """Return each population's (channels, rows, columns) according to the convolutions around it, (size, 1, 1) without any.

    None: they disagree on one; then the network's flat form runs.
    """
    found = {p.name: _map(network, p) for p in network.populations}
    return None if None in found.values() else {name: shape for name, shape in found.items() if shape is not None}


def _map(network: Network, population: Population) -> Shape | None:
    leaving = [p.synapses for p in network.outputs_of(population.name)]
    arriving = [p.synapses for p in network.inputs_of(population.name)]
    shapes = {s.source_shape for s in leaving if isinstance(s, Convolution) and not whole(s)}
    shapes |= {s.target_shape for s in arriving if isinstance(s, Convolution) and not whole(s)}
    if len(shapes) > 1:
        return None
    return shapes.pop() if shapes else (population.size, 1, 1)
