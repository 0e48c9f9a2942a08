"""The arithmetic of Xylo's neurons: 16-bit current and potential that saturate, decays by bit shifts, several spikes in one step.

    i <- clip16(i + (w << shift) n)   for each source in turn, n its spikes of the step;   i <- i - d(i, dash_syn)
    v <- clip16(v + clip16(clip16(i - d(v, dash_mem)) + bias))
    s  = min(v // threshold, most) where v >= threshold, else 0;    v <- v - s threshold
    d(x, k) = x >> k, or sign(x) where that is 0

The chip is described by its maker (Rockpool, Overview of the Xylo family); the equations give every spike of the maker's simulator
xylosim (version 2, Xylo Audio 2), as tests hold.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

STATE_MAX, STATE_MIN = (1 << 15) - 1, -(1 << 15)
INPUT_SPIKES, HIDDEN_SPIKES, OUTPUT_SPIKES = 15, 31, 1  # that a channel or neuron can send in one step
DASH_MAX = 15  # 4 bits
SHIFT_MAX = 7
WEIGHT_MAX = 127

__all__ = [
    "DASH_MAX",
    "HIDDEN_SPIKES",
    "INPUT_SPIKES",
    "OUTPUT_SPIKES",
    "SHIFT_MAX",
    "STATE_MAX",
    "WEIGHT_MAX",
    "decay",
    "receive",
    "xylo_step",
]


def decay(x: Int, dash: Int | int) -> Int:
    """Return what a state loses in a step:  x >> dash  with floor, but at least 1 towards zero where x is not 0."""
    lost = x >> dash
    return np.where(lost == 0, np.sign(x), lost)


def receive(i: Int, arriving: Iterable[tuple[Int, Int]]) -> Int:
    """Add a step's spikes to currents; the sum saturates after every source, so that the order of the sources counts.

    Args:
        i: currents, (targets, samples).
        arriving: in the order of the chip's sources, weights (targets, sources), shifted, and spikes (sources, samples).
    """
    for weights, spikes in arriving:
        rising, falling = (_product(part, spikes) for part in (np.maximum(weights, 0), np.minimum(weights, 0)))
        safe = ((i + rising).max(axis=1, initial=0) <= STATE_MAX) & ((i + falling).min(axis=1, initial=0) >= STATE_MIN)
        total = i + rising + falling  # no partial sum leaves the range where these bounds do not
        if not safe.all():
            rows = np.flatnonzero(~safe)
            current = i[rows]
            for source in np.flatnonzero(spikes.any(axis=1)):
                current = np.clip(current + weights[rows, source, None] * spikes[source], STATE_MIN, STATE_MAX)
            total[rows] = current
        i = total
    return i


def _product(weights: Int, spikes: Int) -> Int:
    """Multiply in float64, which holds every sum of such integers exactly and is faster."""
    return (weights.astype(np.float64) @ spikes.astype(np.float64)).astype(np.int64)


def xylo_step(i: Int, v: Int, *, dash_syn: int, dash_mem: int, threshold: int, most: int, bias: Int | int = 0) -> tuple[Int, Int, Int]:
    """Advance neurons by one step, after `receive`.

    Args:
        i: currents, any shape.
        v: potentials, same shape.
        dash_syn, dash_mem: shifts of their decays, 0..15; a state loses about 2^-dash of itself in a step.
        threshold: at least 1.
        most: spikes that a neuron can send in a step: 31, of an output neuron 1.
        bias: added to the potential.

    Returns:
        Currents, potentials and spikes.
    """
    i = i - decay(i, dash_syn)
    change = -decay(v, dash_mem)
    change = np.where(change > STATE_MAX, STATE_MIN, change)  # 16 bits hold no 32,768; it wraps around (v at its least, dash 0)
    change = np.clip(np.clip(change + i, STATE_MIN, STATE_MAX) + bias, STATE_MIN, STATE_MAX)
    v = np.clip(v + change, STATE_MIN, STATE_MAX)
    spikes = np.clip(v // threshold, 0, most)
    return i, v - spikes * threshold, spikes
