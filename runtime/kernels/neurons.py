"""LIF neurons over all steps of a block, and the counts of what they did."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True)
STATE_LIMIT = 1 << 23


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
def run_states(
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
