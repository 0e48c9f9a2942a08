"""The native simulator: numba kernels (`_lanes`), or where numba is missing the reference (`_plain`): the same spikes and counts."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from ...compile.network import Network
from . import _crossbar, _plain
from ._base import BackendOptions, Recording

BATCH = 4096


def compiled() -> bool:
    """Return whether numba, which compiles the kernels, is there."""
    return importlib.util.find_spec("numba") is not None


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends._base` for the interface."""
    if _crossbar.holds(network):
        return _crossbar.simulate(network, events, options)
    if not compiled():
        return _plain.simulate(network, events, options)
    from . import _lanes  # numba takes a while to import

    return _lanes.simulate(network, events, options)
