"""Kernels of the native simulator: sums over lanes, and the LIF neurons that take them.

A stream holds the spikes (or payloads) of a population for a block of samples: uint8, (channels, steps, plane). A flat population has a
plane of one position; of a map, positions lie row by row, `pitch` apart, with margins of zeros around them, so that a tap is one
contiguous addition of a shifted plane. The samples lie innermost, `lanes` of them. All steps of all samples are computed side by side:
feed-forward sums do not depend on the order of spikes. Sums are int16 where the caller has proved that they fit, else int32 or int64.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True)
STATE_LIMIT = 1 << 23


@_jit
def _sum_row(indptr: Any, indices: Any, weights: Any, source: Any, row: int, acc: Any) -> None:
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


@_jit
def add_taps(
    indptr: Any, channel: Any, offset: Any, weights: Any, exponent: int, source: Any, row: int, acc: Any, rows: Any, total: Any
) -> None:
    """Add one output channel of a convolution of stride 1 to `total`, (steps, rows of the map, columns * lanes).

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
        while k + 2 <= end:
            w0, w1 = weights[k], weights[k + 1]
            x0 = source[channel[k], t, offset[k] : offset[k] + size]
            x1 = source[channel[k + 1], t, offset[k + 1] : offset[k + 1] + size]
            for i in range(size):
                acc[i] += w0 * x0[i] + w1 * x1[i]
            k += 2
        if k < end:
            w, x = weights[k], source[channel[k], t, offset[k] : offset[k] + size]
            for i in range(size):
                acc[i] += w * x[i]
        for y in range(rows.shape[0]):
            _add_shifted(acc[rows[y, 0] : rows[y, 0] + rows[y, 1]], exponent, total[t, y])


