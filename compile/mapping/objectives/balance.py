"""Refinement of a partition for short steps: neurons leave the slowest cores as long as that shortens a step, within every limit.

The kernels minimise a p-norm of the cores' times (`balance_kernels`), with p growing from sweep to sweep until only the slowest cores
count. What a synapse takes is the mean of its source's formats at the beginning; the result is measured with the formats as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..refinement.pairs import State, build_pairs
from ..refinement.refine import GUMBELS, new_state, set_word_limits
from . import balance_kernels
from .balance_kernels import PORT, RECEIVE, SEND, Times
from .step_model import StepModel

__all__ = ["balanced", "new_times", "step_of"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
POWERS = (4, 8, 16, 32)  # of the norm, each for a share of the sweeps
LIGHT = 6  # cores with the shortest times, which every neuron is offered
HEAT = 0.003  # temperature of the first half of the sweeps, of F, which is about 1 for one slow core


def new_times(state: State, model: StepModel, core_of: Int) -> Times:
    """Return the times of the cores of a state."""
    cores, time = state.held.shape[0], model.chip.time
    rates = model.wiring.rates
    columns = np.array([0, 1, 2] if time.overlap == "queue" else [0, 0, 2])
    priced = time.message_out.value, model.message_in, model.port, model.toll
    synapse = rates * model.synapse_times(core_of)
    times = Times(model.update, synapse, rates, *priced, columns, np.zeros((cores, 3)), np.zeros((cores, 3)))
    balance_kernels.build_busy(state, times)
    return times


def step_of(times: Times, model: StepModel) -> float:
    """Return the nanoseconds of a step but for its barrier and the ways between tiles."""
    slowest = times.busy[:, [SEND, RECEIVE]].max(initial=0.0)
    port = times.busy[:, PORT].max(initial=0.0)
    return float(slowest + port if model.chip.time.overlap == "sum" else max(slowest, port))


def _norm(times: Times, model: StepModel, p: int) -> Float:
    """Return the scales of the times, their weights in F, such that F falls as the step does, and the weight of the toll."""
    largest = times.busy.max(axis=0)
    if model.chip.time.overlap == "sum":  # the norms are added
        scale, weight = np.maximum(largest, 1e-9), largest / max(largest.sum(), 1e-9)
    else:
        scale, weight = np.full(3, max(largest.max(), 1e-9)), np.where(largest > 0.0, 1.0, 0.0)
    return np.concatenate([scale, weight, [p / max(largest.sum(), 1e-9)]])


def balanced(
    model: StepModel,
    core_of: Int,
    cores: int,
    sweeps: int,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Int:
    """Return a partition whose step takes no longer than that of `core_of`, on at most `cores` cores, within every limit as that one is.

    Args:
        sweeps: how often every neuron is looked at.
        progress: called after each with the share completed.
    """
    wiring, chip = model.wiring, model.chip
    rng = np.random.default_rng(seed)
    gumbel, random = rng.gumbel(size=GUMBELS), rng.integers(1, 1 << 63, 1, np.uint64)
    state = new_state(wiring, chip, core_of, cores)
    times = new_times(state, model, core_of)
    best, least, kept, share = core_of, step_of(times, model), core_of.copy(), 1.0
    scratch = _scratch(cores)
    for number in range(sweeps):
        p = POWERS[min(number * len(POWERS) // max(sweeps, 1), len(POWERS) - 1)]
        heat = HEAT * (1.0 - 2.0 * number / sweeps) if 2 * number < sweeps else 0.0
        light = np.argsort(times.busy.max(axis=1), kind="stable")[:LIGHT].astype(np.int64)
        order = rng.permutation(wiring.neurons)
        moves = balance_kernels.relieve(state, times, order, light, _norm(times, model, p), p, heat, gumbel, random, *scratch)
        progress((number + 1) / sweeps)
        if not set_word_limits(state, wiring, chip, share):
            share *= 0.97
            state.core_of[:] = kept
            build_pairs(state)
            set_word_limits(state, wiring, chip, share)
            balance_kernels.build_busy(state, times)
            continue
        kept = state.core_of.copy()
        balance_kernels.build_busy(state, times)
        if step_of(times, model) < least:
            best, least = kept, step_of(times, model)
        if not moves and p == POWERS[-1]:
            break
    return best


def _scratch(cores: int) -> tuple[Float, Int, Int, Int, Int, Float]:
    empty = np.zeros(cores, np.int64)
    return np.zeros((cores, 3)), np.full(cores, -1, np.int64), np.zeros((cores, 2), np.int64), empty, empty.copy(), np.zeros(11)
