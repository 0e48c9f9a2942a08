"""The native simulator: numba kernels over lanes of samples, exact.

Feed-forward sums do not depend on the order of spikes, so layers are run one after another, each for all time steps at
once: 64 samples side by side are the lanes of a vector, and each weight is loaded once for all of them and all steps.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...compile.network import IntegerLIF, Network, Population
from ...errors import BackendError
from ._base import BackendOptions, Recording

BATCH = 1024
LANES = 64
Lanes = NDArray[np.uint8]  # (neurons, steps, LANES)


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends._base` for the interface."""
    flat, samples = network.flat, len(events)
    network = flat.network
    layers = [_prepare(network, p) for p in network.spiking]
    spikes = {p.name: np.zeros((samples, network.timesteps, p.size), np.bool_) for p in network.spiking}
    threads = options.threads or os.cpu_count() or 1
    starts = range(0, samples, LANES)
    with ThreadPoolExecutor(threads) as pool:
        counted = list(pool.map(lambda start: _run_block(network, layers, events[start : start + LANES], spikes, start), starts))
    active = {p.name: sum((c[p.name] for c in counted), np.zeros(p.size, np.int64)) for p in network.spiking}
    return Recording(spikes, active).spread(flat)


@dataclass(frozen=True)
class _Layer:
    """A population with what arrives at it, weights in the integers that its sums need: (source, exponent, indptr, indices, weights)."""

    population: Population
    neuron: IntegerLIF
    accumulator: type[np.signedinteger[Any]]
    arriving: list[tuple[str, int, NDArray[np.int64], NDArray[np.int32], NDArray[Any]]]
    biases: NDArray[np.int64]


def _prepare(network: Network, population: Population) -> _Layer:
    if not isinstance(population.neuron, IntegerLIF):
        raise BackendError(f"Layer {population.name} is not quantised; the native simulator runs compiled networks.")
    accumulator = _accumulator(network, population)
    projections = network.inputs_of(population.name)
    matrices = [(p, p.synapses.unrolled()) for p in projections]
    arriving = [(p.source, p.exponent, m.indptr, m.indices, m.data.astype(accumulator)) for p, m in matrices]
    return _Layer(population, population.neuron, accumulator, arriving, population.biases.astype(np.int64))


def _run_block(
    network: Network, layers: list[_Layer], events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]], start: int
) -> dict[str, NDArray[np.int64]]:
    """Run up to LANES samples, write their spikes into place, return active updates by neuron."""
    filled = len(events)
    live = 1 if network.input.encoding in ("current", "host") else network.timesteps
    entry = np.zeros((events.shape[2], live, LANES), np.uint8)
    entry[:, :, :filled] = events[:, :live].transpose(2, 1, 0)
    streams: dict[str, Lanes] = {network.populations[0].name: entry}
    active: dict[str, NDArray[np.int64]] = {}
    for layer in layers:
        name = layer.population.name
        streams[name], active[name] = _run_layer(layer, network.timesteps, streams, filled)
        spikes[name][start : start + filled] = streams[name][:, :, :filled].transpose(2, 1, 0)
    return active


def _run_layer(layer: _Layer, timesteps: int, streams: dict[str, Lanes], filled: int) -> tuple[Lanes, NDArray[np.int64]]:
    population, neuron = layer.population, layer.neuron
    current = np.zeros((population.size, timesteps, LANES), layer.accumulator)
    for source, exponent, indptr, indices, weights in layer.arriving:
        _accumulate(indptr, indices, weights, exponent, streams[source], current)
    out = np.zeros(current.shape, np.uint8)
    active = np.zeros(population.size, np.int64)
    _lif(current, layer.biases, neuron.du, neuron.dv, neuron.vth, filled, out, active)
    return out, active


def _accumulator(network: Network, population: Population) -> type[np.signedinteger[Any]]:
    """Return int32 where no sum of 8-bit payloads can pass 2^31, else int64."""
    bound = 0
    for projection in network.inputs_of(population.name):
        synapses = projection.synapses
        largest = int(synapses.forward(np.abs(synapses.data), np.ones(synapses.shape[1])).max(initial=0)) * 255
        bound += largest << max(projection.exponent, 0)
    return np.int32 if bound < 1 << 31 else np.int64


@numba.njit(cache=True, nogil=True)
def _accumulate(indptr: Any, indices: Any, weights: Any, exponent: int, source: Any, current: Any) -> None:
    """current[j, t, lane] += (sum over synapses of w * source[i, t, lane]) << exponent;  steps that `source` lacks are silent."""
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


@numba.njit(cache=True, nogil=True)
def _decayed(state: Any, keep: Any) -> Any:
    """Round  state * keep / 4096  toward zero."""
    product = state * keep
    return (product + ((product >> 63) & 4095)) >> 12


@numba.njit(cache=True, nogil=True)
def _lif(current: Any, biases: Any, du: int, dv: int, vth: int, filled: int, out: Any, active: Any) -> None:
    """The equations of hwmodels.fixed_point.lif_step, neuron by neuron over all steps; counts updates that found or left a state."""
    neurons, steps, lanes = current.shape
    limit = np.int64(1 << 23)
    keep_u, keep_v = np.int64(4095 - du), np.int64(4096 - dv)
    bar = np.int64(vth) << 6
    u = np.zeros(lanes, np.int64)
    v = np.zeros(lanes, np.int64)
    for j in range(neurons):
        u[:] = 0
        v[:] = 0
        busy = 0
        bias = biases[j]
        for t in range(steps):
            for lane in range(lanes):
                un = _decayed(u[lane], keep_u) + (np.int64(current[j, t, lane]) << 6)
                if un > limit:
                    un -= 2 * limit
                elif un <= -limit:
                    un += 2 * limit
                vn = min(max(_decayed(v[lane], keep_v) + un + bias, 1 - limit), limit - 1)
                fired = vn > bar
                busy += (lane < filled) & ((un != 0) | (vn != 0))
                u[lane] = un
                v[lane] = 0 if fired else vn
                out[j, t, lane] = fired
        active[j] = busy
