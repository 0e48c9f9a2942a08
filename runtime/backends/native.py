"""The native simulator: numba kernels over lanes of samples, exact.

Feed-forward sums do not depend on the order of spikes, so layers are run one after another, each for all time steps at once: a block of
samples lies side by side, and each weight is loaded once for all of them and all steps. Convolutions slide their surviving taps over
padded planes and are never unrolled. Blocks are shared out to threads, each with buffers of its own. A single sample of a flat network
goes event by event (`_latency`); networks with lags, and so all that hear themselves, run in `_recurrent`.
"""

from __future__ import annotations

import os
import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compile.network import Network
from ..kernels import layers, moves, sums
from . import _crossbar, _recurrent
from ._base import BackendOptions, Recording
from ._latency import OneSample
from ._program import Arriving, Grid, Layer, Program, prepare

BATCH = 1024
GROUP = 16  # flat neurons that are run together
Stream = NDArray[np.uint8]  # (channels, steps, plane * lanes)


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends._base` for the interface."""
    if _crossbar.holds(network):
        return _crossbar.simulate(network, events, options)
    if any(p.lag for p in network.projections):
        return _recurrent.simulate(network, events, options)
    program = prepare(network)
    if program is None:  # maps that the kernels do not take: every synapse one by one
        return simulate(network.flat.network, events, options).spread(network.flat)
    if len(events) == 1 and all(grid.positions == 1 for grid in program.grids.values()):
        return OneSample(network, program).recording(events)
    steps = network.timesteps
    wanted = network.spiking if options.rasters else network.spiking[-1:]
    wide = {p.name: np.empty((len(events), steps, _in_words(p.size)), np.bool_) for p in wanted}
    threads = min(options.threads or os.cpu_count() or 1, -(-len(events) // program.lanes) or 1)
    blocks: queue.SimpleQueue[int] = queue.SimpleQueue()
    for start in range(0, len(events), program.lanes):
        blocks.put(start)
    workers = [_Worker(program) for _ in range(max(threads, 1))]
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(worker.run, blocks, events, wide) for worker in workers]:
            done.result()
    totals = {p.name: sum((w.sums[p.name] for w in workers), np.zeros((1, 2, 1), np.int64)) for p in network.spiking}
    fired, active = ({name: total[:, kind].ravel() for name, total in totals.items()} for kind in (0, 1))
    return Recording({p.name: wide[p.name][:, :, : p.size] for p in wanted}, active, fired)


def _in_words(size: int) -> int:
    """Return a size rounded up to words of eight bytes."""
    return -(-size // 8) * 8


@dataclass
class _Worker:
    """One thread's buffers; what they hold of margins stays zero, since only maps are written."""

    program: Program
    wide: dict[str, Stream] = field(init=False)
    streams: dict[str, Stream] = field(init=False)
    scratch: dict[tuple[str, tuple[int, ...], str], NDArray[Any]] = field(init=False)
    sums: dict[str, NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        program = self.program
        steps = {name: program.live if name == program.entry else program.timesteps for name in program.grids}
        widths = {n: _in_words(g.channels) if g.plane == 1 else g.channels for n, g in program.grids.items()}
        self.wide = {n: np.zeros((widths[n], steps[n], g.plane * program.lanes), np.uint8) for n, g in program.grids.items()}
        self.streams = {n: self.wide[n][: g.channels] for n, g in program.grids.items()}
        self.scratch = {}
        self.sums = {layer.name: np.zeros((layer.grid.channels, 2, layer.grid.positions), np.int64) for layer in program.layers}

    def run(self, blocks: queue.SimpleQueue[int], events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Take blocks of samples until there are none; write their spikes into place."""
        while True:
            try:
                start = blocks.get_nowait()
            except queue.Empty:
                return
            self._run_block(start, events, spikes)

    def _run_block(self, start: int, events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        program = self.program
        filled = min(program.lanes, len(events) - start)
        _gather(events[start : start + filled], program.grids[program.entry], self.streams[program.entry], program.lanes)
        for layer in program.layers:
            self._run_layer(layer, filled)
            if layer.name in spikes:
                _scatter(self.wide[layer.name], layer.grid, program.lanes, spikes[layer.name][start : start + filled].view(np.uint8))

    def _buffer(self, what: str, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        """Return scratch memory of this shape and type, the same each time; zeros at first."""
        key = (what, shape, np.dtype(kind).str)
        if key not in self.scratch:
            self.scratch[key] = np.zeros(shape, kind)
        return self.scratch[key]

    def _flat(self, name: str) -> Stream:
        """Return a stream as (neurons, steps * lanes)."""
        grid, stream = self.program.grids[name], self.streams[name]
        if grid.plane == 1:
            return stream.reshape(grid.channels, -1)
        out = self._buffer(f"flat {name}", (grid.channels * grid.positions, stream.shape[1] * self.program.lanes), np.uint8)
        moves.flatten(stream, grid.shape(self.program.lanes), out)
        return out

    def _windows(self, arriving: Arriving, window: Grid) -> Stream:
        """Return the stream that a convolution reads: its source's, or the sums of its pooling windows."""
        stream, lanes = self.streams[arriving.source], self.program.lanes
        if arriving.pool == 1:
            return stream
        _, _, _, first, pitch = self.program.grids[arriving.source].shape(lanes)
        rows, columns, _, first_out, pitch_out = window.shape(lanes)
        kind = np.uint8 if arriving.source != self.program.entry and arriving.pool < 16 else np.int32
        out = self._buffer(f"windows {arriving.source} {window}", (window.channels, stream.shape[1], window.plane * lanes), kind)
        geometry = (first, pitch, first_out, pitch_out, rows, columns * lanes, lanes)
        sums.sum_windows(stream, arriving.pool, geometry, out)
        return out

    def _run_layer(self, layer: Layer, filled: int) -> None:
        grid, lanes = layer.grid, self.program.lanes
        shape, n, done = _words(grid, lanes), grid.positions * lanes, self.sums[layer.name]
        a = layer.arriving[0] if len(layer.arriving) == 1 else None
        out, words = self.streams[layer.name], self.streams[layer.name].view(np.uint64)
        if a is not None and layer.window:
            source, geometry = self.streams[a.source].view(np.uint64), _words(self.program.grids[a.source], lanes)[3:]
            layers.run_or(source, layer.window, geometry, layer.flags, shape, words, filled, done)
        elif a is not None and a.second is None and grid.positions == 1:
            source, n = self._flat(a.source), GROUP * lanes
            total = self._buffer("total", (source.shape[1] // lanes, n), layer.kind)
            head = (a.indptr, a.first, a.weights, a.exponent, source, layer.neuron, layer.biases, layer.flags[:, 0], lanes)
            acc = self._buffer("acc", (source.shape[1],), a.weights.dtype)
            layers.run_linear(*head, acc, total, *self._neurons(n), out, filled, done[:, :, 0].T)
        elif a is not None and a.window is not None:
            source = self._windows(a, a.window)
            total = self._buffer("total", (source.shape[1], grid.rows, grid.columns * lanes), layer.kind)
            head = (a.indptr, a.first, a.second, a.weights, a.exponent, source, layer.neuron, layer.biases, layer.flags)
            acc = self._buffer("acc", (a.acc,), a.weights.dtype)
            layers.run_taps(*head, a.geometry, shape, acc, a.rows, total, *self._neurons(n), words, filled, done)
        else:
            head = (self._totals(layer), layer.neuron, layer.biases, layer.flags, shape)
            layers.run_neurons(*head, *self._neurons(n), words, filled, done)

    def _neurons(self, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the scratch of n neurons: state, spikes, counts of 8 bits and the same in words."""
        counts = self._buffer("counts", (2, n), np.uint8)
        spikes = self._buffer("spikes", (self.program.timesteps, n), np.uint8)
        return self._buffer("state", (4, n), np.int32), spikes, counts, counts.view(np.uint64)

    def _totals(self, layer: Layer) -> NDArray[Any]:
        """Sum all that arrives at a layer: (channels, live steps, positions * lanes)."""
        grid, lanes = layer.grid, self.program.lanes
        totals = self._buffer("totals", (grid.channels, layer.live, grid.positions * lanes), layer.kind)
        totals[:] = 0
        for a in layer.arriving:
            if a.window is None:
                source = self._flat(a.source)
                acc = self._buffer("acc", (source.shape[1],), a.weights.dtype)
                sums.sum_linear(a.indptr, a.first, a.weights, a.exponent, source, lanes, acc, totals)
            else:
                maps = totals.reshape(grid.channels, layer.live, grid.rows, grid.columns * lanes)
                acc, source = self._buffer("acc", (a.acc,), a.weights.dtype), self._windows(a, a.window)
                sums.sum_taps(a.indptr, a.first, a.second, a.weights, a.exponent, source, a.geometry, acc, a.rows, maps)
        return totals


def _gather(events: NDArray[np.uint8], grid: Grid, stream: Stream, lanes: int) -> None:
    """Write a block's samples into the input's stream, eight by eight where they come in words."""
    if grid.plane == 1 and len(events) == lanes and events.shape[2] % 8 == 0:
        moves.gather_words(np.ascontiguousarray(events).view(np.uint64), stream.view(np.uint64))
    else:
        moves.gather(events, grid.shape(lanes), stream)


def _scatter(stream: Stream, grid: Grid, lanes: int, spikes: NDArray[np.uint8]) -> None:
    """Write a stream's spikes, (samples, steps, neurons), eight by eight where they come in words.

    A flat stream and its spikes are both as wide as whole words.
    """
    whole = len(spikes) == lanes
    if whole and grid.plane == 1:
        moves.scatter_flat_words(stream.view(np.uint64), spikes.view(np.uint64))
    elif whole and grid.columns % 8 == 0:
        moves.scatter_words(stream.view(np.uint64), _words(grid, lanes), spikes.view(np.uint64))
    else:
        moves.scatter(stream[: grid.channels], grid.shape(lanes), spikes)


def _words(grid: Grid, lanes: int) -> tuple[int, int, int, int, int]:
    """Return a grid's shape in words of eight lanes."""
    rows, columns, _, first, pitch = grid.shape(lanes)
    return rows, columns, lanes // 8, first // 8, pitch // 8
