"""The rate code of compile.coding in one pass: the same bits, the same spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compile import coding, reference
from ...compile.network import Network
from .jit import jit

M0, M1 = (np.uint64(m) for m in coding.MULTIPLIERS)
W0, W1 = (np.uint32(w) for w in coding.WEYL)
ROUNDS = coding.ROUNDS


def encode(network: Network, values: NDArray[Any], *, seed: int = 0, first: int = 0) -> NDArray[np.uint8]:
    """Do what `reference.encode` does for rate-coded input, faster; its errors are the same."""
    flat = reference.check_values(network, values)
    levels, blocks = network.input.levels, -(-flat.shape[-1] // 8)
    below = -(-(np.arange(levels + 1) << 16) // levels)  # (bits levels) >> 16 < value,  that is  bits < ceil(65536 value / levels)
    spikes = np.empty((len(flat), network.timesteps, flat.shape[-1]), np.uint8)
    words, mixed = np.empty((4, blocks), np.uint32), np.empty((blocks, 4), np.uint32)
    key = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32 & 0xFFFFFFFF)
    line = np.empty(flat.shape[1], np.int32)
    _code(flat, below.astype(np.int32), *key, first, words, mixed, mixed.reshape(-1).view(np.uint16), line, spikes)
    return spikes


@jit
def _code(values: Any, below: Any, low: Any, high: Any, first: int, words: Any, mixed: Any, halves: Any, line: Any, spikes: Any) -> None:
    """Write spikes (samples, timesteps, inputs).

    `below`: by value, the bits below which there is a spike; `words`, `mixed`: scratch, by word and by block of eight inputs; `halves`:
    `mixed` in 16 bits, which is by input: of each word the low half, then the high one; `line`: scratch, by input.
    """
    for s in range(spikes.shape[0]):
        for i in range(line.size):
            line[i] = below[values[s, i]]
        for t in range(spikes.shape[1]):
            _draw(np.uint32(t), first + s, low, high, words)
            for block in range(mixed.shape[0]):
                for k in range(4):
                    mixed[block, k] = words[k, block]
            out = spikes[s, t]
            for i in range(line.size):
                out[i] = np.int32(halves[i]) < line[i]


@jit
def _draw(t: Any, sample: int, low: Any, high: Any, words: Any) -> None:
    """Write the random words of one step of one sample; see compile.coding.philox."""
    for block in range(words.shape[1]):
        c0, c1 = np.uint32(block), t
        c2, c3 = np.uint32(sample & 0xFFFFFFFF), np.uint32(sample >> 32)
        k0, k1 = low, high
        for _ in range(ROUNDS):
            a, b = np.uint64(c0) * M0, np.uint64(c2) * M1
            c0, c2 = np.uint32(b >> np.uint64(32)) ^ c1 ^ k0, np.uint32(a >> np.uint64(32)) ^ c3 ^ k1
            c1, c3 = np.uint32(b), np.uint32(a)
            k0, k1 = np.uint32(k0 + W0), np.uint32(k1 + W1)
        words[0, block] = c0
        words[1, block] = c1
        words[2, block] = c2
        words[3, block] = c3


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
