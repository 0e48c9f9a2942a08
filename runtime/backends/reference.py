"""The integer reference itself (`network/reference.py`), in NumPy: slow, and the definition that the others are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...network import reference
from ...network.model import Network
from .api import BackendOptions, Recording, empty_registers

BATCH = 256
RECORDS = ("u", "v")


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface."""
    active: dict[str, NDArray[np.int64]] = {}
    registers = empty_registers(options.registers, network, len(events))
    spikes = reference.simulate(network, events, active=active, registers=registers)
    return Recording(spikes, active, registers=registers or None)
