"""Whole layers: sums, neurons and counts, a neuron or a channel at a time while all of it is in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....jit import jit, jit_inner, variant
from .api import sum_bits, sum_pairs, sum_step_bits
from .lanes import BYTES, CHUNK, STEPS
from .moves import spread
from .neurons import begin, run_states
from .sums import add_strided_taps, add_taps, copy_rows, sum_row

sum_lanes: Any = None  # `sum_pairs` or `sum_bits`, see `variant`
sum_band: Any = None  # `_sum_band` of one of them


@jit
def _unit(block: Any, packing: int) -> int:
    """Return the bytes of a position: a lane each, or one for eight lanes or for eight steps of the only one."""
    return block[0] if packing == BYTES else 1


@jit
def _start(state: Any, bias: Any) -> None:
    """Write the biases into a state."""
    for i in range(state.shape[1]):
        state[0, i] = bias


def _run_rows(
    indptr: Any,
    places: Any,
    weights: Any,
    most: int,
    source: Any,
    neuron: Any,
    registers: Any,
    biases: Any,
    dead: Any,
    block: Any,
    packing: int,
    acc: Any,
    total: Any,
    state: Any,
    counts: Any,
    words: Any,
    steps: int,
    out: Any,
    sums: Any,
) -> None:
    """Run a flat population with one projection, a neuron at a time while all of it is in the cache.

    Args:
        indptr, places, weights, most, source: as in `sum_pairs`.
        acc: int32 scratch, whole chunks; total: its beginning as (live steps, lanes). The rest as in `run_states`.
        out: flat, (neurons, steps, lanes), the lanes or the steps by eight where `packing` says so; written.
    """
    pitch, groups = _unit(block, packing), (steps + 7) // 8 if packing == STEPS else steps
    for j in range(indptr.size - 1):
        sum_lanes(source, 0, places, weights, indptr[j], indptr[j + 1], most, acc.size, acc, 0, 0)
        _start(state, biases[j])
        place = (j * groups * pitch, pitch, steps)
        run_states(total, neuron, registers, dead, j, 1, block, packing, state, out, place, counts, words, sums)


@jit
def run_linear(
    indptr: Any,
    indices: Any,
    weights: Any,
    source: Any,
    neuron: Any,
    registers: Any,
    biases: Any,
    dead: Any,
    block: Any,
    packing: int,
    acc: Any,
    total: Any,
    state: Any,
    counts: Any,
    words: Any,
    steps: int,
    out: Any,
    sums: Any,
) -> None:
    """Do the same for bytes and weights of any width; `source`: (sources, live steps * lanes); `acc`: as in `sum_row`."""
    line, pitch = total.reshape(total.size), _unit(block, packing)
    groups = (steps + 7) // 8 if packing == STEPS else steps
    for j in range(indptr.size - 1):
        sum_row(indptr, indices, weights, source, j, acc)
        for i in range(acc.size):
            line[i] = acc[i]
        _start(state, biases[j])
        place = (j * groups * pitch, pitch, steps)
        run_states(total, neuron, registers, dead, j, 1, block, packing, state, out, place, counts, words, sums)


def _sum_band(
    source: Any,
    base: int,
    places: Any,
    weights: Any,
    begin: int,
    end: int,
    most: int,
    plane: int,
    row: int,
    pitch: int,
    size: int,
    width: int,
    acc: Any,
    flat: Any,
    total: Any,
) -> None:
    """Sum `size` rows of `width` lanes of a channel's map into `total`, (live steps, lanes), of which `flat` is another view."""
    for t in range(total.shape[0]):
        start = t * plane + base
        if width % CHUNK or width < 4 * CHUNK:  # rows run together, margins and all
            extent = ((size - 1) * pitch + width + CHUNK - 1) // CHUNK * CHUNK
            sum_lanes(source, start, places, weights, begin, end, most, extent, acc, 0, 0)
            copy_rows(acc, size, pitch, width, t, total)
            continue
        for i in range(size):
            sum_lanes(source, start + i * row, places, weights, begin, end, most, width, flat, t * total.shape[1] + i * width, 0)