@_jit
def add_strided_taps(
    indptr: Any, channel: Any, offset: Any, weights: Any, exponent: int, source: Any, row: int, acc: Any, geometry: Any, total: Any
) -> None:
    """Add one output channel of a convolution of any stride to `total`, (steps, rows of the map, columns * lanes).

    Args:
        offset: of the tap from the plane's start at the map's first position.
        geometry: elements from one row of windows to the next, from one window to the next, lanes.
        acc: scratch, (columns * lanes,).
    """
    row_step, step, lanes = geometry[0], geometry[1], geometry[2]
    for t in range(source.shape[1]):
        for y in range(total.shape[1]):
            acc[:] = 0
            for k in range(indptr[row], indptr[row + 1]):
                w, x = weights[k], source[channel[k], t, offset[k] + y * row_step :]
                for column in range(acc.size // lanes):
                    for lane in range(lanes):
                        acc[column * lanes + lane] += w * x[column * step + lane]
            _add_shifted(acc, exponent, total[t, y])


@_jit
def _add_shifted(acc: Any, exponent: int, total: Any) -> None:
    """Add  acc << exponent  (the flooring right shift below 0)."""
    if exponent >= 0:
        for i in range(acc.size):
            total[i] += acc[i] << exponent
    else:
        for i in range(acc.size):
            total[i] += acc[i] >> -exponent


@_jit
def _add_steps(sums: Any, exponent: int, total: Any) -> None:
    """Add the sums of a neuron, (live steps, lanes), shifted, to `total`, (at least those steps, lanes)."""
    for t in range(sums.shape[0]):
        if exponent >= 0:
            for lane in range(sums.shape[1]):
                total[t, lane] += sums[t, lane] << exponent
        else:
            for lane in range(sums.shape[1]):
                total[t, lane] += sums[t, lane] >> -exponent


@_jit
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


@_jit
def lif(total: Any, du: int, dv: int, vth: int, state: Any, spikes: Any, counts: Any) -> None:
    """Run the equations of hwmodels.fixed_point.lif_step over all steps of n neurons in 32 bits; u is either new or held.

    numba widens products and sums to 64 bits; the casts keep them in 32, which is twice as fast.

    Args:
        total: (live steps, n) inputs a; later steps get none. |a| < 2^17, and a held current is never added to.
        du: 4095 (no memory) or -1 (held).
        state: int32 (4, n): the biases, and scratch for v, u and the rest of v.
        spikes: (steps, n) uint8, written.
        counts: uint8 (2, n), written: steps with a spike, and with a state before or after it. At most 255 steps.
    """
    limit, bar = np.int32(STATE_LIMIT), np.int32(vth << 6)
    top, bottom = np.int32(limit - 1), np.int32(1 - limit)
    start, v, u, rest = state[0], state[1], state[2], state[3]
    v[:] = 0
    u[:] = 0
    counts[:] = 0
    for t in range(spikes.shape[0]):
        if t < total.shape[0]:
            a = total[t]
            for i in range(u.size):
                u[i] = np.int32(a[i]) << np.int32(6)
        elif du != -1 and t == total.shape[0]:
            u[:] = 0
        _decay(v, 4096 - dv, rest)
        fired, fires, busy = spikes[t], counts[0], counts[1]
        for i in range(u.size):
            new = min(max(np.int32(np.int32(rest[i] + u[i]) + start[i]), bottom), top)
            spike = new > bar
            fired[i] = spike
            busy[i] += (u[i] | new) != 0
            v[i] = np.int32(0) if spike else new
        for i in range(u.size):
            fires[i] += fired[i]


@_jit
def _decay(v: Any, keep: int, rest: Any) -> None:
    """Write  v keep / 4096,  rounded toward zero; |v| < 2^23. A power of two is a shift."""
    if keep & (keep - 1) == 0 and keep > 0:
        places = np.int32(0)
        while keep << places < 4096:
            places += np.int32(1)
        below = np.int32((1 << places) - 1)
        for i in range(v.size):
            rest[i] = np.int32(v[i] + np.int32(np.int32(v[i] >> np.int32(31)) & below)) >> places
        return
    part = np.int32(keep)
    for i in range(v.size):
        size = np.int32(abs(v[i]))
        low = np.int32(np.int32(size & np.int32(4095)) * part)
        whole = np.int32(np.int32(np.int32(size >> np.int32(12)) * part) + np.int32(low >> np.int32(12)))
        rest[i] = whole if v[i] >= 0 else np.int32(-whole)


@_jit
def _decayed(state: Any, keep: Any) -> Any:
    """Round  state * keep / 4096  toward zero."""
    product = state * keep
    return (product + ((product >> 63) & 4095)) >> 12


@_jit
def lif_any(total: Any, du: int, dv: int, vth: int, state: Any, spikes: Any, lanes: int, filled: int, sums: Any) -> None:
    """Do what `lif` does for any decay of the current, inputs of any size and any number of steps, in 64 bits.

    Args:
        state: (4, n): the biases, and scratch.
        sums: (2, neurons), added to: spikes and active updates of the first `filled` lanes.
    """
    live, n = total.shape
    limit, keep_u, keep_v, bar = np.int64(STATE_LIMIT), np.int64(4095 - du), np.int64(4096 - dv), np.int64(vth) << 6
    state[1:3] = 0
    for t in range(spikes.shape[0]):
        for i in range(n):
            a = np.int64(total[t, i]) << 6 if t < live else np.int64(0)
            u = _decayed(np.int64(state[1, i]), keep_u) + a
            if u > limit:
                u -= 2 * limit
            elif u <= -limit:
                u += 2 * limit
            v = min(max(_decayed(np.int64(state[2, i]), keep_v) + u + np.int64(state[0, i]), 1 - limit), limit - 1)
            fired = v > bar
            state[1, i] = u
            state[2, i] = 0 if fired else v
            spikes[t, i] = fired
            if i % lanes < filled and i // lanes < sums.shape[1]:
                sums[0, i // lanes] += fired
                sums[1, i // lanes] += (u != 0) | (v != 0)


@_jit
def _add_lanes(counts: Any, words: Any, lanes: int, filled: int, sums: Any) -> None:
    """Add the first `filled` lanes' counts, uint8 (2, at least neurons * lanes), to `sums`, (2, neurons). `words`: the counts by eight."""
    mask, one = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)
    each = lanes // 8
    for kind in range(2):
        for neuron in range(sums.shape[1]):
            total = 0
            if filled == lanes:  # pairs of bytes in 16 bits, four of them in a word, added up by a product: at most 64 * 255
                pairs = np.uint64(0)
                for i in range(neuron * each, (neuron + 1) * each):
                    pairs += (words[kind, i] & mask) + ((words[kind, i] >> np.uint64(8)) & mask)
                total = np.int64((pairs * one) >> np.uint64(48))
            else:
                for i in range(neuron * lanes, neuron * lanes + filled):
                    total += counts[kind, i]
            sums[kind, neuron] += total


@_jit
def _spread(spikes: Any, shape: Any, out: Any) -> None:
    """Write one channel's spikes, (steps, positions * lanes), into its plane of the stream, (steps, plane)."""
    rows, columns, lanes, first, pitch = shape
    width = columns * lanes
    for t in range(spikes.shape[0]):
        for y in range(rows):
            line, start = spikes[t, y * width : (y + 1) * width], first + y * pitch
            out[t, start : start + width] = line


@_jit
def _neurons(
    total: Any, neuron: Any, flags: Any, lanes: int, state: Any, spikes: Any, counts: Any, words: Any, filled: int, sums: Any
) -> None:
    """Run neurons on `total`, (live steps, at least neurons * lanes).

    Args:
        neuron: du, dv, vth, and 1 where `lif` serves.
        flags: (neurons,) uint8, 0 for those that were removed: they neither spike nor count.
        state: its first row holds the biases.
        filled: lanes that hold samples.
        sums: (2, neurons), added to: spikes and active updates.
    """
    if neuron[3]:
        lif(total, neuron[0], neuron[1], neuron[2], state, spikes, counts)
        _add_lanes(counts, words, lanes, filled, sums)
    else:
        lif_any(total, neuron[0], neuron[1], neuron[2], state, spikes, lanes, filled, sums)
    for j in range(flags.size):
        if not flags[j]:
            spikes[:, j * lanes : (j + 1) * lanes] = 0
            sums[:, j] = 0


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
        total: scratch, (live steps, neurons at a time * lanes), as wide as `state`, `spikes` and `counts`; the rest as in `_neurons`.
    """
    group, steps = total.shape[1] // lanes, spikes.shape[0]
    parts, apart = total.reshape(total.shape[0], group, lanes), spikes.reshape(steps, group, lanes)
    sums_of, start = acc.reshape(total.shape[0], lanes), state[0].reshape(group, lanes)
    for first in range(0, out.shape[0], group):
        size = min(group, out.shape[0] - first)
        total[:] = 0
        for k in range(size):
            _sum_row(indptr, indices, weights, source, first + k, acc)
            _add_steps(sums_of, exponent, parts[:, k])
            start[k] = biases[first + k]
        stop = first + size
        _neurons(total, neuron, flags[first:stop], lanes, state, spikes, counts, words, filled, sums[:, first:stop])
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
    """Do the same for the output channels of one convolution; see `add_taps`, `add_strided_taps` (geometry[3] != 0) and `_spread`.

    `flags`: (channels, positions); `sums`: (channels, 2, positions).
    """
    for o in range(out.shape[0]):
        total[:] = 0
        if geometry[3]:
            add_strided_taps(indptr, channel, offset, weights, exponent, source, o, acc, geometry, total)
        else:
            add_taps(indptr, channel, offset, weights, exponent, source, o, acc, rows, total)
        inputs = total.reshape(total.shape[0], total.shape[1] * total.shape[2])
        state[0] = biases[o]
        _neurons(inputs, neuron, flags[o], shape[2], state, spikes, counts, words, filled, sums[o])
        _spread(spikes, shape, out[o])


@_jit
def sum_linear(indptr: Any, indices: Any, weights: Any, exponent: int, source: Any, lanes: int, acc: Any, totals: Any) -> None:
    """Add a projection into `totals`, (channels, steps, positions * lanes); `source`: (sources, live steps * lanes)."""
    positions = totals.shape[2] // lanes
    for j in range(indptr.size - 1):
        _sum_row(indptr, indices, weights, source, j, acc)
        where = (j % positions) * lanes
        _add_steps(acc.reshape(acc.size // lanes, lanes), exponent, totals[j // positions, :, where : where + lanes])


@_jit
def sum_taps(
    indptr: Any, channel: Any, offset: Any, weights: Any, exponent: int, source: Any, geometry: Any, acc: Any, rows: Any, totals: Any
) -> None:
    """Add a convolution into `totals`, (channels, steps, rows of the map, columns * lanes)."""
    for o in range(totals.shape[0]):
        if geometry[3]:
            add_strided_taps(indptr, channel, offset, weights, exponent, source, o, acc, geometry, totals[o])
        else:
            add_taps(indptr, channel, offset, weights, exponent, source, o, acc, rows, totals[o])


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
    """Run the neurons of `totals`, (channels, steps, positions * lanes), channel by channel; see `_neurons` and `_spread`."""
    for o in range(out.shape[0]):
        state[0] = biases[o]
        _neurons(totals[o], neuron, flags[o], shape[2], state, spikes, counts, words, filled, sums[o])
        _spread(spikes, shape, out[o])


@_jit
def run_or(source: Any, pool: int, geometry: Any, flags: Any, shape: Any, out: Any, filled: int, sums: Any) -> None:
    """Run gates that spike when any of their pool x pool window does; a gate's state is never left over, so spikes are its active updates.

    Streams are taken in words of eight lanes.

    Args:
        source: (channels, steps, plane) words; geometry: its first word and row length.
        flags, out, filled, sums: as in `run_taps`; shape: as in `_spread`, in words.
    """
    rows, columns, each, first, pitch = shape
    ones = np.uint64(0x0101010101010101)
    for c in range(out.shape[0]):
        for t in range(out.shape[1]):
            for y in range(rows):
                into = out[c, t, first + y * pitch : first + y * pitch + columns * each]
                into[:] = np.uint64(0)
                for dy in range(pool):
                    corner = geometry[0] + (y * pool + dy) * geometry[1]
                    line = source[c, t, corner : corner + columns * pool * each]
                    for x in range(columns):
                        for dx in range(pool):
                            for word in range(each):
                                into[x * each + word] |= line[(x * pool + dx) * each + word]
                for x in range(columns):
                    for word in range(each):
                        if not flags[c, y * columns + x]:
                            into[x * each + word] = np.uint64(0)
                        lanes = min(max(filled - 8 * word, 0), 8)  # of this word, those that hold samples
                        fired = np.int64(0)
                        if lanes:
                            fired = np.int64(((into[x * each + word] << np.uint64(64 - 8 * lanes)) * ones) >> np.uint64(56))
                        sums[c, 0, y * columns + x] += fired
                        sums[c, 1, y * columns + x] += fired


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

    `shape`: as in `_spread`, in words.
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
