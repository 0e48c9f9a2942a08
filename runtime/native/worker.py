"""A thread of the native simulator: its buffers, and the kernels that each layer takes."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels import layers, moves, sums, tiles
from .kernels.api import run_fused
from .kernels.by_step import add_steps_of
from .kernels.lanes import CHUNK, LINE, SAMPLES, STEPS
from .kernels.limits import STATE, STATE_ROWS
from .program import Arriving, Grid, Layer, Program

ROOM = 1 << 15  # bytes of sums that are run together: they shall stay in the first cache
Stream = NDArray[np.uint8]  # (channels, steps, plane * bytes of a position)


def in_words(size: int) -> int:
    """Return a size rounded up to words of eight bytes."""
    return -(-size // 8) * 8


def taken(blocks: queue.SimpleQueue[range]) -> Iterator[range]:
    """Take blocks of samples until there are none."""
    while True:
        try:
            yield blocks.get_nowait()
        except queue.Empty:
            return


@dataclass
class Worker:
    """One thread's buffers; what they hold of margins stays zero, since only maps are written.

    `sums`: (2, neurons), spikes and active updates of the samples so far; `steps`: (steps, neurons), spikes, where `by_step` asks for them.
    """

    program: Program
    by_step: bool = False
    wide: dict[str, Stream] = field(init=False)
    streams: dict[str, Stream] = field(init=False)
    scratch: dict[tuple[str, tuple[int, ...], str], NDArray[Any]] = field(init=False)
    sums: dict[str, NDArray[np.int64]] = field(init=False)
    steps: dict[str, NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        program = self.program
        widths = {n: in_words(g.channels) if g.plane == 1 else g.channels for n, g in program.grids.items()}
        self.wide = {n: roomy((widths[n], program.rows(n), g.plane * program.unit(n)), np.uint8) for n, g in program.grids.items()}
        self.streams = {n: self.wide[n][: g.channels] for n, g in program.grids.items()}
        self.scratch = {}
        self.sums = {layer.name: np.zeros((2, layer.grid.channels * layer.grid.positions), np.int64) for layer in program.layers}
        sizes = {layer.name: layer.grid.channels * layer.grid.positions for layer in program.layers if self.by_step}
        self.steps = {name: np.zeros((program.timesteps, size), np.int64) for name, size in sizes.items()}

    def run(self, blocks: queue.SimpleQueue[range], events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Take blocks of samples until there are none; write their spikes into place."""
        for samples in taken(blocks):
            self.run_blocks(samples, events, spikes)

    def run_blocks(self, samples: range, events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Run these samples."""
        for start in samples[:: self.program.lanes]:
            self._run_block(start, min(self.program.lanes, samples.stop - start), events, spikes)

    def _run_block(self, start: int, filled: int, events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        program = self.program
        self.gather(events[start : start + filled])
        for layer in program.layers:
            self.run_layer(layer, filled)
            if self.by_step:
                shape = layer.grid.shape(program.unit(layer.name))
                add_steps_of(self.streams[layer.name], shape, (program.lanes, filled), program.packing, self.steps[layer.name])
            if layer.name in spikes:
                self.scatter(layer, spikes[layer.name][start : start + filled].view(np.uint8))

    def gather(self, events: NDArray[np.uint8]) -> None:
        """Write a block's samples into the input's stream.

        Raises:
            BackendError: a payload above the network's levels, on which the proofs of the sums stand.
        """
        program = self.program
        grid, stream, lanes = program.grids[program.entry], self.streams[program.entry], program.lanes
        if self._whole(len(events), events.shape[2]):
            largest = max(int(tiles.gather_tiles(np.ascontiguousarray(events), stream)).to_bytes(8, "little", signed=True))
        else:
            moves.gather(events, grid.shape(lanes), lanes, stream)
            largest = 255
        if largest > program.levels:
            program.check(events)

    def scatter(self, layer: Layer, spikes: NDArray[np.uint8]) -> None:
        """Write a stream's spikes, (samples, steps, neurons); both are as wide as whole words."""
        grid, stream = layer.grid, self.streams[layer.name]
        if self.program.packing == STEPS:
            moves.scatter_steps(stream, grid.shape(1), spikes)
        elif self.program.packing == SAMPLES or grid.positions > 1:
            moves.scatter_maps(stream, grid.shape(1), spikes)
        elif self._whole(len(spikes), spikes.shape[2]):
            tiles.scatter_tiles(self.wide[layer.name], spikes)
        elif len(spikes) == self.program.lanes == CHUNK:
            tiles.scatter_strips(self.wide[layer.name].reshape(-1), 0, spikes, 0)
        else:
            moves.scatter(stream, spikes)

    def _whole(self, samples: int, width: int) -> bool:
        """Return whether tiles move a block of flat streams: all its lanes hold samples, and there are neurons for one tile."""
        return samples == self.program.lanes == CHUNK and width >= CHUNK

    def _buffer(self, what: str, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        """Return scratch memory of this shape and type, the same each time; zeros at first."""
        key = (what, shape, np.dtype(kind).str)
        if key not in self.scratch:
            self.scratch[key] = roomy(shape, kind)
        return self.scratch[key]

    def flat(self, name: str) -> Stream:
        """Return a stream as (neurons, steps * bytes of a position)."""
        grid, stream, unit = self.program.grids[name], self.streams[name], self.program.unit(name)
        if grid.plane == 1:
            return stream.reshape(grid.channels, -1)
        out = self._buffer(f"flat {name}", (grid.channels * grid.positions, stream.shape[1] * unit), np.uint8)
        moves.flatten(stream, grid.shape(unit), unit, out)
        return out

    def _windows(self, a: Arriving, window: Grid) -> NDArray[Any]:
        """Return the stream that a convolution reads: its source's, or the sums of its pooling windows, a sample a byte or wider."""
        stream, lanes = self.streams[a.source], self.program.lanes
        if a.pool == 1 and not a.expand:
            return stream
        _, _, first, pitch = self.program.grids[a.source].shape(self.program.unit(a.source))
        rows, columns, first_out, pitch_out = window.shape(lanes)
        kind = np.uint8 if a.largest < 256 else np.int32
        steps = self.program.timesteps if a.expand else stream.shape[1]
        out = self._buffer(f"windows {a.source} {window}", (window.channels, steps, window.plane * lanes), kind)
        add = (sums.sum_step_windows if self.program.packing == STEPS else sums.sum_bit_windows) if a.expand else sums.sum_windows
        add(stream, a.pool, (first, pitch, first_out, pitch_out, rows, columns * lanes, lanes), out)
        return out

    def run_layer(self, layer: Layer, filled: int) -> None:
        """Run a population over all steps."""
        program, grid = self.program, layer.grid
        a = layer.arriving[0] if len(layer.arriving) == 1 else None
        out, done, shape = self.streams[layer.name], self.sums[layer.name], grid.shape(program.unit(layer.name))
        if a is not None and layer.window and program.unit(a.source) == 1:
            geometry = program.grids[a.source].shape(1)[2:]
            mask = 255 if program.packing == STEPS else (1 << filled) - 1
            layers.run_or(self.streams[a.source], layer.window, geometry, layer.dead, shape, mask, out, done)
        elif layer.fused and filled == CHUNK:
            self._run_fused(layer, layer.arriving[0])
        elif a is not None and a.window is None and grid.plane == 1:
            self._run_flat(layer, a, filled)
        elif a is not None and a.window is not None:
            self._run_map(layer, a, a.window, filled)
        else:
            head = (self._totals(layer), layer.neuron, layer.registers, layer.biases, layer.dead)
            tail = (*self._neurons(grid.positions * program.lanes), program.timesteps, out, done)
            layers.run_neurons(*head, (program.lanes, filled), program.packing, shape, *tail)

    def _run_fused(self, layer: Layer, a: Arriving) -> None:
        """Run a flat population of halving neurons that one matrix reaches, in a full block."""
        source, out, rows = self.flat(a.source).reshape(-1), self.streams[layer.name].reshape(-1), (0, layer.grid.channels)
        place = (self._buffer("fused", (STATE,), np.uint8), out, 0)
        head = (source, a.first, a.weights, a.indptr, *rows, layer.halving, layer.alive, layer.live, self.program.timesteps)
        run_fused(*head, *place, self.sums[layer.name])

    def _run_flat(self, layer: Layer, a: Arriving, filled: int) -> None:
        """Run a flat population that one matrix reaches."""
        lanes, source = self.program.lanes, self.flat(a.source)
        size = self._lanes(source, a)
        state, _, counts, words = self._neurons(lanes)
        acc = self._acc("total", size, np.int32 if a.most else layer.kind)
        total = acc[:size].reshape(-1, lanes)[: layer.live]
        body = (layer.neuron, layer.registers, layer.biases, layer.dead, (lanes, filled), self.program.packing)
        done = (state, counts, words, self.program.timesteps, self.streams[layer.name].reshape(-1), self.sums[layer.name])
        if a.most:
            run = layers.run_bit_rows if a.bits else layers.run_rows
            run(a.indptr, a.first, a.weights, a.most, source.reshape(-1), *body, acc, total, *done)
        else:
            row = self._buffer("acc", (size,), a.weights.dtype)
            layers.run_linear(a.indptr, a.first, a.weights, source, *body, row, total, *done)

    def _lanes(self, source: Stream, a: Arriving) -> int:
        """Return the lanes of a row of a flat stream: samples and steps, those that fill up a byte included."""
        return source.shape[1] // a.unit * (8 if self.program.packing == STEPS and a.bits else self.program.lanes)

    def _run_map(self, layer: Layer, a: Arriving, window: Grid, filled: int) -> None:
        """Run a population that one convolution reaches."""
        program, grid, source = self.program, layer.grid, self._windows(a, window)
        live, width, pitch = source.shape[1], grid.columns * program.lanes, window.pitch * program.lanes
        body = (layer.neuron, layer.registers, layer.biases, layer.dead, (program.lanes, filled))
        shape, done = grid.shape(program.unit(layer.name)), (program.timesteps, self.streams[layer.name], self.sums[layer.name])
        head = (a.indptr, a.first, a.weights, a.most, source.reshape(-1), window.plane * a.unit, window.pitch * a.unit)
        if a.bits and program.packing == STEPS:
            together = min(max(ROOM // (32 * live * width), 1), grid.rows)
            wide = in_words(together * width) + 8
            into = self._buffer("into", (8 * live, wide), np.int32)
            tail = (together, shape, into.reshape(-1), into[: layer.live], *self._neurons(wide), *done)
            layers.run_step_maps(*head, *body, *tail)
        elif a.most:
            together = min(max(ROOM // (4 * live * width), 1), grid.rows)
            acc = self._acc("acc", (together - 1) * pitch + width, np.int32)
            total = self._buffer("total", (live, in_words(together * width)), np.int32)
            run = layers.run_bit_maps if a.bits else layers.run_maps
            run(*head, pitch, *body, program.packing, together, shape, acc, total, *self._neurons(together * width), *done)
        else:
            n = grid.rows * width
            acc = self._extent(a, grid, window, a.weights.dtype)
            total = self._buffer("total", (live, in_words(n)), layer.kind)
            taps = (a.indptr, a.first, a.second, a.weights, source)
            tail = (acc, a.rows, total, *self._neurons(n), *done)
            layers.run_taps(*taps, *body, program.packing, a.geometry, shape, *tail)

    def _extent(self, a: Arriving, grid: Grid, window: Grid, kind: Any) -> NDArray[Any]:
        """Return scratch for a map at its source's pitch, or for a row where the stride is larger than 1."""
        rows = 1 if a.geometry[3] else grid.rows
        return self._buffer("acc", (((rows - 1) * window.pitch + grid.columns) * self.program.lanes,), kind)

    def _acc(self, what: str, size: int, kind: Any) -> NDArray[Any]:
        """Return scratch for sums, as long as whole chunks."""
        return self._buffer(what, (-(-size // CHUNK) * CHUNK,), kind)

    def _neurons(self, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the scratch of n neurons: state, spikes, counts of 8 bits and the same in words."""
        n = in_words(n)
        counts = self._buffer("counts", (2, n), np.uint8)
        width, steps = n // 8 if self.program.packing == SAMPLES else n, self.program.timesteps
        spikes = self._buffer("spikes", (-(-steps // 8) if self.program.packing == STEPS else steps, width), np.uint8)
        return self._buffer("state", (STATE_ROWS, n), np.int32), spikes, counts, counts.view(np.uint64)

    def _totals(self, layer: Layer) -> NDArray[Any]:
        """Sum all that arrives at a layer, shifted: (channels, live steps, at least positions * lanes)."""
        shape = (layer.grid.channels, layer.live, in_words(layer.grid.positions * self.program.lanes))
        totals = self._buffer("totals", shape, layer.kind)
        totals[:] = 0
        for a in layer.arriving:
            exponent = 0 if len(layer.arriving) == 1 else a.exponent  # of a single projection, the neurons shift
            if a.window is None:
                self._add_flat(a, exponent, totals)
            else:
                self._add_map(a, a.window, exponent, layer.grid, totals)
        return totals

    def _add_flat(self, a: Arriving, exponent: int, totals: NDArray[Any]) -> None:
        source, lanes = self.flat(a.source), self.program.lanes
        size = self._lanes(source, a)
        if a.most:
            acc = self._acc("acc", size, np.int32)
            total = acc[:size].reshape(-1, lanes)[: totals.shape[1]]
            add = sums.sum_bit_rows if a.bits else sums.sum_rows
            add(a.indptr, a.first, a.weights, a.most, exponent, source.reshape(-1), lanes, acc, total, totals)
        else:
            acc = self._buffer("acc", (size,), a.weights.dtype)
            sums.sum_linear(a.indptr, a.first, a.weights, exponent, source, lanes, acc, totals)

    def _add_map(self, a: Arriving, window: Grid, exponent: int, grid: Grid, totals: NDArray[Any]) -> None:
        source, width = self._windows(a, window), grid.columns * self.program.lanes
        maps = totals[:, :, : grid.rows * width].reshape(*totals.shape[:2], grid.rows, width)
        if a.bits and self.program.packing == STEPS:
            head = (a.indptr, a.first, a.weights, a.most, exponent, source.reshape(-1), window.plane, window.pitch)
            sums.sum_step_maps(*head, self._buffer("into", (8, in_words(grid.columns) + 8), np.int32), maps)
        elif a.most:
            extent = ((grid.rows - 1) * window.pitch + grid.columns) * self.program.lanes
            head, acc = (a.indptr, a.first, a.weights, a.most, exponent), self._acc("acc", extent, np.int32)
            add = sums.sum_bit_maps if a.bits else sums.sum_maps
            add(*head, source.reshape(-1), window.plane * a.unit, acc, a.rows, maps[:, : source.shape[1]])
        else:
            acc = self._extent(a, grid, window, a.weights.dtype)
            sums.sum_taps(a.indptr, a.first, a.second, a.weights, exponent, source, a.geometry, acc, a.rows, totals)


def roomy(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Return zeros that begin on a cache line, with a chunk behind them that may be read."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE + CHUNK * np.dtype(kind).itemsize, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(kind).reshape(shape)