def _run_maps(
    indptr: Any,
    places: Any,
    weights: Any,
    most: int,
    source: Any,
    plane: int,
    row: int,
    pitch: int,
    neuron: Any,
    registers: Any,
    biases: Any,
    dead: Any,
    block: Any,
    packing: int,
    together: int,
    shape: Any,
    acc: Any,
    total: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    steps: int,
    out: Any,
    sums: Any,
) -> None:
    """Run the output channels of one convolution of stride 1, a few rows of the map at a time; see `sum_pairs` and `run_states`.

    Args:
        plane, row: bytes from one step, and from one row, to the next in `source`; pitch: lanes of a row of it.
        together: rows that are run together; shape: as in `spread`.
        acc: int32 scratch for these rows, at the source's pitch; whole chunks.
        total: int32 scratch, (live steps, positions of these rows * lanes), and as much of `state`, `spikes`, `counts`.
        out: (channels, steps, plane).
    """
    rows, columns, width, unit = shape[0], shape[1], shape[1] * block[0], _unit(block, packing)
    line, place, sums_of = spikes.reshape(spikes.size), (0, spikes.shape[1], steps), total.reshape(total.size)
    for o in range(out.shape[0]):
        _start(state, biases[o])
        for y in range(0, rows, together):
            size = min(together, rows - y)
            taps, last = indptr[o], indptr[o + 1]
            sum_band(source, y * row, places, weights, taps, last, most, plane, row, pitch, size, width, acc, sums_of, total)
            first, n = (o * rows + y) * columns, size * columns
            run_states(total, neuron, registers, dead, first, n, block, packing, state, line, place, counts, words, sums)
            spread(spikes, shape, unit, y, size, o, out)


@jit
def run_step_maps(
    indptr: Any,
    places: Any,
    weights: Any,
    most: int,
    source: Any,
    plane: int,
    row: int,
    neuron: Any,
    registers: Any,
    biases: Any,
    dead: Any,
    block: Any,
    together: int,
    shape: Any,
    into: Any,
    total: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    steps: int,
    out: Any,
    sums: Any,
) -> None:
    """Do the same for one sample whose steps lie in bytes, from and to such streams; see `sum_step_bits`.

    `into`: int32 scratch, flat, of whole bytes of steps, with room for eight positions behind those of the rows that are run together;
    `total`: its first steps.
    """
    rows, columns, pitch = shape[0], shape[1], total.shape[1]
    line, place = spikes.reshape(spikes.size), (0, spikes.shape[1], steps)
    for o in range(out.shape[0]):
        _start(state, biases[o])
        for y in range(0, rows, together):
            size = min(together, rows - y)
            for group in range(out.shape[1]):
                for i in range(size):
                    start, to = group * plane + (y + i) * row, group * 8 * pitch + i * columns
                    sum_step_bits(source, start, places, weights, indptr[o], indptr[o + 1], most, columns * 8, into, to, pitch)
            first, n = (o * rows + y) * columns, size * columns
            run_states(total, neuron, registers, dead, first, n, block, STEPS, state, line, place, counts, words, sums)
            spread(spikes, shape, 1, y, size, o, out)


@jit
def run_taps(
    indptr: Any,
    channel: Any,
    offset: Any,
    weights: Any,
    source: Any,
    neuron: Any,
    registers: Any,
    biases: Any,
    dead: Any,
    block: Any,
    packing: int,
    geometry: Any,
    shape: Any,
    acc: Any,
    rows: Any,
    total: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    steps: int,
    out: Any,
    sums: Any,
) -> None:
    """Do the same for bytes, any stride and weights of any width; see `add_taps` and `add_strided_taps` (geometry[3] != 0).

    `total`: of whole maps here.
    """
    n, unit = shape[0] * shape[1], _unit(block, packing)
    line, place = spikes.reshape(spikes.size), (0, spikes.shape[1], steps)
    for o in range(out.shape[0]):
        total[:] = 0
        if geometry[3]:
            add_strided_taps(indptr, channel, offset, weights, 0, source, o, acc, geometry, shape[0], total)
        else:
            add_taps(indptr, channel, offset, weights, 0, source, o, acc, rows, total)
        _start(state, biases[o])
        run_states(total, neuron, registers, dead, o * n, n, block, packing, state, line, place, counts, words, sums)
        spread(spikes, shape, unit, 0, shape[0], o, out)


