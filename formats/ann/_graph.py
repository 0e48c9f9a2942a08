"""The reader's interface for the operators."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnx

from .constants import Constants
from .signals import Rates, Sum

__all__ = ["AGAIN", "MAPS", "Graph", "Signal"]

Signal = Rates | Sum
MAPS = "Flatten only before the fully connected layers"
AGAIN = "Export the network again"


class Graph(Protocol):
    """The reader, as operators see it."""

    constants: Constants
    signals: dict[str, Signal]
    batch: int

    def taken(self, node: onnx.NodeProto, index: int = 0) -> Signal:
        """Return the signal at a node's input `index`."""
        ...

    def rates(self, node: onnx.NodeProto) -> Rates:
        """Return the rates at a node's first input."""
        ...

    def closed(self, node: onnx.NodeProto, sent: Sum, ceiling: float = np.inf) -> Rates:
        """Add a layer with a ReLU, and return its rates."""
        ...
