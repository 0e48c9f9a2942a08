"""Placement: cores to the mesh so that messages cross few hops. Swaps that help are taken until none does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.chip import Chip
from .load import Wiring

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def traffic(wiring: Wiring, core_of: Int) -> tuple[Float, Float]:
    """Return messages per step from core to core (cores, cores), and from off chip to each core (cores,)."""
    cores = int(core_of.max(initial=0)) + 1
    sources, targets = wiring.core_pairs(core_of)
    inside = sources >= wiring.outside
    between = np.zeros((cores, cores))
    np.add.at(between, (core_of[sources[inside] - wiring.outside], targets[inside]), wiring.rates[sources[inside]])
    entering = np.bincount(targets[~inside], weights=wiring.rates[sources[~inside]], minlength=cores).astype(np.float64)
    return between, entering


def slot_positions(chip: Chip) -> Int:
    """Return the (column, row) of every core slot of the chip, tile by tile in row-major order: (slots, 2)."""
    tiles = np.arange(chip.limit("cores")) // chip.mesh.cores_per_tile
    return np.stack([tiles % chip.mesh.columns, tiles // chip.mesh.columns], axis=1)


def hops(a: Int, b: Int) -> Int:
    """Return the hops of a message between tiles `a` and `b` (..., 2): columns and rows apart (dimension-order routing)."""
    return np.abs(a - b).sum(axis=-1)


def place(between: Float, entering: Float, chip: Chip) -> Int:
    """Return the core slot of each core, such that traffic-weighted hops are low.

    Starts in row-major order and takes the best swap of every core (with another core or an empty slot) until none helps.
    """
    positions = slot_positions(chip)
    distance = hops(positions[:, None], positions[None]).astype(np.float64)
    from_entry = hops(positions, np.asarray(chip.mesh.entry)).astype(np.float64)
    slots = len(positions)
    flow = np.zeros((slots, slots))
    flow[: len(between), : len(between)] = between + between.T
    np.fill_diagonal(flow, 0.0)
    inflow = np.concatenate([entering, np.zeros(slots - len(entering))])
    slot_of = np.arange(slots)
    improved = True
    while improved:
        improved = False
        for core in range(len(between)):
            gain = _swap_gains(core, slot_of, flow, inflow, distance, from_entry)
            other = int(gain.argmax())
            if gain[other] > 1e-9 * (1.0 + flow.sum()):
                slot_of[core], slot_of[other] = slot_of[other], slot_of[core]
                improved = True
    return slot_of[: len(between)]


def _swap_gains(core: int, slot_of: Int, flow: Float, inflow: Float, distance: Float, from_entry: Float) -> Float:
    """Return, for every other core, by how much swapping it with `core` lowers the traffic-weighted hops."""
    d = distance[slot_of][:, slot_of]  # between cores as placed
    gain = ((flow[core] - flow) * (d[core] - d)).sum(axis=1) - 2.0 * flow[core] * d[core]
    entry = from_entry[slot_of]
    return gain + (inflow[core] - inflow) * (entry[core] - entry)
