"""A layer being converted from a NIR graph to a network: neurons, and the signal that they receive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...network.model import Neuron
from .signals import Signal

__all__ = ["Layer"]


@dataclass(frozen=True)
class Layer:
    """Neurons, their input signal, and a bias (size,) that bypasses the synaptic current."""

    name: str
    shape: tuple[int, ...]
    neuron: Neuron
    arriving: Signal
    bias: NDArray[np.float64]
    alive: NDArray[np.bool_] = field(default_factory=lambda: np.ones(0, np.bool_))
