"""Layers in order, each divided evenly among its own cores: a core with the end of one layer and the beginning of another would
receive input from the sources of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..fill import fill
from ..loads.load import Wiring
from .api import Int, Proposal

EFFORT = "default"


def propose(wiring: Wiring, chip: Chip, cores: int, effort: str, seed: int) -> Proposal | None:
    """Return the layers with breaks between and within them; None if only one receives input, or if there are maps (see tiles)."""
    del cores, effort, seed
    if any(layer.is_map for layer in wiring.layers):
        return None
    fed = np.diff(wiring.indptr) > 0
    orders = [np.flatnonzero(fed[layer.start : layer.stop]) + layer.start for layer in reversed(wiring.layers)]
    orders = [order for order in orders if order.size]
    if len(orders) < 2:
        return None
    silent = np.flatnonzero(~fed)
    breaks = [_shares(wiring, chip, order) for order in orders]
    return Proposal(np.concatenate([*orders, silent]), np.concatenate([*breaks, np.zeros(silent.size, np.bool_)]))


def _shares(wiring: Wiring, chip: Chip, order: Int) -> NDArray[np.bool_]:
    """Return where cores begin when the neurons of `order` are divided evenly among the number of cores that they fill."""
    core_of, misfit = fill(wiring, chip, order)
    parts = 1 if misfit >= 0 else int(core_of.max()) + 1  # a neuron that does not fit is refused when the proposal is filled
    breaks = np.zeros(order.size, np.bool_)
    breaks[np.arange(parts) * order.size // parts] = True
    return breaks
