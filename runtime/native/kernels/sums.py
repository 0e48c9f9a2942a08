"""Sums of weights times spikes, over all lanes of a block at once; 16 bits wide where the caller has proved that they fit."""

from __future__ import annotations

from typing import Any

from ....jit import jit, jit_inner, variant
from .api import sum_bits, sum_pairs, sum_step_bits

sum_lanes: Any = None  # `sum_pairs` or `sum_bits`, see `variant`


@jit_inner
def sum_row(indptr: Any, indices: Any, weights: Any, source: Any, row: int, acc: Any) -> None:
    """acc[l] = sum over the synapses of `row` of  w source[i, l];  `source`: (sources, lanes)."""
    acc[:] = 0
    k, end = indptr[row], indptr[row + 1]
    while k + 4 <= end:  # four at a time: the sums are loaded and stored once for all of them
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        x0, x1, x2, x3 = source[indices[k]], source[indices[k + 1]], source[indices[k + 2]], source[indices[k + 3]]
        for lane in range(acc.size):
            acc[lane] += w0 * x0[lane] + w1 * x1[lane] + w2 * x2[lane] + w3 * x3[lane]
        k += 4
    while k < end:
        w, x = weights[k], source[indices[k]]
        for lane in range(acc.size):
            acc[lane] += w * x[lane]
        k += 1


