"""Networks with lags, natively: populations on a common cycle are stepped together, all others one after another.

Samples side by side are the lanes of a vector, as in `native`; every synapse is taken one by one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...hwmodels.fixed_point import ALIGN
from ...jit import jit_allocating
from ...network.model import IntegerLIF, Network, Population
from ..backends.api import BackendOptions, Recording, empty_registers
from .kernels.step import lif_step

LANES = 64
Int64 = NDArray[np.int64]
Registers = dict[str, NDArray[np.int32]]
Lanes = NDArray[np.uint8]  # (neurons, steps, LANES)


@dataclass(frozen=True)
class _Layer:
    """A population, and what arrives at it: (source, lag, exponent, (indptr, indices, weights))."""

    name: str
    neuron: IntegerLIF
    biases: Int64
    arriving: Sequence[tuple[str, int, int, tuple[Int64, NDArray[np.int32], Int64]]]


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface."""
    flat, samples = network.flat, len(events)
    network = flat.network
    groups = [[_prepare(network, p) for p in group] for group in network.components()]
    spikes = {p.name: np.zeros((samples, network.timesteps, p.size), np.bool_) for p in network.spiking}
    registers = empty_registers(options.registers, network, samples)
    starts = range(0, samples, LANES)
    with ThreadPoolExecutor(options.threads or os.cpu_count() or 1) as pool:
        counted = list(pool.map(lambda start: _run_block(network, groups, events[start : start + LANES], spikes, registers, start), starts))
    active = {p.name: sum((c[p.name] for c in counted), np.zeros(p.size, np.int64)) for p in network.spiking}
    return Recording(spikes, active, registers=registers).spread(flat)


def _prepare(network: Network, population: Population) -> _Layer:
    if not isinstance(population.neuron, IntegerLIF):
        raise BackendError(f"Layer {population.name} is not quantised; the native simulator runs compiled networks.")
    matrices = [(p, p.synapses.unrolled()) for p in network.inputs_of(population.name)]
    arriving = [(p.source, p.lag, p.exponent, (m.indptr, m.indices, m.data.astype(np.int64))) for p, m in matrices]
    return _Layer(population.name, population.neuron, population.biases.astype(np.int64), arriving)


def _run_block(
    network: Network,
    groups: list[list[_Layer]],
    events: NDArray[np.uint8],
    spikes: dict[str, NDArray[np.bool_]],
    registers: Registers,
    start: int,
) -> dict[str, Int64]:
    """Run up to LANES samples, write their spikes and registers into place, return active updates by neuron."""
    filled = len(events)
    entry = np.zeros((events.shape[2], network.timesteps, LANES), np.uint8)
    entry[:, :, :filled] = events.transpose(2, 1, 0)
    streams: dict[str, Lanes] = {network.populations[0].name: entry}
    active: dict[str, Int64] = {}
    for group in groups:
        active |= _run_group(group, network.timesteps, streams, filled, {n: a[start : start + filled] for n, a in registers.items()})
        for layer in group:
            spikes[layer.name][start : start + filled] = streams[layer.name][:, :, :filled].transpose(2, 1, 0)
    return active


def _run_group(group: list[_Layer], timesteps: int, streams: dict[str, Lanes], filled: int, kept: Registers) -> dict[str, Int64]:
    """Run the populations of a cycle, or one: first the sums of input from others, all steps at once; then step by step the cycle's own."""
    names = {layer.name for layer in group}
    shapes = {layer.name: (layer.biases.size, timesteps, LANES) for layer in group}
    currents = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    states = {name: np.zeros((2, shape[0], LANES), np.int64) for name, shape in shapes.items()}
    active = {name: np.zeros(shape[0], np.int64) for name, shape in shapes.items()}
    for layer in group:
        for source, lag, exponent, matrix in layer.arriving:
            if source not in names and lag < timesteps:
                _accumulate(*matrix, exponent, streams[source][:, : timesteps - lag], currents[layer.name][:, lag:])
    streams |= {name: np.zeros(shape, np.uint8) for name, shape in shapes.items()}
    for t in range(timesteps):
        for layer in group:
            current, state, n = currents[layer.name], states[layer.name], layer.neuron
            for source, lag, exponent, matrix in layer.arriving:
                if source in names and lag <= t:
                    _accumulate(*matrix, exponent, streams[source][:, t - lag : t - lag + 1], current[:, t : t + 1])
            registers = (layer.biases, n.du, n.dv, n.vth, n.soft_reset, filled)
            _step(current[:, t], *registers, state[0], state[1], streams[layer.name][:, t], active[layer.name])
            for name, values in zip("uv", state, strict=True):
                if (taken := kept.get(f"{layer.name}.{name}")) is not None:
                    taken[:, t] = values[:, :filled].T
    return active


@jit_allocating
def _accumulate(indptr: Any, indices: Any, weights: Any, exponent: int, source: Any, current: Any) -> None:
    """current[j, t, lane] += (sum over synapses of w * source[i, t, lane]) << exponent."""
    steps, lanes = source.shape[1], source.shape[2]
    total = np.zeros((steps, lanes), current.dtype)
    for j in range(indptr.size - 1):
        total[:] = 0
        for k in range(indptr[j], indptr[j + 1]):
            w = weights[k]
            i = indices[k]
            for t in range(steps):
                for lane in range(lanes):
                    total[t, lane] += w * source[i, t, lane]
        for t in range(steps):
            for lane in range(lanes):
                value = total[t, lane]
                current[j, t, lane] += value << exponent if exponent >= 0 else value >> -exponent


@jit_allocating
def _step(a: Any, biases: Any, du: int, dv: int, vth: int, soft: bool, filled: int, u: Any, v: Any, spikes: Any, active: Any) -> None:
    """Advance (neurons, lanes) by one step, state in place; count the updates that found or left a state."""
    keep_u, keep_v, bar = np.int64(4095 - du), np.int64(4096 - dv), np.int64(vth) << ALIGN
    for j in range(a.shape[0]):
        for lane in range(a.shape[1]):
            arriving = a[j, lane] << ALIGN
            un, vn, fired, after = lif_step(u[j, lane], v[j, lane], arriving, biases[j], keep_u, keep_v, bar, soft)
            active[j] += (lane < filled) & ((un != 0) | (vn != 0))
            u[j, lane], v[j, lane], spikes[j, lane] = un, after, fired
