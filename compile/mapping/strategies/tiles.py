"""Maps in tiles, all channels of a position together, so that a core receives input only from the sources under its tile and a rim.

A map is cut into strips of rows, which are filled column by column, back and forth. A core may become full anywhere in a strip, so tiles
need not divide the map evenly. Several strip heights are tried for each layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..fill import fill
from ..loads import kernels
from ..loads.load import Layer, Wiring
from .api import Proposal, backwards

EFFORT = "fast"
HEIGHTS = (0.5, 0.75, 1.0, 1.4, 2.0)  # times the height of a square tile, which would be best if all windows were square and all cores full
Int = NDArray[np.int64]


def propose(wiring: Wiring, chip: Chip, cores: int, effort: str, seed: int) -> Proposal | None:
    """Return the order by tiles; None if no layer is a map with more than one position."""
    del cores, effort, seed
    maps = [layer for layer in wiring.layers if layer.is_map]
    if not maps:
        return None
    return Proposal(backwards(wiring, {layer.name: _best(wiring, chip, layer) for layer in maps}))


def _best(wiring: Wiring, chip: Chip, layer: Layer) -> Int:
    """Return the order of the layer whose strips receive the fewest messages."""
    found, fewest = strips(wiring, layer, layer.shape[1]), np.inf
    per_core = min(chip.limit("neurons"), layer.stop - layer.start)
    for share in (1.0, *HEIGHTS):  # the first shows how many neurons a core really holds
        height = round(float(np.sqrt(per_core / layer.shape[0])) * share)
        order = strips(wiring, layer, min(max(height, 1), layer.shape[1]))
        core_of, misfit = fill(wiring, chip, order)
        if misfit >= 0:
            return found
        per_core = min(per_core, -(-order.size // (int(core_of[order[-1]]) + 1)))
        entering = kernels.entering(order, core_of, wiring.indptr, wiring.sources, wiring.rates)
        if entering < fewest:
            found, fewest = order, entering
    return found


def strips(wiring: Wiring, layer: Layer, height: int) -> Int:
    """Return the layer's neurons strip by strip, strips of about `height` rows: along a strip, then down a column, then by channel."""
    channels, rows, columns = layer.shape
    channel, y, x = np.unravel_index(wiring.places[layer.start : layer.stop], (channels, rows, columns))
    count = -(-rows // height)
    strip = y * count // rows
    along = np.where(strip % 2, columns - 1 - x, x)
    return np.lexsort((channel, y, along, strip)) + layer.start
