"""Between samples, (samples, steps, neurons), and streams, (channels, steps, plane), in which the samples lie innermost."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import jit


@jit
def spread(spikes: Any, shape: Any, unit: int, row: int, size: int, channel: int, out: Any) -> None:
    """Write `size` rows of one channel's map, from `row` on, into its plane of the stream.

    Args:
        spikes: (steps, at least size * columns * unit).
        shape: rows, columns, first byte and row length of the plane; unit: bytes of a position.
        out: (channels, steps, plane).
    """
    width, first, pitch = shape[1] * unit, shape[2], shape[3]
    for t in range(out.shape[1]):
        for y in range(size):
            for x in range(width):
                out[channel, t, first + (row + y) * pitch + x] = spikes[t, y * width + x]


@jit
def _swap(low: Any, high: Any, bits: Any, mask: Any) -> Any:
    """Exchange the upper part of each field of `low` with the lower part of the field of `high`."""
    return (low & mask) | ((high & mask) << bits), ((low >> bits) & mask) | (high & ~mask)


@jit
def _transposed(w: Any) -> Any:
    """Transpose 8 x 8 bytes: byte j of word i becomes byte i of word j. Halves, quarters, then single bytes change places."""
    bits, mask = np.uint64(32), np.uint64(0x00000000FFFFFFFF)
    (a0, a4), (a1, a5) = _swap(w[0], w[4], bits, mask), _swap(w[1], w[5], bits, mask)
    (a2, a6), (a3, a7) = _swap(w[2], w[6], bits, mask), _swap(w[3], w[7], bits, mask)
    bits, mask = np.uint64(16), np.uint64(0x0000FFFF0000FFFF)
    (b0, b2), (b1, b3) = _swap(a0, a2, bits, mask), _swap(a1, a3, bits, mask)
    (b4, b6), (b5, b7) = _swap(a4, a6, bits, mask), _swap(a5, a7, bits, mask)
    bits, mask = np.uint64(8), np.uint64(0x00FF00FF00FF00FF)
    (c0, c1), (c2, c3) = _swap(b0, b1, bits, mask), _swap(b2, b3, bits, mask)
    (c4, c5), (c6, c7) = _swap(b4, b5, bits, mask), _swap(b6, b7, bits, mask)
    return c0, c1, c2, c3, c4, c5, c6, c7


@jit
def gather_words(events: Any, out: Any) -> Any:
    """Do what `gather` does for a full block of a flat stream, in words: (samples, steps, inputs / 8) to (inputs, steps, lanes / 8).

    Returns the OR of all words.
    """
    seen = np.uint64(0)
    for t in range(out.shape[1]):
        for i in range(events.shape[2]):
            for lane in range(out.shape[2]):
                s = lane * 8
                w = (
                    events[s, t, i],
                    events[s + 1, t, i],
                    events[s + 2, t, i],
                    events[s + 3, t, i],
                    events[s + 4, t, i],
                    events[s + 5, t, i],
                    events[s + 6, t, i],
                    events[s + 7, t, i],
                )
                seen |= w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]
                c = _transposed(w)
                for k in range(8):
                    out[i * 8 + k, t, lane] = c[k]
    return seen


@jit
def gather(events: Any, shape: Any, lanes: int, out: Any) -> None:
    """Write (samples, steps, inputs) payloads into a stream; lanes without a sample become zero. Steps beyond the stream's are dropped."""
    rows, columns, first, pitch = shape
    for c in range(out.shape[0]):
        for t in range(out.shape[1]):
            for y in range(rows):
                for x in range(columns):
                    where, i = first + y * pitch + x * lanes, (c * rows + y) * columns + x
                    for s in range(lanes):
                        out[c, t, where + s] = events[s, t, i] if s < events.shape[0] else 0


@jit
def scatter_flat_words(stream: Any, spikes: Any) -> None:
    """Write the spikes of a full block of a flat stream, (channels, steps, lanes / 8) words, as (samples, steps, channels / 8)."""
    for t in range(spikes.shape[1]):
        for i in range(spikes.shape[2]):
            c = i * 8
            for lane in range(stream.shape[2]):
                w = (
                    stream[c, t, lane],
                    stream[c + 1, t, lane],
                    stream[c + 2, t, lane],
                    stream[c + 3, t, lane],
                    stream[c + 4, t, lane],
                    stream[c + 5, t, lane],
                    stream[c + 6, t, lane],
                    stream[c + 7, t, lane],
                )
                moved = _transposed(w)
                for s in range(8):
                    spikes[lane * 8 + s, t, i] = moved[s]


@jit
def scatter(stream: Any, spikes: Any) -> None:
    """Write a flat stream's spikes, (neurons, steps, lanes), as (samples, steps, neurons)."""
    for s in range(spikes.shape[0]):
        for t in range(spikes.shape[1]):
            for c in range(stream.shape[0]):
                spikes[s, t, c] = stream[c, t, s]


@jit
def scatter_maps(stream: Any, shape: Any, spikes: Any) -> None:
    """Write a stream's spikes, a byte a position with a sample a bit, as (samples, steps, neurons); `shape`: as in `spread`."""
    rows, columns, first, pitch = shape
    for s in range(spikes.shape[0]):
        for t in range(spikes.shape[1]):
            for c in range(stream.shape[0]):
                for y in range(rows):
                    line, i = stream[c, t, first + y * pitch :], (c * rows + y) * columns
                    for x in range(columns):
                        spikes[s, t, i + x] = (line[x] >> s) & 1


@jit
def scatter_steps(stream: Any, shape: Any, spikes: Any) -> None:
    """Do the same for one sample's stream, a byte being eight steps of a position; `spikes`: (1, steps, neurons)."""
    rows, columns, first, pitch = shape
    for t in range(spikes.shape[1]):
        for c in range(stream.shape[0]):
            for y in range(rows):
                line, i = stream[c, t >> 3, first + y * pitch :], (c * rows + y) * columns
                for x in range(columns):
                    spikes[0, t, i + x] = (line[x] >> (t & 7)) & 1


@jit
def flatten(stream: Any, shape: Any, unit: int, out: Any) -> None:
    """Write a map's stream, `unit` bytes a position, as (neurons, steps * unit); `shape`: as in `spread`."""
    rows, columns, first, pitch = shape
    for c in range(stream.shape[0]):
        for y in range(rows):
            for x in range(columns):
                line, where = out[(c * rows + y) * columns + x], first + y * pitch + x * unit
                for t in range(stream.shape[1]):
                    for s in range(unit):
                        line[t * unit + s] = stream[c, t, where + s]
