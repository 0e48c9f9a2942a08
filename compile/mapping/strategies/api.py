"""What a strategy returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..loads.load import Layer, Wiring

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Proposal:
    """An order in which cores take neurons. `order`: (neurons,); `breaks`: (neurons,) where a new core begins, None: where one is full."""

    order: Int
    breaks: NDArray[np.bool_] | None = None


def backwards(wiring: Wiring, orders: dict[str, Int]) -> Int:
    """Return the neurons of the last layer first, each layer in its order, so that targets are placed before their sources.

    `orders`: per layer, its neurons by global number; layers that are not listed keep their own order.
    """

    def of(layer: Layer) -> Int:
        return orders.get(layer.name, np.arange(layer.start, layer.stop))

    return np.concatenate([of(layer) for layer in reversed(wiring.layers)] or [np.zeros(0, np.int64)])
