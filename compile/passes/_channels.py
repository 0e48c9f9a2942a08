"""Exponents per channel: a projection is split into parts, so that channels with small weights use all of their bits, too.

A channel whose largest weight fills only 2^-k of the range is stored k bits finer, with an exponent lower by k:

    a = sum over k of  (W_k s) << (e - k),     W_k = round(W q 2^k) in the rows of channels with this k, empty elsewhere.

Gain and threshold of the population remain those of the layer. Parts are ordinary projections with the same ends, so every backend
runs them; each distinct exponent takes one of the chip's few weight formats, so at most `groups` are made.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.fixed_point import largest_weight
from ...hwmodels.quantise import quantise
from ...network.model import Convolution, Projection, Trained

GROUPS = 4
LOWEST = -16  # an exponent below it would shift everything away


def parts(projection: Projection, exponent: int, step: float, bits: int, groups: int = GROUPS) -> list[Projection]:
    """Return a float projection as integer projections, each with the rows whose weights have a similar magnitude.

    Args:
        exponent, step: of the layer,  W_int = round(W step).
        bits: of a weight.
        groups: the most distinct exponents.
    """
    rows = _rows(projection)
    finer = _finer(projection, rows, step, bits, groups, exponent)
    made: list[Projection] = []
    for k in np.unique(finer).tolist() or [0]:
        synapses = projection.synapses.select(finer[rows] == k)
        data = quantise(synapses.data, step * 2.0**k, bits)
        name = projection.name if not made else f"{projection.name}.e{exponent - k}"
        changed = replace(projection, name=name, synapses=synapses.with_data(data), exponent=exponent - k)
        made.append(replace(changed, weight_bits=bits, scale=step * 2.0**exponent))
    return _shared_origin(projection.trained, made)


def _rows(projection: Projection) -> NDArray[np.int64]:
    """Return the channel that each stored weight belongs to: its target, or its output channel in a convolution."""
    synapses = projection.synapses
    return synapses.taps.rows if isinstance(synapses, Convolution) else synapses.rows


def _finer(projection: Projection, rows: NDArray[np.int64], step: float, bits: int, groups: int, exponent: int) -> NDArray[np.int64]:
    """Return by how many bits each channel can be stored finer: 0 .. groups - 1."""
    channels = int(rows.max(initial=-1)) + 1
    largest = np.zeros(channels)
    np.maximum.at(largest, rows, np.abs(projection.synapses.data.astype(np.float64)) * step)
    room = np.log2(largest_weight(bits) / np.maximum(largest, 1e-30))
    most = max(0, min(groups - 1, exponent - LOWEST))
    return np.clip(np.floor(room + 1e-9), 0, most).astype(np.int64)


def _shared_origin(origin: Trained, made: list[Projection]) -> list[Projection]:
    """Give every part but the first its remaining weights as origin, and the first the rest, so that the sum is what was trained."""
    weights = possible = synapses = 0
    shared: list[Projection] = []
    for part in made[1:]:
        held, count = min(part.synapses.weights, origin.weights - weights), part.synapses.count
        shared.append(replace(part, origin=Trained(held, held, count, origin.sources)))
        weights, possible, synapses = weights + held, possible + held, synapses + count
    rest = Trained(origin.weights - weights, origin.possible_weights - possible, origin.possible_synapses - synapses, origin.sources)
    return [replace(made[0], origin=rest), *shared]
