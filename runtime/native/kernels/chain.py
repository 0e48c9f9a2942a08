"""Flat networks of halving neurons from samples to spikes in one call: every layer, block after block, without the interpreter."""

from __future__ import annotations

from typing import Any

from ....jit import jit
from .api import run_fused
from .lanes import CHUNK
from .limits import STATE
from .tiles import gather_block, scatter_strips


@jit
def run_chain(
    events: Any,
    start: int,
    stop: int,
    indptr: Any,
    places: Any,
    weights: Any,
    registers: Any,
    layers: Any,
    alive: Any,
    buffer: Any,
    pitch: int,
    origin: int,
    scratch: Any,
    spikes: Any,
    sums: Any,
    entering: Any,
) -> int:
    """Run samples `start` to `stop`, whole blocks; return the OR of their payloads, eight bytes.

    Args:
        events: uint8 (samples, steps, inputs), contiguous, at least CHUNK inputs.
        indptr, places, weights: of the rows of all layers one after another, as `run_fused` takes them; places in `buffer`.
        registers: int16 (layers, 6), see `run_fused`.
        layers: int64 (layers, 3): first row, the row after the last, and the steps in which something arrives. Each reads the samples or
            layers before it.
        alive: as in `run_fused`.
        buffer: uint8, flat: the inputs, `pitch` bytes each, and from `origin` on rows of (steps, CHUNK), eight more than there are; zeros
            at first.
        scratch: uint8 (STATE + CHUNK,).
        spikes: uint8 (samples, steps, width), the last layer's, in whole words; written.
        sums: int64 (2, rows): spikes and active updates, added to.
        entering: int64 by input: payloads that are not 0, added to.
    """
    _, steps, inputs = events.shape
    few = scratch[STATE:]
    flat, size, row, seen = events.reshape(events.size), steps * inputs, steps * CHUNK, 0
    for s in range(start, stop, CHUNK):
        seen |= gather_block(flat, s * size, size, layers[0, 2], buffer, pitch, few, entering)
        for i in range(layers.shape[0]):
            first, last, live = layers[i, 0], layers[i, 1], layers[i, 2]
            at = origin + first * row
            run_fused(buffer, places, weights, indptr, first, last, registers[i], alive, live, steps, scratch, buffer, at, sums)
        scatter_strips(buffer, origin + layers[-1, 0] * row, spikes, s)
    return seen
