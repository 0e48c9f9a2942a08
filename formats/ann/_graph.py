"""What the operators ask of the reader."""

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
    """The reader, as a node sees it."""

    constants: Constants
    signals: dict[str, Signal]
    batch: int

    def taken(self, node: onnx.NodeProto, index: int = 0) -> Signal:
        """Return the signal that a node takes as its input number `index`."""
        ...

    def rates(self, node: onnx.NodeProto) -> Rates:
        """Return the rates that a node takes first."""
        ...

    def closed(self, node: onnx.NodeProto, sent: Sum, ceiling: float = np.inf) -> Rates:
        """Add a layer with a ReLU, and return its rates."""
        ...
