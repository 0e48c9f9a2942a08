"""What every backend takes and gives: `runtime.run` calls `simulate(network, events, options)` of the module that it found by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...compile.network import Flat


@dataclass(frozen=True)
class BackendOptions:
    """Options of a backend.

    `time_limit`: seconds for the whole call; `lava_python`: interpreter for the Lava worker, None for this one; `batch_size`: samples side
    by side, None to choose; `threads`: processes or threads that compute at once, None to choose.
    """

    time_limit: float = 600.0
    lava_python: str | None = None
    batch_size: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Recording:
    """What a backend saw.

    `spikes`: spiking population -> (samples, timesteps, neurons), in local time: entry t of every population is its t-th step.
    `active`: neuron population -> updates with non-zero state, when the backend knows.
    """

    spikes: dict[str, NDArray[np.bool_]]
    active: dict[str, NDArray[np.int64]] | None = None

    def spread(self, flat: Flat) -> Recording:
        """Return what was seen of a flattened network in the numbers of the original, whose removed neurons are silent."""
        gone = [name for name in self.spikes if not flat.living[name].all()]
        spikes, active = dict(self.spikes), None if self.active is None else dict(self.active)
        for name in gone:
            living = flat.living[name]
            spikes[name] = np.zeros((*self.spikes[name].shape[:2], living.size), np.bool_)
            spikes[name][:, :, living] = self.spikes[name]
            if active is not None:
                few, active[name] = active[name], np.zeros(living.size, np.int64)
                active[name][living] = few
        return Recording(spikes, active)