@jit_inner
def add_taps(
    indptr: Any, channel: Any, offset: Any, weights: Any, exponent: int, source: Any, row: int, acc: Any, rows: Any, total: Any
) -> None:
    """Add one output channel of a convolution of stride 1 to `total`, (steps, at least rows of the map * columns * lanes).

    Args:
        indptr, channel, offset, weights: the taps by output channel: where each reads, as a channel and as elements from a plane's start.
        source: (channels, steps, plane), margins included.
        acc: scratch, (the map's extent at the source's pitch,).
        rows: (rows of the map, 2): where each row begins in `acc`, and its length.
    """
    size = acc.size
    for t in range(source.shape[1]):
        acc[:] = 0
        k, end = indptr[row], indptr[row + 1]
        while k + 4 <= end:
            w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            x0 = source[channel[k], t, offset[k] : offset[k] + size]
            x1 = source[channel[k + 1], t, offset[k + 1] : offset[k + 1] + size]
            x2 = source[channel[k + 2], t, offset[k + 2] : offset[k + 2] + size]
            x3 = source[channel[k + 3], t, offset[k + 3] : offset[k + 3] + size]
            for i in range(size):
                acc[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
            k += 4
        while k < end:
            w, x = weights[k], source[channel[k], t, offset[k] : offset[k] + size]
            for i in range(size):
                acc[i] += w * x[i]
            k += 1
        for y in range(rows.shape[0]):
            start, width = rows[y, 0], rows[y, 1]
            _add_shifted(acc[start : start + width], exponent, total[t, y * width : (y + 1) * width])


@jit_inner
def add_strided_taps(
    indptr: Any,
    channel: Any,
    offset: Any,
    weights: Any,
    exponent: int,
    source: Any,
    row: int,
    acc: Any,
    geometry: Any,
    height: int,
    total: Any,
) -> None:
    """Add one output channel of a convolution of any stride to `total`, (steps, at least rows of the map * columns * lanes).

    Args:
        offset: of the tap from the plane's start at the map's first position.
        geometry: elements from one row of windows to the next, from one window to the next, lanes.
        acc: scratch, (columns * lanes,); height: rows of the map.
    """
    row_step, step, lanes, width = geometry[0], geometry[1], geometry[2], acc.size
    for t in range(source.shape[1]):
        for y in range(height):
            acc[:] = 0
            for k in range(indptr[row], indptr[row + 1]):
                w, x = weights[k], source[channel[k], t, offset[k] + y * row_step :]
                for column in range(acc.size // lanes):
                    for lane in range(lanes):
                        acc[column * lanes + lane] += w * x[column * step + lane]
            _add_shifted(acc, exponent, total[t, y * width : (y + 1) * width])


@jit
def _add_shifted(acc: Any, exponent: int, total: Any) -> None:
    """Add  acc << exponent  (the flooring right shift below 0)."""
    if exponent >= 0:
        for i in range(acc.size):
            total[i] += acc[i] << exponent
    else:
        for i in range(acc.size):
            total[i] += acc[i] >> -exponent


@jit
def add_steps(sums: Any, exponent: int, total: Any) -> None:
    """Add the sums of a neuron, (live steps, lanes), shifted, to `total`, (at least those steps, lanes)."""
    for t in range(sums.shape[0]):
        if exponent >= 0:
            for lane in range(sums.shape[1]):
                total[t, lane] += sums[t, lane] << exponent
        else:
            for lane in range(sums.shape[1]):
                total[t, lane] += sums[t, lane] >> -exponent


@jit
def add_events(starts: Any, targets: Any, weights: Any, exponent: int, source: Any, acc: Any, totals: Any) -> None:
    """Add one sample's events to `totals`, (steps, targets): only the synapses of sources that send are touched.

    Args:
        starts, targets, weights: the synapses source by source.
        source: (live steps, sources) payloads.
        acc: scratch, (targets,).
    """
    for t in range(source.shape[0]):
        acc[:] = 0
        line = source[t]
        for i in range(line.size):
            x = line[i]
            if x:
                for k in range(starts[i], starts[i + 1]):
                    acc[targets[k]] += weights[k] * x
        _add_shifted(acc, exponent, totals[t])


@jit
def sum_windows(source: Any, pool: int, geometry: Any, out: Any) -> None:
    """Sum the pool x pool windows of every plane of `source` into those of `out`; both (channels, steps, plane).

    Args:
        geometry: first element and row length of `source`, of `out` the same, rows, columns * lanes of `out`, lanes.
    """
    first_in, pitch_in, first_out, pitch_out, rows, width, lanes = geometry
    for c in range(source.shape[0]):
        for t in range(source.shape[1]):
            for y in range(rows):
                into = out[c, t, first_out + y * pitch_out : first_out + y * pitch_out + width]
                into[:] = 0
                for dy in range(pool):
                    line = source[c, t, first_in + (y * pool + dy) * pitch_in :]
                    for x in range(width // lanes):
                        for dx in range(pool):
                            for lane in range(lanes):
                                into[x * lanes + lane] += line[(x * pool + dx) * lanes + lane]


@jit
def copy_rows(acc: Any, rows: int, pitch: int, width: int, t: int, total: Any) -> None:
    """Write rows of `width` lanes, `pitch` apart in `acc`, one after another into `total[t]`."""
    for y in range(rows):
        for i in range(width):
            total[t, y * width + i] = acc[y * pitch + i]


@jit
def sum_bit_windows(source: Any, pool: int, geometry: Any, out: Any) -> None:
    """Do what `sum_windows` does for planes of bits, a byte being eight lanes of a position; `geometry`: of `source` in bytes."""
    first_in, pitch_in, first_out, pitch_out, rows, width, _ = geometry
    for c in range(source.shape[0]):
        for t in range(source.shape[1]):
            for y in range(rows):
                into = out[c, t, first_out + y * pitch_out : first_out + y * pitch_out + width]
                into[:] = 0
                for dy in range(pool):
                    line = source[c, t, first_in + (y * pool + dy) * pitch_in :]
                    for x in range(width // 8):
                        for dx in range(pool):
                            for lane in range(8):
                                into[x * 8 + lane] += (line[x * pool + dx] >> lane) & 1


@jit
def sum_step_windows(source: Any, pool: int, geometry: Any, out: Any) -> None:
    """Do what `sum_windows` does for one sample's planes, a byte being eight steps of a position; `geometry`: of bytes."""
    first_in, pitch_in, first_out, pitch_out, rows, width, _ = geometry
    for c in range(source.shape[0]):
        for t in range(out.shape[1]):
            for y in range(rows):
                into = out[c, t, first_out + y * pitch_out : first_out + y * pitch_out + width]
                into[:] = 0
                for dy in range(pool):
                    line = source[c, t >> 3, first_in + (y * pool + dy) * pitch_in :]
                    for x in range(width):
                        for dx in range(pool):
                            into[x] += (line[x * pool + dx] >> (t & 7)) & 1


@jit
def sum_step_maps(
    indptr: Any, places: Any, weights: Any, most: int, exponent: int, source: Any, plane: int, row: int, acc: Any, totals: Any
) -> None:
    """Add a convolution of stride 1 of one sample whose steps lie in bytes into `totals`, (channels, steps, rows, columns).

    `acc`: int32 scratch, (8, at least columns and 8 more); see `sum_step_bits`.
    """
    line = acc.reshape(acc.size)
    for o in range(totals.shape[0]):
        for t in range(0, totals.shape[1], 8):
            for y in range(totals.shape[2]):
                start = (t >> 3) * plane + y * row
                sum_step_bits(source, start, places, weights, indptr[o], indptr[o + 1], most, totals.shape[3] * 8, line, 0, acc.shape[1])
                for k in range(min(8, totals.shape[1] - t)):
                    _add_shifted(acc[k, : totals.shape[3]], exponent, totals[o, t + k, y])


def _sum_rows(
    indptr: Any, places: Any, weights: Any, most: int, exponent: int, source: Any, lanes: int, acc: Any, total: Any, totals: Any
) -> None:
    """Add a projection into `totals`, (channels, steps, at least positions * lanes); see `sum_pairs`.

    `acc`: whole chunks; `total`: its beginning as (live steps, lanes).
    """
    positions = (indptr.size - 1) // totals.shape[0]
    for j in range(indptr.size - 1):
        sum_lanes(source, 0, places, weights, indptr[j], indptr[j + 1], most, acc.size, acc, 0, 0)
        where = (j % positions) * lanes
        add_steps(total, exponent, totals[j // positions, :, where : where + lanes])


def _sum_maps(
    indptr: Any, places: Any, weights: Any, most: int, exponent: int, source: Any, plane: int, acc: Any, rows: Any, totals: Any
) -> None:
    """Add a convolution of stride 1 into `totals`, (channels, steps, rows of the map, columns * lanes); `rows`: as in `add_taps`."""
    for o in range(totals.shape[0]):
        for t in range(totals.shape[1]):
            sum_lanes(source, t * plane, places, weights, indptr[o], indptr[o + 1], most, acc.size, acc, 0, 0)
            for y in range(rows.shape[0]):
                _add_shifted(acc[rows[y, 0] : rows[y, 0] + rows[y, 1]], exponent, totals[o, t, y])


@jit
def sum_linear(indptr: Any, indices: Any, weights: Any, exponent: int, source: Any, lanes: int, acc: Any, totals: Any) -> None:
    """Do the same for bytes and weights of any width; `source`: (sources, live steps * lanes)."""
    positions = (indptr.size - 1) // totals.shape[0]
    for j in range(indptr.size - 1):
        sum_row(indptr, indices, weights, source, j, acc)
        where = (j % positions) * lanes
        add_steps(acc.reshape(acc.size // lanes, lanes), exponent, totals[j // positions, :, where : where + lanes])


@jit
def sum_taps(
    indptr: Any, channel: Any, offset: Any, weights: Any, exponent: int, source: Any, geometry: Any, acc: Any, rows: Any, totals: Any
) -> None:
    """Do the same for bytes, any stride and weights of any width, into `totals`, (channels, steps, at least positions * lanes)."""
    for o in range(totals.shape[0]):
        if geometry[3]:
            add_strided_taps(indptr, channel, offset, weights, exponent, source, o, acc, geometry, rows.shape[0], totals[o])
        else:
            add_taps(indptr, channel, offset, weights, exponent, source, o, acc, rows, totals[o])


sum_rows, sum_bit_rows = (variant(_sum_rows, name, sum_lanes=of) for name, of in (("sum_rows", sum_pairs), ("sum_bit_rows", sum_bits)))
sum_maps, sum_bit_maps = (variant(_sum_maps, name, sum_lanes=of) for name, of in (("sum_maps", sum_pairs), ("sum_bit_maps", sum_bits)))
