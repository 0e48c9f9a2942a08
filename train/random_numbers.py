"""Random numbers as a function of (seed, stream, step, index), without a state: the same on every rank, on the CPU and on CUDA.

    key = SeedSequence(seed, stream, step);   h(i) = mix(mix(i xor key_0) + key_1),   mix: the 32-bit hash lowbias32 (Wellons, 2018)

A checkpoint's step count therefore replaces the state of a generator, and the noise of millions of synapses can be generated on their
device, inside a kernel. Normal numbers are the 2^16 quantiles of N(0, 1), scaled to a variance of 1; the largest is 4.2.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["GROWTH", "NOISE", "REACTIVATION", "START", "hashed", "key_of", "normals", "signs_of", "uniform_choice", "uniform_mask"]

MASK32 = 0xFFFFFFFF
NORMALS = 1 << 16
SIGNS, START, NOISE, REACTIVATION, GROWTH = range(1, 6)  # streams


def key_of(seed: int, stream: int, step: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the two 32-bit words that belong to (seed, stream, step), and a place for the first index: int64 (3,)."""
    words = np.random.SeedSequence([seed, stream, step]).generate_state(2)
    return torch.tensor([int(words[0]), int(words[1]), 0], dtype=torch.int64).to(device)


@cache
def normals(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the table of normal numbers that the upper 16 bits of a hash choose from."""
    ranks = (torch.arange(NORMALS, dtype=torch.float64) + 0.5) / NORMALS
    table = torch.special.ndtri(ranks)
    return (table / table.square().mean().sqrt()).to(dtype).to(device)


def _mix(x: Tensor) -> Tensor:
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & MASK32
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & MASK32
    return x ^ (x >> 16)


def hashed(index: Tensor, key: Tensor) -> Tensor:
    """Return h(index + key_2) as int64 in 0..2^32 - 1."""
    return _mix((_mix(((index + key[2]) & MASK32) ^ key[0]) + key[1]) & MASK32)


def signs_of(values: Tensor, seed: int) -> Tensor:
    """Return the signs of `values` (M,), int8, -1/+1; those of zeros are drawn at random."""
    drawn = hashed(torch.arange(values.numel(), device=values.device), key_of(seed, SIGNS, 0, values.device)) & 1
    return torch.where(values == 0, 2 * drawn - 1, torch.sign(values)).to(torch.int8)


def uniform_choice(theta: Tensor, count: int, share: float, key: Tensor) -> Tensor:
    """Return `count` different positions of dormant synapses, all sets of them equally likely.

    Args:
        theta: (M,), at 0 or below in `count` positions or more.
        share: approximately what share of `theta` that is; affects only how many are drawn at a time.
        key: of `key_of`.
    """
    size = theta.numel()
    draws = int(1.5 * count / max(share, 1e-9)) + 16
    begin = 0
    while draws < size // 4:
        index = torch.arange(begin, begin + draws, device=theta.device)
        positions = _first_of_each((hashed(index, key) * size) >> 32)
        found = positions[theta[positions] <= 0]
        if found.numel() >= count:
            return found[:count]
        begin, draws = begin + draws, 2 * draws
    candidates = (theta <= 0).nonzero().view(-1)
    order = torch.argsort(hashed(candidates + begin, key), stable=True)
    return candidates[order[:count]]


def uniform_mask(theta: Tensor, wanted: int, key: Tensor) -> Tensor:
    """Return which dormant synapses (M,) to activate so that `wanted` are active: all sets of them are equally likely.

    Operations and shapes depend on the sizes alone, so that nothing waits for the device: each synapse gets a rank, active ones the first,
    and the `wanted` lowest are kept. The synapses are those of `uniform_choice`, unless its first draws did not suffice and more followed.

    Args:
        theta: (M,), above 0 in `wanted` positions or fewer.
        key: of `key_of`, on the device of `theta`.
    """
    size, dormant = theta.numel(), theta <= 0
    asleep = dormant.sum()
    count = wanted - (size - asleep)
    draws = (1.5 * count / (asleep / size).double().clamp(min=1e-9)).long() + 16
    index = torch.arange(size, device=theta.device)
    turn = index[: size // 4]
    first = torch.full_like(index, size).scatter_reduce(0, (hashed(turn, key) * size) >> 32, turn, "amin")
    drawn = dormant & (first < draws)
    few = draws < size // 4
    rank = torch.where(few & (drawn.sum() >= count), torch.where(drawn, first, size), hashed(index + torch.where(few, draws, 0), key))
    kept = torch.topk(torch.where(dormant, rank, -1), wanted, largest=False, sorted=False).indices
    return torch.zeros_like(dormant).index_fill_(0, kept, True) & dormant


def _first_of_each(values: Tensor) -> Tensor:
    """Drop repetitions, keeping the order."""
    order = torch.argsort(values, stable=True)
    ordered = values[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return values[order[first].sort().values]
