"""What the native simulator is where numba is missing: the integer reference. The same spikes and counts, some thirty times slower."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...compile import reference
from ...compile.network import Network
from ._base import BackendOptions, Recording


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network on scipy's sparse products; see `backends._base` for the interface."""
    del options
    active: dict[str, NDArray[np.int64]] = {}
    spikes = reference.simulate(network, events, active=active)
    return Recording(spikes, active)
