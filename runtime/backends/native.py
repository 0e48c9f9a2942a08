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
from ..kernels.vectors import CHUNK
from . import _crossbar, _recurrent
from ._base import BackendOptions, Recording
from ._latency import OneSample
from ._program import Arriving, Grid, Layer, Program, prepare

BATCH = 1024
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
        self.wide = {n: _roomy((widths[n], steps[n], g.plane * program.lanes), np.uint8) for n, g in program.grids.items()}
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
            self.scratch[key] = _roomy(shape, kind)
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
        kind = np.uint8 if arriving.most else np.int32
        out = self._buffer(f"windows {arriving.source} {window}", (window.channels, stream.shape[1], window.plane * lanes), kind)
        geometry = (first, pitch, first_out, pitch_out, rows, columns * lanes, lanes)
        sums.sum_windows(stream, arriving.pool, geometry, out)
        return out

    def _run_layer(self, layer: Layer, filled: int) -> None:
        grid, lanes = layer.grid, self.program.lanes
        shape, done = _words(grid, lanes), self.sums[layer.name]
        a = layer.arriving[0] if len(layer.arriving) == 1 else None
        words = self.streams[layer.name].view(np.uint64)
        if a is not None and layer.window:
            source, geometry = self.streams[a.source].view(np.uint64), _words(self.program.grids[a.source], lanes)[3:]
            layers.run_or(source, layer.window, geometry, layer.flags, shape, words, filled, done)
        elif a is not None and a.window is None and grid.positions == 1:
            self._run_flat(layer, a, filled)
        elif a is not None and a.window is not None:
            self._run_map(layer, a, a.window, filled)
        else:
            head = (self._totals(layer), layer.neuron, layer.registers, layer.biases, layer.flags, shape)
            layers.run_neurons(*head, *self._neurons(grid.positions * lanes), words, filled, done)

    def _run_flat(self, layer: Layer, a: Arriving, filled: int) -> None:
        """Run a flat population that one matrix reaches."""
        lanes, out, source = self.program.lanes, self.streams[layer.name], self._flat(a.source)
        state, _, counts, words = self._neurons(lanes)
        acc = self._acc("total", source.shape[1], layer.kind if not a.most else np.int32)
        total = acc[: source.shape[1]].reshape(-1, lanes)
        tail = (layer.neuron, layer.registers, layer.biases, layer.flags[:, 0], lanes)
        done = (state, counts, words, out, filled, self.sums[layer.name][:, :, 0].T)
        if a.most:
            layers.run_rows(a.indptr, a.first, a.weights, a.most, source.reshape(-1), *tail, acc, total, *done)
        else:
            row = self._buffer("acc", (source.shape[1],), a.weights.dtype)
            layers.run_linear(a.indptr, a.first, a.weights, source, *tail, row, total, *done)

    def _run_map(self, layer: Layer, a: Arriving, window: Grid, filled: int) -> None:
        """Run a population that one convolution reaches."""
        grid, lanes, source = layer.grid, self.program.lanes, self._windows(a, window)
        shape, live, n = _words(grid, lanes), source.shape[1], grid.positions * lanes
        body = (layer.neuron, layer.registers, layer.biases, layer.flags)
        tail = (*self._neurons(n), self.streams[layer.name].view(np.uint64), filled, self.sums[layer.name])
        if a.most:
            acc, total = self._acc("acc", a.acc, np.int32), self._buffer("total", (live, n), np.int32)
            head = (a.indptr, a.first, a.weights, a.most, source.reshape(-1), a.plane)
            layers.run_pair_taps(*head, *body, shape, acc, a.rows, total, *tail)
        else:
            acc = self._buffer("acc", (a.acc,), a.weights.dtype)
            total = self._buffer("total", (live, grid.rows, grid.columns * lanes), layer.kind)
            head = (a.indptr, a.first, a.second, a.weights, source)
            layers.run_taps(*head, *body, a.geometry, shape, acc, a.rows, total, *tail)

    def _acc(self, what: str, size: int, kind: Any) -> NDArray[Any]:
        """Return scratch for sums, as long as whole chunks."""
        return self._buffer(what, (-(-size // CHUNK) * CHUNK,), kind)

    def _neurons(self, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the scratch of n neurons: state, spikes, counts of 8 bits and the same in words."""
        counts = self._buffer("counts", (2, n), np.uint8)
        spikes = self._buffer("spikes", (self.program.timesteps, n), np.uint8)
        return self._buffer("state", (3, n), np.int32), spikes, counts, counts.view(np.uint64)

    def _totals(self, layer: Layer) -> NDArray[Any]:
        """Sum all that arrives at a layer, shifted: (channels, live steps, positions * lanes)."""
        grid, lanes = layer.grid, self.program.lanes
        totals = self._buffer("totals", (grid.channels, layer.live, grid.positions * lanes), layer.kind)
        totals[:] = 0
        for a in layer.arriving:
            exponent = 0 if len(layer.arriving) == 1 else a.exponent  # of a single projection, the neurons shift
            if a.window is None:
                self._add_flat(a, exponent, totals)
            else:
                self._add_map(a, a.window, exponent, totals.reshape(grid.channels, layer.live, grid.rows, grid.columns * lanes))
        return totals

    def _add_flat(self, a: Arriving, exponent: int, totals: NDArray[Any]) -> None:
        source, lanes = self._flat(a.source), self.program.lanes
        if a.most:
            acc = self._acc("acc", source.shape[1], np.int32)
            total = acc[: source.shape[1]].reshape(-1, lanes)
            sums.sum_pair_rows(a.indptr, a.first, a.weights, a.most, exponent, source.reshape(-1), lanes, acc, total, totals)
        else:
            acc = self._buffer("acc", (source.shape[1],), a.weights.dtype)
            sums.sum_linear(a.indptr, a.first, a.weights, exponent, source, lanes, acc, totals)

    def _add_map(self, a: Arriving, window: Grid, exponent: int, maps: NDArray[Any]) -> None:
        source = self._windows(a, window)
        if a.most:
            head, acc = (a.indptr, a.first, a.weights, a.most, exponent), self._acc("acc", a.acc, np.int32)
            sums.sum_pair_taps(*head, source.reshape(-1), a.plane, acc, a.rows, maps[:, : source.shape[1]])
        else:
            acc = self._buffer("acc", (a.acc,), a.weights.dtype)
            sums.sum_taps(a.indptr, a.first, a.second, a.weights, exponent, source, a.geometry, acc, a.rows, maps)


def _roomy(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Return zeros, with a chunk behind them that may be read."""
    size = int(np.prod(shape))
    return np.zeros(size + CHUNK, kind)[:size].reshape(shape)


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
