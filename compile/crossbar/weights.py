"""Weights that a crossbar can form: sums of a neuron's levels, one per axon type, over the axons that a source takes on a core.

    w = sum over types k of  count_k * s_k,      count_k <= copies of the mode

ternary:   s = (p, -n, 0, 0), one copy each: +p or -n, fitted to each neuron (2 axons per source)
codebook:  s fitted to each neuron, one copy each: its 16 subset sums (4 axons)
exact:     s = (-128, 32, 8, 1), copies 1, 3, 3, 7: every integer of 8 bits (14 axons)
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import unknown_name
from ...hwmodels.crossbar import LEVEL_MAX, TYPES

Mode = Literal["ternary", "codebook", "exact"]
MODES: tuple[Mode, ...] = get_args(Mode)
COPIES: dict[str, tuple[int, ...]] = {"ternary": (1, 1, 0, 0), "codebook": (1, 1, 1, 1), "exact": (1, 3, 3, 7)}
EXACT = (-128, 32, 8, 1)
DROPPED = 0.7  # share of the mean magnitude below which weights become zero (Li and Liu, Ternary weight networks, 2016)
TOP = 200  # the largest codebook weight: levels stay within 9 bits when they are refitted
ROUNDS = 6
SUBSETS = (np.arange(16)[:, None] >> np.arange(TYPES)) & 1  # (16, 4)

Int = NDArray[np.int64]


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist."""
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)


def fit(weights: NDArray[np.float64], mode: str) -> tuple[Int, Int]:
    """Fit one neuron.

    Args:
        weights: (fan-in,) in integer units, within the range of the mode.
        mode: see the module docstring.

    Returns:
        levels (4,), and counts (fan-in, 4): the integer weights are  counts @ levels.
    """
    if mode == "exact":
        return np.array(EXACT), _exact(np.clip(np.rint(weights), -128, 127).astype(np.int64))
    return _ternary(weights) if mode == "ternary" else _codebook(weights)


def _exact(weights: Int) -> Int:
    counts = np.zeros((weights.size, TYPES), np.int64)
    counts[:, 0] = weights < 0
    rest = weights + 128 * counts[:, 0]
    for k in range(1, TYPES):
        counts[:, k] = np.minimum(rest // EXACT[k], COPIES["exact"][k])
        rest = rest - counts[:, k] * EXACT[k]
    return counts


def _ternary(weights: NDArray[np.float64]) -> tuple[Int, Int]:
    levels, counts = np.zeros(TYPES, np.int64), np.zeros((weights.size, TYPES), np.int64)
    kept = np.abs(weights) >= DROPPED * np.abs(weights).mean() if weights.size else np.zeros(0, np.bool_)
    for k, sign in enumerate((1, -1)):
        side = kept & (weights * sign > 0)
        if side.any():
            levels[k] = sign * np.clip(round(float(np.abs(weights[side]).mean())), 1, LEVEL_MAX)
            counts[side, k] = 1
    return levels, counts


def _codebook(weights: NDArray[np.float64]) -> tuple[Int, Int]:
    """Start with the weights of a 4-bit integer; then alternate: nearest subset sum for each weight, least-squares refit of the levels."""
    if not weights.size:
        return np.zeros(TYPES, np.int64), np.zeros((0, TYPES), np.int64)
    unit = max(float(np.abs(weights).max()) / 7.5, 1e-9)
    best: tuple[float, Int, Int] | None = None
    levels = np.rint(unit * np.array([1.0, 2.0, 4.0, -8.0])).astype(np.int64)
    for _ in range(ROUNDS):
        sums = SUBSETS @ levels
        chosen = np.abs(weights[:, None] - sums[None]).argmin(axis=1)
        error = float(((sums[chosen] - weights) ** 2).sum())
        if best is None or error < best[0]:
            best = (error, levels, SUBSETS[chosen])
        fitted = np.linalg.lstsq(SUBSETS[chosen].astype(np.float64), weights, rcond=None)[0]
        levels = np.clip(np.rint(fitted), -LEVEL_MAX, LEVEL_MAX).astype(np.int64)
    return (best[1], best[2]) if best is not None else (levels, np.zeros((weights.size, TYPES), np.int64))
