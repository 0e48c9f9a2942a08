"""The contents of every core of a crossbar chip, as arrays, and the check that nothing breaks a limit or points nowhere."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from ...hwmodels.crossbar import TYPES

AXONS = 256
SLOTS = 256  # neurons of a core
Int = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Crossbars:
    """The cores of a deployed network.

    `mode`: see `weights`; `axon_type`: (cores, 256), -1 where unused; `axon_source`, `axon_delay`: (cores, 256) the logical source
    that drives an axon, and its delay in ticks; `bits`: (cores, 256 axons, 256 neurons) 0 or 1; `logical`: (cores, 256) the network
    neuron that a physical neuron is a copy of, -1 where unused; `levels`: (cores, 256, 4); `threshold`, `leak`: (cores, 256);
    `target`: (cores, 256, 2) core and axon that a neuron sends to, -1 for none; `inputs`: (routes, 3) source off chip, core, axon.

    Sources are numbered as in `Wiring`: live ones off chip first, then the chip's neurons; in `inputs`, numbers include removed sources.
    """

    mode: str
    axon_type: NDArray[np.int8]
    axon_source: Int
    axon_delay: NDArray[np.int8]
    bits: NDArray[np.uint8]
    logical: Int
    levels: NDArray[np.int16]
    threshold: Int
    leak: Int
    target: Int
    inputs: Int

    @property
    def cores(self) -> int:
        """The number of cores."""
        return len(self.logical)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, the bits packed eight to a byte."""
        named = {f"crossbar.{f.name}": getattr(self, f.name) for f in fields(self) if f.name != "mode"}
        return named | {"crossbar.bits": np.packbits(self.bits, axis=2)}

    def routes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the (source, core) of every axon that is driven: one message whenever the source spikes."""
        cores, axons = np.nonzero(self.axon_type >= 0)
        return self.axon_source[cores, axons].astype(np.int64), cores.astype(np.int64)

    def least_axons(self, sources: int) -> NDArray[np.int64]:
        """Return the axons that each source needs in any allocation: one for each type, delay and copy, on some core."""
        cores, axons = np.nonzero(self.axon_type >= 0)
        keys = [self.axon_source[cores, axons], self.axon_type[cores, axons], self.axon_delay[cores, axons], cores]
        alike, copies = np.unique(np.stack(keys, axis=1).astype(np.int64), axis=0, return_counts=True)
        kinds, of = np.unique(alike[:, :3], axis=0, return_inverse=True)
        most = np.zeros(len(kinds), np.int64)
        np.maximum.at(most, of.ravel(), copies)
        least = np.zeros(sources, np.int64)
        np.add.at(least, kinds[:, 0], most)
        return least


def restore(mode: str, arrays: dict[str, NDArray[Any]], outside: int, neurons: int, entering: int) -> Crossbars:
    """Return the cores from what `Crossbars.arrays` returned, checked.

    Args:
        outside, neurons: live sources off chip, and neurons on it.
        entering: sources off chip, removed ones included.

    Raises:
        FormatError: shapes, types of axons, targets or sources out of range.
        KeyError: an array is missing.
    """
    given = {f.name: arrays[f"crossbar.{f.name}"] for f in fields(Crossbars) if f.name != "mode"}
    cores = len(given["logical"])
    given["bits"] = np.unpackbits(given["bits"].astype(np.uint8), axis=2)
    shapes = {
        "axon_type": (cores, AXONS),
        "axon_source": (cores, AXONS),
        "axon_delay": (cores, AXONS),
        "bits": (cores, AXONS, SLOTS),
        "logical": (cores, SLOTS),
        "levels": (cores, SLOTS, TYPES),
        "threshold": (cores, SLOTS),
        "leak": (cores, SLOTS),
        "target": (cores, SLOTS, 2),
        "inputs": (len(given["inputs"]), 3),
    }
    for name, shape in shapes.items():
        if given[name].shape != shape:
            raise FormatError(f"crossbar {name}: its shape is {given[name].shape}; it must be {shape}")
    made = Crossbars(mode, **given)
    _check(made, outside, neurons, entering)
    return made


def _check(c: Crossbars, outside: int, neurons: int, entering: int) -> None:
    def within(values: NDArray[Any], low: int, high: int) -> bool:
        return bool(values.size == 0 or (low <= int(values.min()) and int(values.max()) < high))

    used = c.axon_type >= 0
    right = {
        "axon_type": within(c.axon_type, -1, TYPES),
        "axon_source": within(c.axon_source[used], 0, outside + neurons),
        "axon_delay": within(c.axon_delay[used], 1, 16),
        "logical": within(c.logical, -1, neurons),
        "target": within(c.target[..., 0], -1, c.cores) and within(c.target[..., 1], -1, AXONS),
        "inputs": within(c.inputs[:, 0], 0, entering) and within(c.inputs[:, 1], 0, c.cores) and within(c.inputs[:, 2], 0, AXONS),
    }
    for name, is_right in right.items():
        if not is_right:
            raise FormatError(f"crossbar {name} is out of range")
