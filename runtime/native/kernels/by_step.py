"""Spikes of each neuron at each step, added up over the samples of a block."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....jit import jit
from .lanes import BYTES, SAMPLES
from .layers import ones


@jit
def add_steps_of(stream: Any, shape: Any, block: Any, packing: int, out: Any) -> None:
    """Add a stream's spikes to `out`, int64 (steps, neurons).

    Args:
        stream: (channels, rows of steps, plane), as `packing` says, see `lanes`; shape: as in `moves.spread`.
        block: lanes of a position, and how many of them hold samples.
    """
    rows, columns, first, pitch = shape
    lanes, filled = block
    mask = np.uint8((1 << min(filled, 8)) - 1)
    for t in range(out.shape[0]):
        for c in range(stream.shape[0]):
            for y in range(rows):
                start, neuron = first + y * pitch, (c * rows + y) * columns
                for x in range(columns):
                    if packing == BYTES:
                        total = 0
                        for s in range(filled):
                            total += stream[c, t, start + x * lanes + s]
                        out[t, neuron + x] += total
                    elif packing == SAMPLES:
                        out[t, neuron + x] += ones(stream[c, t, start + x] & mask)
                    else:
                        out[t, neuron + x] += (stream[c, t >> 3, start + x] >> (t & 7)) & 1
