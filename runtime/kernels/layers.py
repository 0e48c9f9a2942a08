"""Whole layers: sums, neurons and counts, a neuron or a channel at a time while all of it is in the cache."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from .moves import spread
from .neurons import run_states
from .sums import add_strided_taps, add_taps, copy_rows, sum_row
from .vectors import sum_pairs

_jit = numba.njit(cache=True, nogil=True)


@_jit
def run_rows(
    indptr: Any,
    places: Any,
    weights: Any,
    most: int,
    source: Any,
    neuron: Any,
    registers: Any,
    biases: Any,
    flags: Any,
    lanes: int,
    acc: Any,
    total: Any,
    state: Any,
    counts: Any,
    words: Any,
    out: Any,
    filled: int,
    sums: Any,
) -> None:
    """Run a flat population with one projection of 8-bit weights, a neuron at a time while all of it is in the cache.

    Args:
        indptr, places, weights, most, source: as in `sum_pairs`.
        acc: int32 scratch, whole chunks; total: its beginning as (live steps, lanes). The rest as in `run_states`.
        out: (neurons, steps, lanes), written.
        sums: (2, neurons), added to.
    """
    for j in range(out.shape[0]):
        sum_pairs(source, 0, places, weights, indptr[j], indptr[j + 1], most, acc)
        state[0] = biases[j]
        run_states(total, neuron, registers, flags[j : j + 1], lanes, state, out[j], counts, words, filled, sums[:, j : j + 1])


@_jit
def run_linear(
    indptr: Any,
    indices: Any,
    weights: Any,
    source: Any,
    neuron: Any,
    registers: Any,
    biases: Any,
    flags: Any,
    lanes: int,
    acc: Any,
    total: Any,
    state: Any,
    counts: Any,
    words: Any,
    out: Any,
    filled: int,
    sums: Any,
) -> None:
    """Do the same for weights of any width; `source`: (sources, live steps * lanes); `acc`: as in `sum_row`."""
    line = total.reshape(total.size)
    for j in range(out.shape[0]):
        sum_row(indptr, indices, weights, source, j, acc)
        line[:] = acc
        state[0] = biases[j]
        run_states(total, neuron, registers, flags[j : j + 1], lanes, state, out[j], counts, words, filled, sums[:, j : j + 1])


@_jit
def run_pair_taps(
    indptr: Any,
    places: Any,
    weights: Any,
    most: int,
    source: Any,
    plane: int,
    neuron: Any,
    registers: Any,
    biases: Any,
    flags: Any,
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
    """Run the output channels of one convolution of stride 1 with 8-bit weights; see `sum_pairs`, `run_states` and `spread`.

    Args:
        plane: bytes from one step to the next in `source`.
        acc: int32 scratch, the map's extent at the source's pitch.
        rows: (rows of the map, 2): where each row begins in `acc`, and its length.
        total: int32 scratch, (live steps, positions * lanes).
        flags, sums: (channels, positions) and (channels, 2, positions).
        shape, out: in words, (channels, steps, plane).
    """
    lanes, spike_words = 8 * shape[2], spikes.view(np.uint64)
    for o in range(out.shape[0]):
        for t in range(total.shape[0]):
            sum_pairs(source, t * plane, places, weights, indptr[o], indptr[o + 1], most, acc)
            copy_rows(acc, rows, total[t])
        state[0] = biases[o]
        run_states(total, neuron, registers, flags[o], lanes, state, spikes, counts, words, filled, sums[o])
        spread(spike_words, shape, out[o])


@_jit
def run_taps(
    indptr: Any,
    channel: Any,
    offset: Any,
    weights: Any,
    source: Any,
    neuron: Any,
    registers: Any,
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
    """Do the same for any stride and any width; see `add_taps` and `add_strided_taps` (geometry[3] != 0); `total` by rows of the map."""
    lanes, spike_words = 8 * shape[2], spikes.view(np.uint64)
    for o in range(out.shape[0]):
        total[:] = 0
        if geometry[3]:
            add_strided_taps(indptr, channel, offset, weights, 0, source, o, acc, geometry, total)
        else:
            add_taps(indptr, channel, offset, weights, 0, source, o, acc, rows, total)
        inputs = total.reshape(total.shape[0], total.shape[1] * total.shape[2])
        state[0] = biases[o]
        run_states(inputs, neuron, registers, flags[o], lanes, state, spikes, counts, words, filled, sums[o])
        spread(spike_words, shape, out[o])


@_jit
def run_neurons(
    totals: Any,
    neuron: Any,
    registers: Any,
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
        run_states(totals[o], neuron, registers, flags[o], lanes, state, spikes, counts, words, filled, sums[o])
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
