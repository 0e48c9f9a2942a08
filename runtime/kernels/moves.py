"""Between samples, (samples, steps, neurons), and streams, (channels, steps, plane), in which the samples lie innermost."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True)


@_jit
def spread(spikes: Any, shape: Any, out: Any) -> None:
    """Write one channel's spikes, (steps, positions * lanes), into its plane of the stream, (steps, plane); both in words of eight lanes.

    `shape`: rows, columns, words of lanes, first word and row length of the plane.
    """
    rows, columns, each, first, pitch = shape
    width = columns * each
    for t in range(spikes.shape[0]):
        line, into = spikes[t], out[t]
        for y in range(rows):
            start = first + y * pitch
            part, place = line[y * width : (y + 1) * width], into[start : start + width]
            for i in range(width):
                place[i] = part[i]


@_jit
def _swap(low: Any, high: Any, bits: Any, mask: Any) -> Any:
    """Exchange the upper part of each field of `low` with the lower part of the field of `high`."""
    return (low & mask) | ((high & mask) << bits), ((low >> bits) & mask) | (high & ~mask)


@_jit
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


@_jit
def gather_words(events: Any, out: Any) -> None:
    """Do what `gather` does for a full block of a flat stream, in words: (samples, steps, inputs / 8) to (inputs, steps, lanes / 8)."""
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
                c = _transposed(w)
                for k in range(8):
                    out[i * 8 + k, t, lane] = c[k]


@_jit
def gather(events: Any, shape: Any, out: Any) -> None:
    """Write (samples, steps, inputs) payloads into a stream; lanes without a sample become zero. Steps beyond the stream's are dropped."""
    rows, columns, lanes, first, pitch = shape
    for c in range(out.shape[0]):
        for t in range(out.shape[1]):
            for y in range(rows):
                for x in range(columns):
                    where, i = first + y * pitch + x * lanes, (c * rows + y) * columns + x
                    for s in range(lanes):
                        out[c, t, where + s] = events[s, t, i] if s < events.shape[0] else 0


@_jit
def scatter_words(stream: Any, shape: Any, spikes: Any) -> None:
    """Do what `scatter` does for a full block whose rows of neurons are words: `stream`: (channels, steps, plane / 8), `spikes` likewise.

    `shape`: as in `spread`, in words.
    """
    rows, columns, each, first, pitch = shape
    for t in range(spikes.shape[1]):
        for c in range(stream.shape[0]):
            line = stream[c, t]
            for y in range(rows):
                start, i = first + y * pitch, (c * rows + y) * columns // 8
                for x in range(columns // 8):
                    for lane in range(each):
                        k = start + x * 8 * each + lane
                        w = (
                            line[k],
                            line[k + each],
                            line[k + 2 * each],
                            line[k + 3 * each],
                            line[k + 4 * each],
                            line[k + 5 * each],
                            line[k + 6 * each],
                            line[k + 7 * each],
                        )
                        moved = _transposed(w)
                        for s in range(8):
                            spikes[lane * 8 + s, t, i + x] = moved[s]


@_jit
def scatter_flat_words(stream: Any, spikes: Any) -> None:
    """Do the same for a flat stream, (channels, steps, lanes / 8) words, into (samples, steps, channels / 8)."""
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


@_jit
def scatter(stream: Any, shape: Any, spikes: Any) -> None:
    """Write a stream's spikes as (samples, steps, neurons)."""
    rows, columns, lanes, first, pitch = shape
    for s in range(spikes.shape[0]):
        for t in range(spikes.shape[1]):
            for c in range(stream.shape[0]):
                for y in range(rows):
                    start, i = first + y * pitch + s, (c * rows + y) * columns
                    for x in range(columns):
                        spikes[s, t, i + x] = stream[c, t, start + x * lanes]


@_jit
def flatten(stream: Any, shape: Any, out: Any) -> None:
    """Write a map's stream as (neurons, steps * lanes)."""
    rows, columns, lanes, first, pitch = shape
    for c in range(stream.shape[0]):
        for y in range(rows):
            for x in range(columns):
                line, where = out[(c * rows + y) * columns + x], first + y * pitch + x * lanes
                for t in range(stream.shape[1]):
                    for s in range(lanes):
                        line[t * lanes + s] = stream[c, t, where + s]
