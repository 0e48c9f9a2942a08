"""One sample at minimal latency: events, or eight steps per synapse, in flat layers; eight steps per byte in maps. Buffers are reused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.model import Network
from ..backends.api import Recording
from .kernels.api import run_lanes
from .kernels.events import add_by_eight
from .kernels.lanes import BYTES
from .kernels.limits import EIGHT, STATE_ROWS
from .kernels.neurons import lif_any
from .kernels.sums import add_events
from .program import Arriving, Layer, Program, prepare
from .worker import Worker, in_words, roomy

EVENT = 6  # cost of a synapse of one event, relative to a synapse of eight steps


@dataclass(frozen=True)
class _Arriving:
    """A projection source by source, with the scratch of its sums, and target by target where its numbers are bytes."""

    source: str
    exponent: int
    starts: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[Any]
    acc: NDArray[Any]
    rows: _Rows | None

    def add(self, source: NDArray[np.uint8], live: int, totals: NDArray[Any]) -> None:
        """Add a source's weighted payloads, (steps, neurons), to (steps, targets): event by event, or eight steps per synapse."""
        rows, neurons = self.rows, len(self.starts) - 1
        if rows is None or np.count_nonzero(source) * EVENT < -(-live // EIGHT) * neurons:
            add_events(self.starts, self.targets, self.weights, self.exponent, source[:live, :neurons], self.acc, totals[:live])
        else:
            head = (rows.indptr, rows.places, rows.weights, rows.most, self.exponent)
            add_by_eight(*head, source, live, rows.lines, rows.acc, totals)


@dataclass(frozen=True)
class _Rows:
    """A projection as `kernels.events.add_by_eight` takes it, with its scratch."""

    indptr: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.int8]
    most: int
    lines: NDArray[np.uint8]
    acc: NDArray[np.int32]


@dataclass(frozen=True)
class _Layer:
    """A population's registers and buffers, of which all but `sums` are a multiple of 8 neurons wide: sums of what arrives, state (biases
    first), spikes, counts of 8 and of 64 bits."""

    name: str
    size: int
    live: int
    neuron: tuple[int, int, int, int, int]
    registers: NDArray[np.int32]
    alive: NDArray[np.bool_]
    arriving: tuple[_Arriving, ...]
    totals: NDArray[Any]
    state: NDArray[np.int32]
    spikes: NDArray[np.uint8]
    counts: NDArray[np.uint8]
    sums: NDArray[np.int64]


class OneSample:
    """Runs a network of flat layers sample by sample; not for several threads at once."""

    def __init__(self, network: Network, program: Program) -> None:
        """Lay out `network`, of which `program` has no maps."""
        self.entry, self.live, self.check = program.entry, program.live, program.check
        arriving = {p.name: network.inputs_of(p.name) for p in network.spiking}
        self.layers: list[_Layer] = []
        for layer in program.layers:
            lists: list[_Arriving] = []
            size = layer.grid.channels
            n = -(-size // 8) * 8
            for projection, planned in zip(arriving[layer.name], layer.arriving, strict=True):
                by_source = projection.synapses.unrolled().transposed()
                kind = np.int32 if planned.most else planned.weights.dtype
                weights, targets = by_source.data.astype(kind), by_source.indices.astype(np.int64)
                exponent = 0 if len(layer.arriving) == 1 else projection.exponent  # of a single projection, the neurons shift
                head = (projection.source, exponent, by_source.indptr, targets, weights, np.zeros(n, kind))
                lists.append(_Arriving(*head, _rows(program, layer, planned)))
            state = np.zeros((STATE_ROWS, n), np.int32)
            state[0, :size] = layer.biases
            totals = roomy((-(-layer.live // EIGHT) * EIGHT, n), layer.kind)
            spikes, counts = np.zeros((program.timesteps, n), np.uint8), np.zeros((2, n), np.uint8)
            alive = np.ones(n, np.bool_)
            alive[layer.dead] = False
            head = (layer.name, size, layer.live, layer.neuron, layer.registers, alive, tuple(lists), totals, state, spikes, counts)
            self.layers.append(_Layer(*head, np.zeros((2, n), np.int64)))

    def run(self, events: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Run a sample's payloads, (timesteps, inputs); return each population's spikes (timesteps, neurons), in buffers that are reused.

        Raises:
            BackendError: a payload above the network's levels, on which the proofs of the sums rely.
        """
        self.check(events)
        streams, live = {self.entry: np.ascontiguousarray(events)}, {self.entry: self.live}
        for layer in self.layers:
            layer.totals[:] = 0
            for a in layer.arriving:
                a.add(streams[a.source], live.get(a.source, len(events)), layer.totals)
            totals = layer.totals[: layer.live]
            flat, place = layer.spikes.reshape(-1), (0, layer.spikes.shape[1], len(layer.spikes))
            if layer.neuron[3]:
                run_lanes(totals, layer.size, layer.state, layer.registers, flat, *place, BYTES, layer.counts)
            else:
                layer.sums[:] = 0
                head = (totals, layer.size, layer.neuron, layer.registers, layer.state)
                lif_any(*head, flat, place, BYTES, (1, 1), layer.sums, 0)
            if not layer.alive.all():
                layer.spikes[:, ~layer.alive] = 0
            streams[layer.name] = layer.spikes
        return {layer.name: layer.spikes[:, : layer.size] for layer in self.layers}

    def recording(self, events: NDArray[np.uint8]) -> Recording:
        """Run one sample and return what every backend returns; events (1, timesteps, inputs)."""
        spikes = {name: raster.astype(np.bool_)[None] for name, raster in self.run(events[0]).items()}
        fired = {name: np.count_nonzero(raster, axis=(0, 1)) for name, raster in spikes.items()}
        active = {x.name: ((x.counts if x.neuron[3] else x.sums)[1].astype(np.int64) * x.alive)[: x.size] for x in self.layers}
        return Recording(spikes, active, fired)


def _rows(program: Program, layer: Layer, a: Arriving) -> _Rows | None:
    """Return a projection target by target; None where its numbers are no bytes, or its sums need more than 32 bits."""
    if not a.most or a.bits or layer.kind != np.int32:
        return None
    width = in_words(program.grids[a.source].channels)
    lines, acc = roomy((EIGHT * width,), np.uint8), roomy((EIGHT * in_words(layer.grid.channels),), np.int32)
    return _Rows(a.indptr, a.first // (program.rows(a.source) * a.unit) * EIGHT, a.weights, a.most, lines, acc)


class OneMapSample:
    """Runs a network with maps sample by sample; not for several threads at once."""

    def __init__(self, network: Network, program: Program) -> None:
        """Make the buffers."""
        self.output, self.timesteps = network.populations[-1], network.timesteps
        self.worker = Worker(program)

    def run(self, events: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Run a sample's payloads, (timesteps, inputs); return the output's spikes, (timesteps, neurons)."""
        self.worker.gather(events[None])
        for layer in self.worker.program.layers:
            self.worker.run_layer(layer, 0)  # no lane counts: only spikes are needed
        spikes = np.empty((1, self.timesteps, self.output.size), np.uint8)
        self.worker.scatter(self.worker.program.layers[-1], spikes)
        return {self.output.name: spikes[0]}


def one_sample(network: Network) -> OneSample | OneMapSample | None:
    """Return what runs single samples of `network`; None if it has lags, or maps that the kernels do not take."""
    program = None if any(p.lag for p in network.projections) else prepare(network, few=True)
    if program is None:
        return None
    return OneMapSample(network, program) if program.maps else OneSample(network, program)
