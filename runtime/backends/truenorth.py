"""The crossbars themselves, tick by tick: axons, bits, levels, delays, one target per neuron. Only the network's shape is used.

    tick:  every axon whose spike is due adds  level[neuron, type of the axon]  to each neuron whose bit is set in its row;
           every neuron leaks, and fires at its threshold: its spike is due at its target axon after that axon's delay.

The input of step t of a sample is sent at tick t; a layer behind d connections runs its step t at tick t + d.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compile.crossbar.artefact import AXONS, SLOTS, Crossbars
from ...errors import BackendError
from ...hwmodels.crossbar import STATE_MAX
from ...jit import jit_allocating
from ...network.model import Network
from .api import BackendOptions, Recording, empty_registers, population_of

BATCH = 256
RECORDS = ("v",)
_Places = tuple[NDArray[np.int64], NDArray[np.int64]]
RING = 16  # ticks that a spike may be in flight, and the current one


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run every core of the deployed network; see `backends.api` for the interface.

    Raises:
        BackendError: the network was not compiled for crossbars, or its events are not spikes.
    """
    crossbars = options.crossbars
    if crossbars is None:
        raise BackendError("This network was not compiled for crossbars. Compile it with --target truenorth, or use --backend native.")
    if events.size and events.max() > 1:
        raise BackendError("Crossbars take single spikes; these events carry payloads. Use --encoding rate or host.")
    flat = network.flat
    network = flat.network
    depth = network.depth()
    ticks = network.timesteps + max(depth.values())
    rows, places = _rows(crossbars), _places(network, crossbars)
    registers = empty_registers(options.registers, network, len(events))
    kept = {name: (places[population_of(name)], depth[population_of(name)], array) for name, array in registers.items()}
    with ThreadPoolExecutor(options.threads or os.cpu_count() or 1) as pool:
        rasters = list(pool.map(lambda i: _run_sample(events[i], crossbars, rows, ticks, i, kept), range(len(events))))
    return replace(_recording(network, places, rasters, depth), registers=registers).spread(flat)


def _rows(crossbars: Crossbars) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the set bits by axon: pointers (cores * 256 + 1,), and neuron slots."""
    bits = crossbars.bits.reshape(-1, SLOTS)
    return np.concatenate([[0], np.cumsum(bits.sum(axis=1, dtype=np.int64))]), np.nonzero(bits)[1].astype(np.int64)


def _run_sample(
    sample: NDArray[np.uint8],
    c: Crossbars,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    ticks: int,
    number: int,
    kept: dict[str, tuple[_Places, int, NDArray[np.int32]]],
) -> NDArray[np.uint8]:
    """Return the spikes of every physical neuron at every tick; write the recorded potentials of this sample, the `number`-th."""
    out = np.zeros((ticks, c.cores, SLOTS), np.uint8)
    potentials = np.zeros((ticks if kept else 0, c.cores, SLOTS), np.int32)
    _run(sample, c.inputs, c.axon_type, c.axon_delay, rows[0], rows[1], c.levels, c.threshold, c.leak, c.target, out, potentials)
    for (cores, slots), late, array in kept.values():
        array[number] = potentials[late : late + array.shape[1], cores, slots]
    return out


def _places(network: Network, crossbars: Crossbars) -> dict[str, _Places]:
    """Return the core and the slot of each logical neuron's first copy, by population."""
    cores, slots = np.nonzero(crossbars.logical >= 0)
    order = np.unique(crossbars.logical[cores, slots], return_index=True)[1]
    ends = np.cumsum([p.size for p in network.on_chip])
    return {p.name: (cores[mine], slots[mine]) for p, mine in zip(network.on_chip, np.split(order, ends)[:-1], strict=True)}


def _recording(network: Network, places: dict[str, _Places], rasters: list[NDArray[np.uint8]], depth: dict[str, int]) -> Recording:
    """Read each logical neuron from its first copy, in the local time of its layer."""
    spikes: dict[str, NDArray[np.bool_]] = {}
    for p in network.on_chip:
        (cores, slots), late = places[p.name], depth[p.name]
        parts = [r[late : late + network.timesteps, cores, slots] for r in rasters]
        spikes[p.name] = np.stack(parts).astype(np.bool_) if parts else np.zeros((0, network.timesteps, p.size), np.bool_)
    return Recording(spikes)


@jit_allocating
def _run(
    sample: Any,
    inputs: Any,
    kinds: Any,
    delays: Any,
    pointers: Any,
    slots: Any,
    levels: Any,
    thresholds: Any,
    leaks: Any,
    targets: Any,
    out: Any,
    potentials: Any,
) -> None:
    """Write the spikes and, if there is room, the potentials of every physical neuron at every tick, (ticks, cores, 256)."""
    ticks, cores, neurons = out.shape
    due = np.zeros((RING, cores, AXONS), np.uint8)
    v = np.zeros((cores, neurons), np.int64)
    for tick in range(ticks):
        if tick < sample.shape[0]:
            for i in range(inputs.shape[0]):
                if sample[tick, inputs[i, 0]]:
                    core, axon = inputs[i, 1], inputs[i, 2]
                    due[(tick + delays[core, axon]) % RING, core, axon] = 1
        now = due[tick % RING]
        for core in range(cores):
            for axon in range(AXONS):
                if now[core, axon]:
                    now[core, axon] = 0
                    kind, row = kinds[core, axon], core * AXONS + axon
                    for k in range(pointers[row], pointers[row + 1]):
                        v[core, slots[k]] += levels[core, slots[k], kind]
            for n in range(neurons):
                state = min(max(v[core, n], -STATE_MAX), STATE_MAX)
                leak = min(abs(state), np.int64(leaks[core, n]))
                state -= leak if state > 0 else -leak
                if state >= thresholds[core, n]:
                    out[tick, core, n] = 1
                    state = 0
                    goal, axon = targets[core, n, 0], targets[core, n, 1]
                    if goal >= 0:
                        due[(tick + delays[goal, axon]) % RING, goal, axon] = 1
                v[core, n] = state
                if potentials.shape[0]:
                    potentials[tick, core, n] = state
