"""Flat networks of halving neurons from samples to spikes in one call: every layer, block after block, without the interpreter.

While a block's first layer is summed, which keeps the processor's ports busy and its memory idle, the next block's samples are called for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .fused import COUNTS, run_fused
from .jit import jit
from .lanes import CHUNK, LINE
from .tiles import call_for, gather_block, scatter_strips


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
) -> int:
    """Run samples `start` to `stop`, whole blocks; return the OR of their payloads, eight bytes.

    Args:
        events: uint8 (samples, steps, inputs), contiguous, at least CHUNK inputs.
        indptr, places, weights: of the rows of all layers one after another, as `run_fused` takes them; places in `buffer`.
        registers: int16 (layers, 6), see `run_fused`.
        layers: int64 (layers, 3): first row, the row after the last, and the steps in which something arrives. Each reads the samples or
            layers before it.
        alive: uint8 by row; removed neurons never spike.
        buffer: uint8, flat: the inputs, `pitch` bytes each, and from `origin` on rows of (steps, CHUNK), eight more than there are; zeros
            at first.
        scratch: uint8 (STATE,).
        spikes: uint8 (samples, steps, width), the last layer's, in whole words; written.
        sums: int64 (2, rows): spikes and active updates, added to.
    """
    _, steps, inputs = events.shape
    flat, counts = events.reshape(events.size), scratch[COUNTS:].view(np.int64)
    size, row, last = CHUNK * steps * inputs, steps * CHUNK, layers.shape[0] - 1
    seen = 0
    for s in range(start, stop, CHUNK):
        seen |= gather_block(flat, s * steps * inputs, steps * inputs, inputs, layers[0, 2], buffer, pitch)
        following = (s + CHUNK) * steps * inputs
        ahead, end = following, min(following + size, stop * steps * inputs)
        share = (size // LINE // layers[0, 1] + 1) * LINE
        for i in range(layers.shape[0]):
            for j in range(layers[i, 0], layers[i, 1]):
                if ahead < end:
                    call_for(flat, ahead, min(ahead + share, end))
                    ahead += share
                if alive[j]:
                    run_fused(
                        buffer,
                        places,
                        weights,
                        indptr[j],
                        indptr[j + 1],
                        registers[i],
                        layers[i, 2],
                        steps,
                        scratch,
                        buffer,
                        origin + j * row,
                    )
                    sums[0, j] += counts[0]
                    sums[1, j] += counts[1]
        scatter_strips(buffer, origin + layers[last, 0] * row, spikes, s)
    return seen
