"""Flat networks whose layers are all of halving neurons: many blocks of samples in one call of `kernels.chain`."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .kernels.chain import run_chain
from .kernels.lanes import CHUNK, LINE
from .kernels.limits import STATE
from .program import Arriving, Program
from .worker import roomy, taken


@dataclass(frozen=True)
class Chain:
    """A program whose layers are run in one call, as `kernels.chain.run_chain` takes them; `size`: bytes of a thread's buffer."""

    program: Program
    indptr: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.int8]
    registers: NDArray[np.int16]
    layers: NDArray[np.int64]
    alive: NDArray[np.uint8]
    pitch: int
    origin: int

    @cached_property
    def rows(self) -> dict[str, slice]:
        """Where the neurons of each layer lie."""
        return {layer.name: slice(first, last) for layer, (first, last, _) in zip(self.program.layers, self.layers.tolist(), strict=True)}

    @property
    def size(self) -> int:
        """Bytes of a buffer: inputs, rows, and eight more that are read with the last ones."""
        return self.origin + (len(self.alive) + 8) * self.program.timesteps * CHUNK


def prepare(program: Program) -> Chain | None:
    """Return the chain of a program; None where a layer is of other neurons, or the inputs are fewer than a tile of samples has."""
    entry = program.grids[program.entry]
    if program.maps or entry.channels < CHUNK or not all(layer.fused for layer in program.layers):
        return None
    pitch = (program.live | 1) * LINE  # an odd number of lines: those of a tile lie in different sets of the first cache
    begins, row = {program.entry: 0}, program.timesteps * CHUNK
    origin = place = entry.channels * pitch
    for layer in program.layers:
        begins[layer.name], place = place, place + layer.grid.channels * row
    sizes = np.cumsum([0, *(layer.grid.channels for layer in program.layers)])
    arriving = [layer.arriving[0] for layer in program.layers]
    ends = np.cumsum([0, *(len(a.weights) for a in arriving)])
    return Chain(
        program,
        np.concatenate([[0], *(a.indptr[1:] + end for a, end in zip(arriving, ends[:-1], strict=True))]),
        np.concatenate([_places(program, a, begins[a.source], pitch if a.source == program.entry else row) for a in arriving]),
        np.concatenate([a.weights for a in arriving]),
        np.stack([layer.halving for layer in program.layers if layer.halving is not None]),
        np.stack([sizes[:-1], sizes[1:], [layer.live for layer in program.layers]], axis=1).astype(np.int64),
        np.concatenate([layer.alive for layer in program.layers]),
        pitch,
        origin,
    )


def _places(program: Program, a: Arriving, begin: int, pitch: int) -> NDArray[np.int64]:
    """Return where the sources lie in the buffer, from their places in a stream of their own."""
    return begin + a.first // (program.rows(a.source) * a.unit) * pitch


class ChainWorker:
    """A thread of a chain; it has what `_worker.Worker` has for those that run it. `entering`: payloads that are not 0, by input.

    What is left of a block is filled up with silence, in which no such neuron has a state: it has no bias.
    """

    def __init__(self, chain: Chain, by_step: bool = False) -> None:
        """Make the buffers."""
        del by_step  # chains do not count by step
        self.chain, self.buffer, self.scratch = chain, roomy((chain.size,), np.uint8), roomy((STATE + CHUNK,), np.uint8)
        self.counted, self.steps = np.zeros((2, len(chain.alive)), np.int64), dict[str, NDArray[np.int64]]()
        self.entering = np.zeros(chain.program.grids[chain.program.entry].channels, np.int64)

    @property
    def sums(self) -> dict[str, NDArray[np.int64]]:
        """Spikes and active updates by layer, (2, neurons)."""
        return {name: self.counted[:, rows] for name, rows in self.chain.rows.items()}

    def run(self, blocks: queue.SimpleQueue[range], events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Take blocks of samples until there are none; write their spikes into place."""
        events, out = np.ascontiguousarray(events), spikes[self.chain.program.layers[-1].name].view(np.uint8)
        for samples in taken(blocks):
            whole = samples.start + len(samples) // CHUNK * CHUNK
            self._run_whole(samples.start, whole, events, out)
            left = samples.stop - whole
            if left:
                filled, found = np.zeros((CHUNK, *events.shape[1:]), np.uint8), np.empty((CHUNK, *out.shape[1:]), np.uint8)
                filled[:left] = events[whole : samples.stop]
                self._run_whole(0, CHUNK, filled, found)
                out[whole : samples.stop] = found[:left]

    def _run_whole(self, start: int, stop: int, events: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        c = self.chain
        given = (c.indptr, c.places, c.weights, c.registers, c.layers, c.alive, self.buffer, c.pitch, c.origin, self.scratch)
        seen = int(run_chain(events, start, stop, *given, out, self.counted, self.entering))
        if max(seen.to_bytes(8, "little", signed=True)) > c.program.levels:
            c.program.check(events[start:stop])
