"""The native simulator: numba kernels (`_lanes`), or NumPy (`_plain`) where they are not worth compiling: the same spikes and counts."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...compile.network import Network
from . import _crossbar, _plain
from ._base import BackendOptions, Recording

BATCH = 4096
IMPORTING, COMPILING = 0.3, 8.0  # seconds that numba takes to import, and to compile the kernels of a network


def compiled() -> bool:
    """Return whether numba, which compiles the kernels, is there."""
    return importlib.util.find_spec("numba") is not None


def plain_is_enough(network: Network, samples: int) -> bool:
    """Return whether the form in NumPy is done before the kernels would be ready: `_plain`, the same spikes and counts.

    That is where the whole run takes it less than importing numba does, or, while no machine code is kept from an earlier run, less than
    compiling. Networks with lags always take the kernels: the plain form of those is the reference, which would be held against itself.
    """
    if _crossbar.holds(network) or not _plain.independent(network):
        return False
    if not compiled():
        return True
    seconds = _plain.seconds(network, samples)
    if seconds < IMPORTING or seconds > COMPILING:
        return seconds < IMPORTING
    from ...jit import has_code
    from ..kernels import layers

    return not has_code(layers.run_rows)


def ready(network: Network, samples: int, options: BackendOptions, *, named: bool = True) -> BackendOptions:
    """Choose the form for a run of so many samples, and import what it needs, so that no clock has to.

    `named`: this is the backend that was asked for; others take counts from it.
    """
    if plain_is_enough(network, samples):
        return replace(options, plain=True)
    if named and compiled() and not _crossbar.holds(network):
        importlib.import_module(f"{__package__}._lanes")
    return options


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends._base` for the interface."""
    if _crossbar.holds(network):
        return _crossbar.simulate(network, events, options)
    if options.plain or not compiled():
        return _plain.simulate(network, events, options)
    from . import _lanes  # numba takes a while to import

    return _lanes.simulate(network, events, options)
