"""The rate code: spikes with probability value / levels, from a counter-based generator without state.

Philox4x32 with 7 rounds (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011): 128 random bits are a function of a key, the
seed, and a counter, (input // 8, step, sample). So every sample, step and input has its own bits, independent of the program, the order
and the number of machines that compute them. Each input takes 16 bits:

    s = (bits * levels) >> 16 < value,    P(s) = ceil(65536 value / levels) / 65536
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDS", "drawn", "philox", "rate_code"]

ROUNDS = 7  # the fewest that pass BigCrush
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)


def philox(counter: tuple[Any, Any, Any, Any], key: int, rounds: int = ROUNDS) -> tuple[NDArray[np.uint64], ...]:
    """Return four 32-bit words for each counter.

    Args:
        counter: four 32-bit words, numbers or arrays that broadcast.
        key: 64 bits.
    """
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(rounds):
        a, b = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = b >> np.uint64(32) ^ c1 ^ np.uint64(k0), b & LOW, a >> np.uint64(32) ^ c3 ^ np.uint64(k1), a & LOW
        k0, k1 = k0 + WEYL[0] & 0xFFFFFFFF, k1 + WEYL[1] & 0xFFFFFFFF
    return c0, c1, c2, c3


def rate_code(
    values: NDArray[Any], levels: int, timesteps: int, *, seed: int, first: int = 0, numbers: NDArray[np.int64] | None = None
) -> NDArray[np.uint8]:
    """Return spikes (samples, timesteps, inputs) of values (samples, inputs) in 0..levels.

    `numbers`: the index of each sample in its data set, (samples,); consecutive from `first` if None.
    """
    samples, inputs = values.shape
    spikes = np.zeros((samples, timesteps, inputs), np.uint8)
    for i in range(samples):
        number = first + i if numbers is None else int(numbers[i])
        spikes[i] = drawn(inputs, levels, range(timesteps), seed=seed, number=number) < values[i].astype(np.uint64)
    return spikes


def drawn(inputs: int, levels: int, steps: range, *, seed: int, number: int) -> NDArray[np.uint64]:
    """Return  (bits * levels) >> 16  for the steps of one sample, (steps, inputs): an input spikes where this is below its value."""
    blocks = -(-inputs // 8)
    words = philox((np.arange(blocks), np.array(steps)[:, None], number & 0xFFFFFFFF, number >> 32), seed)
    bits = np.stack([w >> np.uint64(16 * half) & np.uint64(0xFFFF) for w in words for half in (0, 1)], axis=-1)
    return bits.reshape(len(steps), blocks * 8)[:, :inputs] * np.uint64(levels) >> np.uint64(16)
