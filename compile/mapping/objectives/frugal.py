"""The search for the mapping with the least dynamic energy: messages are priced by their ways, and placement and partition take turns.

Of the energy of a step only messages, hops and the formats of synapse lists depend on the mapping. From the partition with few messages
and its placement, neurons move to where the messages that they cause and send cost least; the cores are then placed anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..api import Effort, Partition
from ..loads.load import Wiring, holds
from ..place import Placement, place, traffic
from ..progress import Progress
from ..refinement.pairs import build_pairs
from ..refinement.refine import new_state, set_word_limits
from ..system import joint_places, price_coordinates
from . import energy_kernels
from .step_model import StepModel

__all__ = ["least_energy"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
ROUNDS = {"fast": 1, "default": 4, "best": 12}
SWEEPS = {"fast": 2, "default": 6, "best": 20}  # of a round
STAGE = "energy"


def least_energy(
    wiring: Wiring, chip: Chip, start: Partition, effort: Effort, seed: int, progress: Progress
) -> tuple[Partition, Placement]:
    """Return the partition and the placement with the least energy that were found, on the cores of `start`; never more than its own.

    Args: as of `latency.shortest`; the stage is called `energy`.
    """
    model = StepModel(wiring, chip)
    placed = place(*traffic(wiring, start.core_of), chip, seed=seed, effort=effort)
    before = model.picojoules(start.core_of, placed)
    best, least = (start, placed), before
    core_of, rounds = start.core_of, ROUNDS[effort]
    for number in range(rounds):
        progress(STAGE, number / rounds)
        moved = _moved(model, core_of, placed, SWEEPS[effort], seed + number)
        if (moved == core_of).all():
            break
        core_of = np.unique(moved, return_inverse=True)[1].astype(np.int64)
        placed = place(*traffic(wiring, core_of), chip, seed=seed, effort=effort)
        found = model.picojoules(core_of, placed)
        if found < least and holds(wiring, chip, core_of):
            best, least = (replace(start, core_of=core_of, strategy=f"{start.strategy} + energy"), placed), found
    part, placed = best
    said = f"for energy: {least / 1000:,.2f} nJ a step, {before / 1000:,.2f} nJ with few messages ({model.conditions})"
    return replace(part, changes=(*part.changes, said)), placed


def _moved(model: StepModel, core_of: Int, placed: Placement, sweeps: int, seed: int) -> Int:
    """Return the partition after a few sweeps, the cores where they are."""
    wiring, chip, cores = model.wiring, model.chip, int(core_of.max()) + 1
    rng = np.random.default_rng(seed)
    random = rng.integers(1, 1 << 63, 1, np.uint64)
    state, price, empty = new_state(wiring, chip, core_of, cores), _prices(chip, placed), np.zeros(cores, np.int64)
    scratch = np.full(cores, -1, np.int64), np.zeros((cores, 2), np.int64), empty, empty.copy()
    kept, share = core_of.copy(), 1.0
    for _ in range(sweeps):
        moves = energy_kernels.cheapen(state, price, rng.permutation(wiring.neurons), random, *scratch)
        if not set_word_limits(state, wiring, chip, share):
            share *= 0.97
            state.core_of[:] = kept
            build_pairs(state)
            set_word_limits(state, wiring, chip, share)
            continue
        kept = state.core_of.copy()
        if not moves:
            break
    return kept


def _prices(chip: Chip, placed: Placement) -> Float:
    """Return the pJ of a message from each core to each, and in the last row from off chip: (cores + 1, cores)."""
    places = joint_places(chip, placed.tile_of, placed.chip_of)
    ends = np.concatenate([places, np.asarray(chip.mesh.entry)[None]])
    if not chip.energy.hop_horizontal.value + chip.energy.hop_vertical.value:  # `price_coordinates` then counts hops
        return np.full((len(ends), len(places)), chip.energy.message_out.value)
    ways = np.abs(price_coordinates(ends, chip)[:, None] - price_coordinates(places, chip)[None]).sum(axis=2)
    return ways + chip.energy.message_out.value
