"""The kernels in plain numba: short loops, what each does and no more. `vectors` has the same in LLVM's vectors, to the bit.

`api` says what each takes. These run wherever numba does; read them first, and debug with them: SPIKELOOM_KERNELS=plain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....jit import jit, jit_inner
from ....network.coding import MULTIPLIERS, ROUNDS, WEYL
from .lanes import BYTES, CHUNK, STEPS
from .limits import EIGHT, POINT
from .step import lif_step

__all__ = ["add_eight", "count_and_transpose", "draw", "run_fused", "run_lanes", "strip", "sum_bits", "sum_pairs", "sum_step_bits"]
__all__ += ["transpose"]


@jit_inner
def add_lines(source: Any, base: int, places: Any, weights: Any, begin: int, end: int, acc: Any) -> None:
    """acc[l] += sum over the synapses k in begin..end of  weights[k] source[base + places[k] + l]."""
    size, k = acc.size, begin
    while k + 4 <= end:  # four at a time: the sums are loaded and stored once for all of them
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        a0, a1, a2, a3 = base + places[k], base + places[k + 1], base + places[k + 2], base + places[k + 3]
        x0, x1, x2, x3 = source[a0 : a0 + size], source[a1 : a1 + size], source[a2 : a2 + size], source[a3 : a3 + size]
        for lane in range(size):
            acc[lane] += w0 * x0[lane] + w1 * x1[lane] + w2 * x2[lane] + w3 * x3[lane]
        k += 4
    while k < end:
        w, at = weights[k], base + places[k]
        x = source[at : at + size]
        for lane in range(size):
            acc[lane] += w * x[lane]
        k += 1


@jit
def sum_pairs(
    source: Any, base: int, places: Any, weights: Any, begin: int, end: int, most: int, size: int, out: Any, to: int, pitch: int
) -> None:
    """Sum a row over bytes, in 32 bits."""
    acc = out[to : to + size]
    acc[:] = 0
    add_lines(source, base, places, weights, begin, end, acc)


@jit
def sum_bits(
    source: Any, base: int, places: Any, weights: Any, begin: int, end: int, most: int, size: int, out: Any, to: int, pitch: int
) -> None:
    """Sum a row over bits: those of a byte are eight lanes."""
    acc = out[to : to + size]
    acc[:] = 0
    for k in range(begin, end):
        w, at = np.int32(weights[k]), base + places[k]
        x = source[at : at + size // 8]
        for lane in range(8):
            for i in range(size // 8):
                acc[8 * i + lane] += w & -(np.int32(x[i]) >> lane & 1)


@jit
def sum_step_bits(
    source: Any, base: int, places: Any, weights: Any, begin: int, end: int, most: int, size: int, out: Any, to: int, pitch: int
) -> None:
    """Sum a row over bits: those of a byte are eight steps."""
    positions = size // 8
    for t in range(8):
        acc = out[to + t * pitch : to + t * pitch + positions]
        acc[:] = 0
        for k in range(begin, end):
            w, at = np.int32(weights[k]), base + places[k]
            x = source[at : at + positions]
            for i in range(positions):
                acc[i] += w & -(np.int32(x[i]) >> t & 1)


@jit
def put(fired: Any, spikes: Any, start: int, pitch: int, t: int, lane: int, packing: int) -> None:
    """Write whether a lane spikes at step t, as `packing` says; lanes and steps come in order."""
    if packing == BYTES:
        spikes[start + t * pitch + lane] = fired
        return
    which, bit = (start + (t >> 3) * pitch + lane, t & 7) if packing == STEPS else (start + t * pitch + (lane >> 3), lane & 7)
    spikes[which] = np.uint8(fired) << np.uint8(bit) | (spikes[which] if bit else np.uint8(0))


@jit
def run_lanes(
    total: Any, n: int, state: Any, registers: Any, spikes: Any, start: int, pitch: int, steps: int, packing: int, counts: Any
) -> None:
    """Run neurons over all steps, all lanes of a step at a time; their states lie in memory."""
    live, right, left = total.shape[0], np.int64(registers[0]), np.int64(registers[1])
    keep_u, keep_v = np.int64(4096) & np.int64(registers[2]), np.int64(registers[3])
    bar, soft = np.int64(registers[4]), registers[5] != 0
    kept = state.reshape(state.size)[state.shape[1] :].view(np.int64)
    currents, voltages = kept[:n], kept[state.shape[1] : state.shape[1] + n]
    fires, busy = counts[0, :n], counts[1, :n]
    currents[:] = 0
    voltages[:] = 0
    fires[:] = 0
    busy[:] = 0
    for t in range(steps):
        line, arrives = start + t * pitch, t < live
        sums = total[t if arrives else 0]
        for i in range(n):
            a = (np.int64(sums[i]) >> right << left) * arrives
            u, v, fired, after = lif_step(currents[i], voltages[i], a, np.int64(state[0, i]), keep_u, keep_v, bar, soft)
            currents[i], voltages[i] = u, after
            fires[i] += fired
            busy[i] += (u != 0) | (v != 0)
            if packing == BYTES:
                spikes[line + i] = fired
            else:
                put(fired, spikes, start, pitch, t, i, packing)


@jit_inner
def _step_halving(arriving: Any, potentials: Any, registers: Any, spikes: Any) -> Any:
    """Advance halving neurons by a step, CHUNK of them; return their spikes and active updates.

    Potentials are in units of 2^-15 of a sum. The state's last place is  2 half  of them: what is halved is rounded to that, toward zero.
    """
    bar = (np.int32(registers[0]) << POINT) | np.int32(registers[1])
    half, fires, busy = np.int32(registers[2]), 0, 0
    for lane in range(CHUNK):
        v = potentials[lane]
        v = (((v >> 1) + (half if v < 0 else 0)) & -(2 * half)) + (np.int32(arriving[lane]) << POINT)
        fired = v > bar
        fires += fired
        busy += (v != 0) | (arriving[lane] != 0)
        potentials[lane] = 0 if fired else v
        spikes[lane] = fired
    return fires, busy


@jit
def run_fused(
    source: Any,
    places: Any,
    weights: Any,
    indptr: Any,
    first: int,
    last: int,
    registers: Any,
    alive: Any,
    live: int,
    steps: int,
    state: Any,
    out: Any,
    at: int,
    sums: Any,
) -> None:
    """Run halving neurons from their synapses to their spikes, step by step."""
    potentials, arriving = state[: 4 * CHUNK].view(np.int32), state[4 * CHUNK : 6 * CHUNK].view(np.int16)
    for j in range(first, last):
        if not alive[j]:
            continue
        potentials[:] = 0
        for t in range(steps):
            if t < live or not registers[3]:
                arriving[:] = 0
            if t < live:
                add_lines(source, t * CHUNK, places, weights, indptr[j], indptr[j + 1], arriving)
            to = at + ((j - first) * steps + t) * CHUNK
            fires, busy = _step_halving(arriving, potentials, registers, out[to : to + CHUNK])
            sums[0, j] += fires
            sums[1, j] += busy


@jit
def transpose(source: Any, at: int, pitch: int, out: Any, to: int, apart: int) -> Any:
    """Transpose a tile."""
    seen = np.uint8(0)
    for i in range(CHUNK):
        column = out[to + i * apart : to + i * apart + CHUNK]
        for j in range(CHUNK):
            value = source[at + j * pitch + i]
            column[j] = value
            seen |= value
    return seen


@jit
def count_and_transpose(source: Any, at: int, pitch: int, out: Any, to: int, apart: int, few: Any) -> Any:
    """Transpose a tile and count what is in its columns."""
    for i in range(CHUNK):
        few[i] = 0
        for j in range(CHUNK):
            few[i] += source[at + j * pitch + i] != 0
    return transpose(source, at, pitch, out, to, apart)


@jit
def strip(source: Any, at: int, pitch: int, out: Any, to: int, apart: int) -> None:
    """Transpose a tile of eight rows."""
    for j in range(8):
        row = source[at + j * pitch : at + j * pitch + CHUNK]
        for i in range(CHUNK):
            out[to + i * apart + j] = row[i]


@jit
def draw(line: Any, some: Any, at: int, step: int, low: int, high: int, k0: int, k1: int, out: Any, to: int) -> None:
    """Draw eight blocks of the generator, see network.coding.philox, and compare each input's bits with its limit."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    for block in range(8):
        c0, c1, c2, c3 = np.uint64(at // 8 + block), np.uint64(step), np.uint64(low), np.uint64(high)
        q0, q1 = np.uint64(k0), np.uint64(k1)
        for _ in range(ROUNDS):
            a, b = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
            c0, c1, c2, c3 = b >> half ^ c1 ^ q0, b & mask, a >> half ^ c3 ^ q1, a & mask
            q0, q1 = (q0 + np.uint64(WEYL[0])) & mask, (q1 + np.uint64(WEYL[1])) & mask
        for lane in range(8):
            word = (c0, c1, c2, c3)[lane >> 1]
            bits, i = (word >> np.uint64(16 * (lane & 1))) & np.uint64(0xFFFF), at + 8 * block + lane
            out[to + 8 * block + lane] = (bits <= np.uint64(line[i])) & (some[i] != 0)


@jit
def add_eight(lines: Any, places: Any, weights: Any, begin: int, end: int, acc: Any, at: int) -> None:
    """Add a row's sums of eight steps."""
    add_lines(lines, 0, places, weights, begin, end, acc[at : at + EIGHT])