@jit
def run_neurons(
    totals: Any,
    neuron: Any,
    registers: Any,
    biases: Any,
    dead: Any,
    block: Any,
    packing: int,
    shape: Any,
    state: Any,
    spikes: Any,
    counts: Any,
    words: Any,
    steps: int,
    out: Any,
    sums: Any,
) -> None:
    """Run the neurons of `totals`, (channels, steps, at least positions * lanes), channel by channel; see `run_states` and `spread`."""
    n, unit = shape[0] * shape[1], _unit(block, packing)
    line, place = spikes.reshape(spikes.size), (0, spikes.shape[1], steps)
    for o in range(out.shape[0]):
        _start(state, biases[o])
        run_states(totals[o], neuron, registers, dead, o * n, n, block, packing, state, line, place, counts, words, sums)
        spread(spikes, shape, unit, 0, shape[0], o, out)


@jit
def run_or(source: Any, pool: int, geometry: Any, dead: Any, shape: Any, mask: int, out: Any, sums: Any) -> None:
    """Run threshold units that spike if any input of their pool x pool window does; they keep no state, so active updates equal spikes.

    A byte is a position: of one sample, or of eight, one a bit.

    Args:
        source: (channels, steps, plane); geometry: its first byte and row length.
        dead, sums: as in `run_states`; shape, out: as in `spread`.
        mask: the bits of samples that count.
    """
    rows, columns, first, pitch = shape
    for c in range(out.shape[0]):
        for y in range(rows):
            at = (c * rows + y) * columns
            for t in range(out.shape[1]):
                into = out[c, t, first + y * pitch : first + y * pitch + columns]
                _or_row(source[c, t], pool, geometry[0] + y * pool * geometry[1], geometry[1], into)
                k = begin(dead, at)
                while k < dead.size and dead[k] < at + columns:
                    into[dead[k] - at] = 0
                    k += 1
                for x in range(columns):
                    fired = ones(into[x] & np.uint8(mask))
                    sums[0, at + x] += fired
                    sums[1, at + x] += fired


@jit_inner
def _or_row(plane: Any, pool: int, corner: int, pitch: int, into: Any) -> None:
    """Write the OR of a row of windows, the first of them at `corner` of the plane."""
    into[:] = 0
    for dy in range(pool):
        line = plane[corner + dy * pitch : corner + dy * pitch + into.size * pool]
        if pool == 2:
            for x in range(into.size):
                into[x] |= line[2 * x] | line[2 * x + 1]
            continue
        for x in range(into.size):
            for dx in range(pool):
                into[x] |= line[x * pool + dx]


@jit
def ones(byte: Any) -> Any:
    """Count the bits of a byte."""
    pairs = (byte & 0x55) + (byte >> 1 & 0x55)
    fours = (pairs & 0x33) + (pairs >> 2 & 0x33)
    return (fours & 0x0F) + (fours >> 4)


run_rows, run_bit_rows = (variant(_run_rows, name, sum_lanes=of) for name, of in (("run_rows", sum_pairs), ("run_bit_rows", sum_bits)))
_sum_pair_band, _sum_bit_band = (
    variant(_sum_band, name, sum_lanes=of) for name, of in (("_sum_pair_band", sum_pairs), ("_sum_bit_band", sum_bits))
)
run_maps, run_bit_maps = (
    variant(_run_maps, name, sum_band=of) for name, of in (("run_maps", _sum_pair_band), ("run_bit_maps", _sum_bit_band))
)
