"""The rate code of network.coding in one pass: the same bits, the same spikes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....jit import jit
from ....network import reference
from ....network.model import Network
from .api import draw
from .limits import INPUTS

SHARE = 64  # samples that are worth a thread


def encode(
    network: Network,
    values: NDArray[Any],
    *,
    seed: int = 0,
    first: int = 0,
    numbers: NDArray[np.int64] | None = None,
    threads: int | None = 1,
) -> NDArray[np.uint8]:
    """Do what `reference.encode` does for rate-coded input, faster; its errors are the same. `threads`: the machine's cores if None."""
    flat = reference.check_values(network, values)
    flat = np.ascontiguousarray(flat, np.uint8 if flat.dtype == np.uint8 else np.int64)
    spikes = np.empty((len(flat), network.timesteps, flat.shape[-1]), np.uint8)
    known = first + np.arange(len(flat), dtype=np.int64) if numbers is None else np.ascontiguousarray(numbers, np.int64)
    most = min(threads or os.cpu_count() or 1, -(-len(flat) // SHARE))
    part = partial(_part, flat, network.input.levels, seed, known, spikes)
    if most < 2:
        part(0, len(flat))
        return spikes
    ends = np.linspace(0, len(flat), most + 1).astype(int).tolist()
    with ThreadPoolExecutor(most) as pool:
        for done in [pool.submit(part, *ends[i : i + 2]) for i in range(most)]:
            done.result()
    return spikes


def _part(
    values: NDArray[Any],
    levels: int,
    seed: int,
    numbers: NDArray[np.int64],
    spikes: NDArray[np.uint8],
    begin: int,
    end: int,
) -> None:
    """Draw samples `begin` to `end`."""
    room, key = -(-values.shape[1] // INPUTS) * INPUTS, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
    line, some, rest = np.zeros(room, np.uint16), np.zeros(room, np.bool_), np.empty(INPUTS, np.uint8)
    _code(values[begin:end], 1 / levels, *key, numbers[begin:end], line, some, rest, spikes[begin:end])


@jit
def _code(values: Any, share: float, k0: int, k1: int, numbers: Any, line: Any, some: Any, rest: Any, spikes: Any) -> None:
    """Write spikes (samples, timesteps, inputs).

    A spike is  (bits levels) >> 16 < value,  that is  bits <= floor((65536 value - 1) / levels)  for values above 0. The floor is exact:
    with 1/2 more above, the quotient is no nearer to an integer than  1 / (2 levels),  which is far more than doubles err by.

    Args:
        share: 1 / levels.
        numbers: of each sample in its data set.
        line, some: scratch, by input: the largest bits with a spike, and whether there are any; rest: scratch, spikes of the last inputs.
    """
    samples, steps, inputs = spikes.shape
    out, whole = spikes.reshape(spikes.size), inputs // INPUTS * INPUTS
    for s in range(samples):
        for i in range(inputs):
            line[i] = np.int32((np.int32(values[s, i]) * 65536.0 - 0.5) * share)
        for i in range(inputs):
            some[i] = values[s, i] != 0
        low, high = numbers[s] & 0xFFFFFFFF, numbers[s] >> 32
        for t in range(steps):
            to = (s * steps + t) * inputs
            for i in range(0, whole, INPUTS):
                draw(line, some, i, t, low, high, k0, k1, out, to + i)
            if whole < inputs:
                draw(line, some, whole, t, low, high, k0, k1, rest, 0)
                for i in range(whole, inputs):
                    out[to + i] = rest[i - whole]


def count_events(events: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many payloads of each input are not 0; events (samples, timesteps, inputs)."""
    counts = np.zeros(events.shape[2], np.int64)
    _count(events.reshape(-1, events.shape[2]), np.empty(counts.size, np.uint8), counts)
    return counts


@jit
def _count(events: Any, few: Any, counts: Any) -> None:
    """Add to `counts`; `few`: scratch, by input."""
    for start in range(0, events.shape[0], 255):  # as many as a byte counts
        few[:] = 0
        for row in range(start, min(start + 255, events.shape[0])):
            for i in range(counts.size):
                few[i] += events[row, i] != 0
        for i in range(counts.size):
            counts[i] += few[i]
