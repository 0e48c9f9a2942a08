"""The interface of backends: `runtime.run` calls `simulate(network, events, options)` of the module found by name.

A backend that records registers names them in `RECORDS`, e.g. ("u", "v"), and returns those that `BackendOptions.registers` names. Spikes
are recorded by every backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checked import check_fields
from ...compile.crossbar.artefact import Crossbars
from ...errors import UsageError
from ...network.model import Flat, Network

__all__ = ["BackendOptions", "Recording", "empty_registers", "population_of"]


@dataclass(frozen=True)
class BackendOptions:
    """Options of a backend.

    `time_limit`: seconds for the whole call; `lava_python`: interpreter for the Lava worker, None for this one; `batch_size`: samples
    run side by side, None to choose; `threads`: processes or threads that compute at once, None to choose.
    `crossbars`: the cores of a network that was compiled for crossbars; the run sets them.
    `plain`: the native backend computes in NumPy, without compiling kernels; a run sets it where that is faster.
    `rasters`: False lets a backend that counts spikes by neuron leave out those of hidden layers; `by_step`: it counts them by step too.
    `registers`: those to record at every step, as population.v and population.u; a run sets them from its probes.
    Of the torch backend: `device`: auto, cpu or cuda; `formats`: number formats that may be chosen from, best first, None for the device's;
    `compile_neurons`: whether torch.compile makes kernels of the neurons, None where a run is long enough.
    """

    time_limit: float = 600.0
    lava_python: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    rasters: bool = True
    plain: bool = False
    by_step: bool = False
    registers: tuple[str, ...] = ()
    crossbars: Crossbars | None = None
    device: str | None = None
    formats: tuple[str, ...] | None = None
    compile_neurons: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.time_limit > 0:  # so that NaN is refused as well
            raise UsageError(f"--time-limit is {self.time_limit:g}; it must be more than 0 seconds.")
        for name, value in (("number of threads", self.threads), ("batch size", self.batch_size)):
            if value is not None and value < 1:
                raise UsageError(f"The {name} is {value}; it must be at least 1.")


@dataclass(frozen=True)
class Recording:
    """What a backend recorded.

    `spikes`: spiking population -> (samples, timesteps, neurons), in local time: entry t of every population is its t-th step.
    `active`, `fired`: neuron population -> updates with non-zero state, and spikes, of each neuron over all samples, if the backend
    counts them; `fired` of the input, if present: non-zero payloads;
    `by_step`: spikes (timesteps, neurons) of the populations for which they were requested and counted.
    `arithmetic`: from a backend that chooses formats: the device, and each projection's number format with its proof.
    `registers`: those of `BackendOptions.registers` after each step, (samples, timesteps, neurons) int32; 0 of removed neurons.
    """

    spikes: dict[str, NDArray[np.bool_]]
    active: dict[str, NDArray[np.int64]] | None = None
    fired: dict[str, NDArray[np.int64]] | None = None
    by_step: dict[str, NDArray[np.int64]] | None = None
    arithmetic: dict[str, Any] | None = None
    registers: dict[str, NDArray[np.int32]] | None = None

    def spread(self, flat: Flat) -> Recording:
        """Return the recording of a flattened network in the original's neuron indices, with removed neurons silent."""
        spikes = {name: _spread(raster, flat.living[name]) for name, raster in self.spikes.items()}
        counts = (
            None if c is None else {n: _spread(v, flat.living[n]) for n, v in c.items()} for c in (self.active, self.fired, self.by_step)
        )
        registers = {n: _spread(values, flat.living[population_of(n)]) for n, values in (self.registers or {}).items()}
        return Recording(spikes, *counts, arithmetic=self.arithmetic, registers=registers or None)


def population_of(register: str) -> str:
    """Return the population of a register's name: "hidden1" of "hidden1.v". Populations may have dots in their names."""
    return register.rpartition(".")[0]


def empty_registers(names: Iterable[str], network: Network, samples: int) -> dict[str, NDArray[np.int32]]:
    """Return zeros, (samples, timesteps, neurons), for those of the registers `names` whose populations `network` holds."""
    sizes = {p.name: p.size for p in network.spiking}
    held = [name for name in names if population_of(name) in sizes]
    return {name: np.zeros((samples, network.timesteps, sizes[population_of(name)]), np.int32) for name in held}


def _spread(values: NDArray[Any], living: NDArray[np.bool_]) -> NDArray[Any]:
    """Return (..., live neurons) as (..., neurons), zeros for those that are not alive."""
    if living.all():
        return values
    out = np.zeros((*values.shape[:-1], living.size), values.dtype)
    out[..., living] = values
    return out
