"""From samples to what enters the network, and from output spikes to classes. This file needs NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np


def encode(samples: Any, *, encoding: str, timesteps: int, largest: int, seed: int = 0) -> Any:
    """Return what `s_in` receives, one column per time step: (inputs, samples * timesteps), int32.

    current: the sample once, in its first time step; the neurons' current holds it.
    graded:  the sample in every time step.
    events:  each sample has a row for every time step.
    rate:    a spike in each time step with the probability value / largest, from random numbers that depend on seed, sample, time step
             and input alone.

    Args:
        samples: whole numbers from 0 to `largest`, (samples, inputs), or for events (samples, timesteps, inputs).
        encoding: one of the above.
        timesteps: time steps of a sample.
        largest: the largest value.
        seed: of the random numbers.
    """
    values = np.asarray(samples)
    if not np.issubdtype(values.dtype, np.integer) or values.min(initial=0) < 0 or values.max(initial=0) > largest:
        raise ValueError(f"The samples must be whole numbers from 0 to {largest}. Scale and round them first.")
    values = values.reshape(len(values), timesteps, -1) if encoding == "events" else values.reshape(len(values), 1, -1)
    steps = np.zeros((len(values), timesteps, values.shape[-1]), np.int32)
    if encoding == "current":
        steps[:, :1] = values
    elif encoding == "rate":
        steps[:] = _rate_code(values[:, 0], largest, timesteps, seed)
    else:
        steps[:] = values
    return steps.reshape(-1, values.shape[-1]).T.copy()


def spike_counts(spikes: Any, *, timesteps: int, latency: int, neurons_per_class: int = 1) -> Any:
    """Return the output spikes of each class in each sample, (samples, classes); the class with the most is the prediction.

    Args:
        spikes: what `s_out` sent from the first time step on, (outputs, steps).
        timesteps: time steps of a sample.
        latency: time steps by which the output runs behind the input.
        neurons_per_class: output neurons of a class, side by side.
    """
    spikes = np.asarray(spikes)[:, latency:]
    samples = spikes.shape[1] // timesteps
    counts = spikes[:, : samples * timesteps].reshape(len(spikes), samples, timesteps).sum(axis=2).T
    return counts.reshape(samples, -1, neurons_per_class).sum(axis=2).astype(np.int64)


def _rate_code(values: Any, largest: int, timesteps: int, seed: int) -> Any:
    """Philox4x32 with 7 rounds: random bits from the counter (input // 8, time step, sample, 0) and the key `seed`, 16 for each input."""
    samples, inputs = values.shape
    blocks = np.arange(-(-inputs // 8), dtype=np.uint64)
    words = [
        blocks[None, None, :],
        np.arange(timesteps, dtype=np.uint64)[None, :, None],
        np.arange(samples, dtype=np.uint64)[:, None, None],
        np.uint64(0),
    ]
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = np.broadcast_arrays(*words)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for _ in range(7):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = b >> half ^ c1 ^ np.uint64(k0), b & low, a >> half ^ c3 ^ np.uint64(k1), a & low
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    bits = np.stack([w >> np.uint64(16 * i) & np.uint64(0xFFFF) for w in (c0, c1, c2, c3) for i in (0, 1)], axis=-1)
    drawn = bits.reshape(samples, timesteps, -1)[:, :, :inputs] * np.uint64(largest) >> np.uint64(16)
    return (drawn < values[:, None, :].astype(np.uint64)).astype(np.int32)
