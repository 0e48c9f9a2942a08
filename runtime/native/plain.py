"""The native simulator in NumPy and SciPy: it runs if numba is missing, or if compiling kernels takes longer than the work.

A second form of the arithmetic, not the reference's: a layer's sums of all steps are one sparse product, and its registers are kept in
place. Populations on a common cycle have to be stepped together; the reference does that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, STATE_LIMIT
from ...network import reference
from ...network.model import IntegerLIF, Network, Population, Projection
from ..backends.api import BackendOptions, Recording, empty_registers
from .exact import bounds

VALUES_AT_ONCE = 1 << 22  # of a layer's sums: 32 MiB
INT32 = (1 << 31) - 1
NEURON, SYNAPSE = 21e-9, 0.34e-9  # seconds a step, measured on 784-800-10 at 1, 5 and 100 % of its synapses
Array = NDArray[Any]


def independent(network: Network) -> bool:
    """Return whether all of a network runs here, with no part on the reference."""
    return all(p.lag == 0 for p in network.projections)


def seconds(network: Network, samples: int) -> float:
    """Estimate how long a run takes here, from the time per step of each neuron and each synapse."""
    entry, steps = network.populations[0].name, network.timesteps
    once = network.input.is_once
    sums = sum(p.synapses.count * (1 if once and p.source == entry else steps) for p in network.projections)
    return samples * (NEURON * steps * sum(p.size for p in network.spiking) + SYNAPSE * sums)


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface."""
    registers = empty_registers(options.registers, network, len(events))
    streams: dict[str, Array] = {network.populations[0].name: events}
    active: dict[str, NDArray[np.int64]] = {}
    for group in network.components():
        if any(p.lag for member in group for p in network.inputs_of(member.name)):
            streams |= reference.component(network, group, streams, active, registers)
            continue
        for population in group:
            streams[population.name], active[population.name] = _layer(network, population, streams, registers)
    return Recording({p.name: streams[p.name] for p in network.spiking}, active, registers=registers or None)


def _layer(
    network: Network, population: Population, streams: dict[str, Array], registers: reference.Registers
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return a population's spikes (samples, timesteps, neurons), and of each neuron the updates with a state or a spike."""
    neuron = population.neuron
    if not isinstance(neuron, IntegerLIF):
        raise BackendError(f"Layer {population.name} is not quantised; the native simulator runs compiled networks.")
    samples, steps = next(iter(streams.values())).shape[:2]
    spikes = np.zeros((samples, steps, population.size), np.bool_)
    active = np.zeros(population.size, np.int64)
    arriving = [_Product(network, p) for p in network.inputs_of(population.name)]
    for part in _parts(samples, steps * max(population.size, 1)):
        sums = np.zeros((steps, population.size, part.stop - part.start), np.int64)
        for product in arriving:
            product.add(streams[product.source][part], sums)
        kept = {state: registers[name][part] for state in "uv" if (name := f"{population.name}.{state}") in registers}
        active += _run_neurons(neuron, population, sums, spikes[part], kept)
    return spikes, active


def _parts(samples: int, each: int) -> Iterator[slice]:
    step = max(VALUES_AT_ONCE // each, 1)
    return (slice(start, min(start + step, samples)) for start in range(0, samples, step))


class _Product:
    """A projection's weights, in 32 bits where its sums provably fit."""

    def __init__(self, network: Network, projection: Projection) -> None:
        total = bounds(network, projection).total
        self.source, self.exponent = projection.source, projection.exponent
        self.type = np.int32 if total is not None and total <= INT32 else np.int64
        self.weights = projection.synapses.operator(self.type)
        self.steps = 1 if network.payload_of(projection).once else network.timesteps

    def add(self, stream: Array, sums: NDArray[np.int64]) -> None:
        """Add (W s) << exponent of each step of (samples, timesteps, sources) to `sums` (timesteps, targets, samples)."""
        samples, _, sources = stream.shape
        columns = stream[:, : self.steps].transpose(2, 1, 0).reshape(sources, -1)
        found = np.asarray(self.weights @ columns.astype(self.type)).reshape(-1, self.steps, samples).astype(np.int64)
        shifted = found << self.exponent if self.exponent >= 0 else found >> -self.exponent
        sums[: self.steps] += shifted.transpose(1, 0, 2)


def _run_neurons(
    neuron: IntegerLIF, population: Population, sums: NDArray[np.int64], spikes: NDArray[np.bool_], kept: reference.Registers | None = None
) -> NDArray[np.int64]:
    """Step the neurons on their sums, write (samples, timesteps, neurons) spikes and registers, count the busy updates of each neuron."""
    u, v = np.zeros_like(sums[0]), np.zeros_like(sums[0])
    bias, living = population.biases.astype(np.int64)[:, None], population.living[:, None]
    threshold = neuron.vth << ALIGN
    busy = np.zeros(len(u), np.int64)
    for t, arrived in enumerate(sums):
        _decay(u, neuron.du + 1)
        u += arrived << ALIGN
        above, below = u > STATE_LIMIT, u <= -STATE_LIMIT
        u[above] -= 2 * STATE_LIMIT
        u[below] += 2 * STATE_LIMIT
        _decay(v, neuron.dv)
        v += u
        v += bias
        np.clip(v, 1 - STATE_LIMIT, STATE_LIMIT - 1, out=v)
        fired = v > threshold
        v -= np.where(fired, threshold if neuron.soft_reset else v, 0)
        busy += np.count_nonzero((fired | (v != 0) | (u != 0)) & living, axis=1)
        spikes[:, t] = (fired & living).T
        for state, values in (kept or {}).items():
            values[:, t] = ((u if state == "u" else v) * living).T
    return busy


def _decay(state: NDArray[np.int64], constant: int) -> None:
    """Multiply in place by (4096 - constant) / 4096, rounding toward zero."""
    if constant == DECAY_ONE:
        state[:] = 0
    elif constant:
        negative = state < 0
        state *= DECAY_ONE - constant
        state += negative * (DECAY_ONE - 1)  # a floor after this rounds negative values up
        state >>= 12
