"""Networks of crossbar neurons without their cores: sums by SciPy, neurons by NumPy, a batch of samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...hwmodels.crossbar import crossbar_step
from ...network.model import CrossbarLIF, Network, Population
from ..backends.api import BackendOptions, Recording, empty_registers


def holds(network: Network) -> bool:
    """Return whether a network has neurons of a crossbar."""
    return any(isinstance(p.neuron, CrossbarLIF) for p in network.spiking)


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the mapped integer network; see `backends.api` for the interface.

    Raises:
        BackendError: lags, or layers with other neurons.
    """
    if any(p.lag for p in network.projections):
        raise BackendError("Crossbar networks with lags are not simulated.")
    flat = network.flat
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: events}
    active: dict[str, NDArray[np.int64]] = {}
    registers = empty_registers(options.registers, flat.network, len(events))
    for population in flat.network.spiking:
        kept = registers.get(f"{population.name}.v")
        streams[population.name], active[population.name] = _layer(flat.network, population, streams, kept)
    spikes = {p.name: streams[p.name] for p in network.spiking}
    fired = {name: np.count_nonzero(raster, axis=(0, 1)) for name, raster in spikes.items()}
    return Recording(spikes, active, fired, registers=registers).spread(flat)


def _layer(
    network: Network, population: Population, streams: dict[str, NDArray[Any]], kept: NDArray[np.int32] | None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    neuron = population.neuron
    if not isinstance(neuron, CrossbarLIF):
        raise BackendError(f"Layer {population.name} is not one of crossbar neurons.")
    samples, steps = next(iter(streams.values())).shape[:2]
    arriving = [(p.synapses.operator(np.int32), streams[p.source]) for p in network.inputs_of(population.name)]
    v, active = np.zeros((population.size, samples), np.int64), np.zeros(population.size, np.int64)
    spikes = np.zeros((samples, steps, population.size), np.bool_)
    for t in range(steps):
        a = sum((w @ s[:, t].T.astype(np.int32) for w, s in arriving), np.zeros(v.shape, np.int64))
        v, fired = crossbar_step(v, np.asarray(a, np.int64), threshold=neuron.threshold, leak=neuron.leak)
        active += ((v != 0) | fired).sum(axis=1)
        spikes[:, t] = fired.T
        if kept is not None:
            kept[:, t] = v.T
    return spikes, active
