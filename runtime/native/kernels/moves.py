"""Between samples, (samples, steps, neurons), and streams, (channels, steps, plane), in which the samples lie innermost."""

from __future__ import annotations

from typing import Any

from ....jit import jit


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
