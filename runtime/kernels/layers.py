"""Whole layers: sums, neurons and counts, a few neurons at a time while all of it is in the cache."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from .moves import spread
from .neurons import run_states
from .sums import add_steps, add_strided_taps, add_taps, sum_row

_jit = numba.njit(cache=True, nogil=True)


@_jit
def run_linear(
    indptr: Any,
    indices: Any,
    weights: Any,
    exponent: int,
    source: Any,
    neuron: Any,
    biases: Any,
    flags: Any,
    lanes: int,
    acc: Any,
    total: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    out: Any,
    filled: int,
    sums: Any,
) -> None:
    """Run a flat population with one projection: sums, neurons and counts, a few neurons at a time while all of it is in the cache.

    Args:
        source: (sources, live steps * lanes); `out`: (neurons, steps, lanes); `sums`: (2, neurons).
        total: scratch, (live steps, neurons at a time * lanes), as wide as `state`, `spikes` and `counts`; the rest as in `run_states`.
    """
    group, steps = total.shape[1] // lanes, spikes.shape[0]
    parts, apart = total.reshape(total.shape[0], group, lanes), spikes.reshape(steps, group, lanes)
    sums_of, start = acc.reshape(total.shape[0], lanes), state[0].reshape(group, lanes)
    for first in range(0, out.shape[0], group):
        size = min(group, out.shape[0] - first)
        total[:] = 0
        for k in range(size):
            sum_row(indptr, indices, weights, source, first + k, acc)
            add_steps(sums_of, exponent, parts[:, k])
            start[k] = biases[first + k]
        stop = first + size
        run_states(total, neuron, flags[first:stop], lanes, state, spikes, counts, words, filled, sums[:, first:stop])
        for k in range(size):
            into = out[first + k]
            for t in range(steps):
                for lane in range(lanes):
                    into[t, lane] = apart[t, k, lane]


@_jit
def run_taps(
    indptr: Any,
    channel: Any,
    offset: Any,
    weights: Any,
    exponent: int,
    source: Any,
    neuron: Any,
    biases: Any,
    flags: Any,
    geometry: Any,
    shape: Any,
    acc: Any,
    rows: Any,
    total: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    out: Any,
    filled: int,
    sums: Any,
) -> None:
    """Do the same for the output channels of one convolution; see `add_taps`, `add_strided_taps` (geometry[3] != 0) and `spread`.

    `flags`: (channels, positions); `sums`: (channels, 2, positions); `shape` and `out`, (channels, steps, plane), in words.
    """
    lanes, spike_words = 8 * shape[2], spikes.view(np.uint64)
    for o in range(out.shape[0]):
        total[:] = 0
        if geometry[3]:
            add_strided_taps(indptr, channel, offset, weights, exponent, source, o, acc, geometry, total)
        else:
            add_taps(indptr, channel, offset, weights, exponent, source, o, acc, rows, total)
        inputs = total.reshape(total.shape[0], total.shape[1] * total.shape[2])
        state[0] = biases[o]
        run_states(inputs, neuron, flags[o], lanes, state, spikes, counts, words, filled, sums[o])
        spread(spike_words, shape, out[o])


@_jit
def run_neurons(
    totals: Any,
    neuron: Any,
    biases: Any,
    flags: Any,
    shape: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    out: Any,
    filled: int,
    sums: Any,
) -> None:
    """Run the neurons of `totals`, (channels, steps, positions * lanes), channel by channel; see `run_states` and `spread`."""
    lanes, spike_words = 8 * shape[2], spikes.view(np.uint64)
    for o in range(out.shape[0]):
        state[0] = biases[o]
        run_states(totals[o], neuron, flags[o], lanes, state, spikes, counts, words, filled, sums[o])
        spread(spike_words, shape, out[o])


@_jit
def run_or(source: Any, pool: int, geometry: Any, flags: Any, shape: Any, out: Any, filled: int, sums: Any) -> None:
    """Run gates that spike when any of their pool x pool window does; a gate's state is never left over, so spikes are its active updates.

    Streams are taken in words of eight lanes.

    Args:
        source: (channels, steps, plane) words; geometry: its first word and row length.
        flags, out, filled, sums: as in `run_taps`; shape: as in `spread`, in words.
    """
    rows, columns, each, first, pitch = shape
    width = columns * each
    fired, live = np.empty(width, np.uint64), np.empty(width, np.uint64)
    for c in range(out.shape[0]):
        for y in range(rows):
            for x in range(columns):
                live[x * each : (x + 1) * each] = ~np.uint64(0) if flags[c, y * columns + x] else np.uint64(0)
            for start in range(0, out.shape[1], 255):  # byte by byte, so many steps' spikes fit
                fired[:] = np.uint64(0)
                for t in range(start, min(start + 255, out.shape[1])):
                    into = out[c, t, first + y * pitch : first + y * pitch + width]
                    _or_row(source[c, t], pool, geometry[0] + y * pool * geometry[1], geometry[1], each, into)
                    for i in range(width):
                        into[i] &= live[i]
                        fired[i] += into[i]
                _add_words(fired, each, filled, sums[c, :, y * columns : (y + 1) * columns])


@_jit
def _or_row(plane: Any, pool: int, corner: int, pitch: int, each: int, into: Any) -> None:
    """Write the OR of a row of windows, the first of them at `corner` of the plane."""
    into[:] = np.uint64(0)
    for dy in range(pool):
        line = plane[corner + dy * pitch : corner + dy * pitch + into.size * pool]
        if each == 1 and pool == 2:
            for x in range(into.size):
                into[x] |= line[2 * x] | line[2 * x + 1]
            continue
        for x in range(into.size // each):
            for dx in range(pool):
                for word in range(each):
                    into[x * each + word] |= line[(x * pool + dx) * each + word]


@_jit
def _add_words(fired: Any, each: int, filled: int, sums: Any) -> None:
    """Add the bytes of `fired`, (positions * words of lanes,), of the first `filled` lanes to both rows of `sums`, (2, positions)."""
    mask, one = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)
    for position in range(sums.shape[1]):
        total = np.int64(0)
        for word in range(each):
            lanes = min(max(filled - 8 * word, 0), 8)  # of this word, those that hold samples
            if lanes:
                held = fired[position * each + word] << np.uint64(64 - 8 * lanes)
                pairs = (held & mask) + ((held >> np.uint64(8)) & mask)
                total += np.int64((pairs * one) >> np.uint64(48))
        sums[0, position] += total
        sums[1, position] += total
