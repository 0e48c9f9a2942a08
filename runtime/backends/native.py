"""The native simulator: numba kernels (`native.lanes`), or NumPy (`native.plain`) where those are not worth compiling; equal spikes."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...network.model import Network
from ..native import crossbar, plain, xylo
from .api import BackendOptions, Recording

BATCH = 4096
RECORDS = ("u", "v")
OTHERS = (crossbar, xylo)  # neurons other than Loihi's, in NumPy and SciPy
IMPORTING, COMPILING = 0.3, 8.0  # seconds to import numba, and to compile the kernels of a network


def compiled() -> bool:
    """Return whether numba, which compiles the kernels, is installed."""
    return importlib.util.find_spec("numba") is not None


def _in_numpy(network: Network) -> bool:
    return any(form.holds(network) for form in OTHERS)


def plain_is_enough(network: Network, samples: int) -> bool:
    """Return whether the NumPy form (`native.plain`, with the same spikes and counts) would finish before the kernels are ready.

    This is so if the whole run takes less time than importing numba, or, when no machine code is cached from an earlier run, less than
    compiling. Networks with lags always use the kernels: their plain form is the reference, which would be checked against itself.
    """
    if _in_numpy(network) or not plain.independent(network):
        return False
    if not compiled():
        return True
    seconds = plain.seconds(network, samples)
    if seconds < IMPORTING or seconds > COMPILING:
        return seconds < IMPORTING
    from ...jit import has_code
    from ..native.kernels import layers

    return not has_code(layers.run_rows)


def ready(network: Network, samples: int, options: BackendOptions, *, named: bool = True, recorded: bool = False) -> BackendOptions:
    """Choose the form for a run of this many samples, and import what it needs before any timing starts.

    `named`: whether this backend was requested; others take counts from it. `recorded`: whether registers of all samples are recorded.
    """
    if xylo.holds(network):
        return replace(options, plain=True)
    if (named and recorded and not _in_numpy(network) and plain.independent(network)) or plain_is_enough(network, samples):
        return replace(options, plain=True)
    if named and compiled() and not _in_numpy(network):
        importlib.import_module("..native.lanes", __package__)
    return options


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface. Registers are recorded where they lie step by step in memory: in the
    NumPy form, and in the kernels of networks with lags."""
    for form in OTHERS:
        if form.holds(network):
            return form.simulate(network, events, options)
    if options.plain or not compiled() or (options.registers and plain.independent(network)):
        return plain.simulate(network, events, options)
    from ..native import lanes  # numba takes a while to import

    return lanes.simulate(network, events, options)
