"""Samples to lanes and back, 64 x 64 bytes at a time: a transposition is all that lies between them."""

from __future__ import annotations

from typing import Any

from ....jit import jit, jit_inner
from .api import count_and_transpose, strip, transpose
from .lanes import CHUNK


@jit_inner
def gather_block(source: Any, at: int, apart: int, steps: int, out: Any, pitch: int, few: Any, counts: Any) -> int:
    """Write a full block of samples, `apart` bytes each, from `at` on, as inputs, `pitch` bytes each: (steps, CHUNK).

    At least CHUNK inputs; the last tile lies upon the one before where they are no multiple.

    Args:
        few: uint8 (CHUNK,), scratch.
        counts: int64 by input: payloads that are not 0, added to.

    Returns:
        The OR of what was read, eight bytes.
    """
    seen, inputs = 0, counts.size
    for t in range(steps):
        for tile in range(0, inputs, CHUNK):
            i = min(tile, inputs - CHUNK)
            seen |= count_and_transpose(source, at + t * inputs + i, apart, out, i * pitch + t * CHUNK, pitch, few)
            for k in range(tile - i, CHUNK):
                counts[i + k] += few[k]
    return seen


@jit
def gather_tiles(events: Any, out: Any) -> int:
    """Do this, without counts, from uint8 (CHUNK samples, steps, inputs) to (inputs, steps, CHUNK); steps beyond out's are dropped."""
    samples, steps, inputs = events.shape
    source, into, seen = events.reshape(events.size), out.reshape(out.size), 0
    for t in range(out.shape[1]):
        for tile in range(0, inputs, CHUNK):
            i = min(tile, inputs - CHUNK)
            seen |= transpose(source, t * inputs + i, steps * inputs, into, (i * out.shape[1] + t) * samples, out.shape[1] * samples)
    return seen


@jit
def scatter_tiles(stream: Any, spikes: Any) -> None:
    """Write the spikes of a full block of a flat stream, (at least neurons, steps, CHUNK), as (CHUNK samples, steps, neurons)."""
    lanes, steps, neurons = spikes.shape
    source, into = stream.reshape(stream.size), spikes.reshape(spikes.size)
    for t in range(steps):
        for tile in range(0, neurons, CHUNK):
            c = min(tile, neurons - CHUNK)
            transpose(source, (c * steps + t) * lanes, steps * lanes, into, t * neurons + c, steps * neurons)


@jit
def scatter_strips(source: Any, at: int, spikes: Any, first: int) -> None:
    """Do this from `at` on in a flat array to samples from `first` on, eight neurons at a time; the spikes are as wide as whole words."""
    _, steps, neurons = spikes.shape
    into, pitch, apart = spikes.reshape(spikes.size), steps * CHUNK, steps * neurons
    for t in range(steps):
        for c in range(0, neurons, 8):
            strip(source, at + c * pitch + t * CHUNK, pitch, into, first * apart + t * neurons + c, apart)
