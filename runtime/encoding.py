"""Samples as they enter the chip, by the fastest available form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network import reference
from ..network.model import Network
from .backends.native import compiled

__all__ = ["count_events", "encode"]


FEW = 1 << 22  # events that NumPy counts faster than numba imports


def encode(
    network: Network,
    values: NDArray[Any],
    *,
    seed: int = 0,
    first: int = 0,
    numbers: NDArray[np.int64] | None = None,
    threads: int | None = 1,
    plain: bool = False,
) -> NDArray[np.uint8]:
    """Do what `reference.encode` does; a kernel draws the rate code if numba is installed: the same bits, the same spikes.

    `threads`: the machine's cores if None; `plain`: without a kernel.
    """
    if not network.input.is_rate_coded or plain or not compiled():
        return reference.encode(network, values, seed=seed, first=first, numbers=numbers)
    from .native.kernels.coding import encode as rate_code

    return rate_code(network, values, seed=seed, first=first, numbers=numbers, threads=threads)


def count_events(events: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of non-zero payloads of each input; events (samples, timesteps, inputs)."""
    if events.size <= FEW or not compiled():
        return np.count_nonzero(events, axis=(0, 1)).astype(np.int64)
    from .native.kernels.coding import count_events as fast

    return fast(events)
