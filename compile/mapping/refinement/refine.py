"""Refinement: neurons move between cores as long as that saves messages, while every limit is respected throughout.

A heat bath that cools (a move is drawn with probability ~ exp(gain / temperature), Kirkpatrick et al. 1983), then plain descent. Neurons
and axons are counted exactly at each move. Between exact counts, words are estimated as the minimum for the lists' lengths, scaled by the
core's overhead at the last exact count; if an exact count finds a core too full, the moves since the previous count are undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....hwmodels.chip import Chip
from ..loads.load import Wiring, core_loads, least_words, limits
from . import refine_kernels
from .refine_kernels import LONGEST, NEURONS, WORDS, State

Int = NDArray[np.int64]
GUMBELS = 1 << 16
CHECKS = 20  # exact counts while cores are dissolved
ATTEMPTS = 100  # cores that could not be dissolved, before the rest is left alone
DESCENTS = 12  # sweeps without noise at the end, at most


@dataclass(frozen=True)
class Schedule:
    """Length and temperatures. `work`: (source, core) pairs to evaluate in all; `hot`, `cold`: in units of the mean source rate."""

    work: float
    hot: float = 0.6
    cold: float = 0.1
    most: int = 200  # sweeps


def new_state(wiring: Wiring, chip: Chip, core_of: Int, cores: int) -> State:
    """Return the state of a partition on `cores` cores, some of which may be empty."""
    least = least_words(int(wiring.fan_out.max(initial=0)), wiring, chip)
    room = np.minimum(wiring.fan_out, cores)
    room = np.minimum(room + 1, wiring.fan_out)  # a move adds before it removes
    slot = np.concatenate([[0], np.cumsum(room)]).astype(np.int64)
    state = State(
        wiring.indptr,
        wiring.sources,
        *wiring.by_source,
        wiring.outside,
        wiring.rates,
        np.ones(wiring.neurons, np.int32),
        least,
        core_of.copy(),
        slot,
        np.zeros(len(slot) - 1, np.int32),
        np.zeros(slot[-1], np.int32),
        np.zeros(slot[-1], np.int32),
        np.zeros((cores, 5), np.int64),
        np.tile(limits(chip), (cores, 1)),
    )
    refine_kernels.build_pairs(state)
    set_word_limits(state, wiring, chip)
    return state


def set_word_limits(state: State, wiring: Wiring, chip: Chip, share: float = 1.0) -> bool:
    """Count the words exactly, and convert the limits to the words that lists of the same lengths would take without gaps.

    `share`: of a core's words that moves may fill. Returns whether the partition is within every limit.
    """
    exact, cap = core_loads(wiring, state.core_of, chip), limits(chip)
    full = np.zeros((len(state.held), 5), np.int64)
    full[: len(exact)] = exact
    for k in (WORDS, LONGEST):
        ratio = state.held[:, WORDS] / np.maximum(full[:, WORDS], 1)
        ratio[full[:, WORDS] == 0] = ratio[full[:, WORDS] > 0].min(initial=1.0)
        state.cap[:, k] = np.floor(cap[k] * share * ratio)
    return bool((full <= cap).all())


def refine(
    wiring: Wiring,
    chip: Chip,
    core_of: Int,
    cores: int,
    schedule: Schedule,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Int:
    """Return a partition with no more messages than `core_of`, on at most `cores` cores, within every limit as `core_of` is.

    `progress` is called after each sweep with the share of sweeps completed.
    """
    rng = np.random.default_rng(seed)
    gumbel, random = rng.gumbel(size=GUMBELS), rng.integers(1, 1 << 63, 1, np.uint64)
    state = new_state(wiring, chip, core_of, cores)
    best, fewest = core_of, wiring.messages(core_of)
    kept, share = state.core_of.copy(), 1.0
    movable = np.flatnonzero(np.diff(wiring.indptr))
    unit = float(wiring.rates[wiring.fan_out > 0].mean()) if movable.size else 0.0
    temperatures = _temperatures(wiring, core_of, schedule)
    for number, temperature in enumerate(temperatures, 1):
        _, moves = refine_kernels.sweep(state, rng.permutation(movable), temperature * unit, gumbel, random)
        progress(number / len(temperatures))
        if not set_word_limits(state, wiring, chip, share):
            share *= 0.97
            state.core_of[:] = kept
            refine_kernels.build_pairs(state)
            set_word_limits(state, wiring, chip, share)
            continue
        kept = state.core_of.copy()
        if temperature == 0.0:
            messages = wiring.messages(kept)
            if messages < fewest:
                best, fewest = kept, messages
            if moves < movable.size // 2000 + 1:
                break
    return best


def descend(wiring: Wiring, chip: Chip, core_of: Int, cores: int, count: int, seed: int) -> Int:
    """Return a partition after `count` sweeps of plain descent, with the guarantees of `refine`."""
    return refine(wiring, chip, core_of, cores, Schedule(count * _pairs(wiring, core_of), most=count, hot=0.0, cold=0.0), seed)


def _pairs(wiring: Wiring, core_of: Int) -> float:
    """Return the (source, core) pairs that a sweep evaluates; at least 1."""
    return max(float((wiring.reach(core_of) * wiring.fan_out).sum()), 1.0)


def _temperatures(wiring: Wiring, core_of: Int, schedule: Schedule) -> list[float]:
    """Return the temperature of each sweep: a geometric decrease, then zeros."""
    total = sweeps(wiring, core_of, schedule)
    calm = min(DESCENTS, (total + 1) // 2)
    if schedule.hot == 0.0:
        return [0.0] * total
    warm = np.geomspace(schedule.hot, schedule.cold, total - calm).tolist() if total - calm > 1 else []
    return [*warm, *[0.0] * calm]


def sweeps(wiring: Wiring, core_of: Int, schedule: Schedule) -> int:
    """Return how many times a schedule visits every neuron of a partition; at least once."""
    return int(min(schedule.most, max(schedule.work / _pairs(wiring, core_of), 1.0)))


def work_of(wiring: Wiring, core_of: Int, schedule: Schedule) -> float:
    """Return the (source, core) pairs that a schedule really evaluates: no more than its sweeps do."""
    return sweeps(wiring, core_of, schedule) * _pairs(wiring, core_of)


def shrink(wiring: Wiring, chip: Chip, core_of: Int, share: float) -> Int | None:
    """Dissolve the emptiest cores into others, as far as these have room within `share` of every limit.

    Returns:
        a partition on fewer cores within every limit, or None.
    """
    cores = int(core_of.max()) + 1
    state, found, failures, gone = new_state(wiring, chip, core_of, cores), None, 0, 0
    state.cap[:] = (state.cap * share).astype(np.int64)
    tried = np.zeros(cores, np.bool_)
    enough = core_loads(wiring, core_of, chip)[:, :LONGEST].sum(axis=0) / (limits(chip)[:LONGEST] * share)
    while failures < ATTEMPTS and np.count_nonzero(state.held[:, NEURONS]) - 1 >= enough.max():
        use = (state.held[:, :LONGEST] / state.cap[:, :LONGEST].clip(1)).sum(axis=1)
        use[tried | (state.held[:, NEURONS] == 0)] = np.inf
        victim = int(use.argmin())
        if not np.isfinite(use[victim]):
            break
        tried[victim] = True
        if not refine_kernels.dissolve(state, victim, np.flatnonzero(state.core_of == victim)):
            failures += 1
            continue
        gone += 1
        if gone % (1 + cores // CHECKS) == 0:  # the exact count of the words reads every synapse
            if not _exact(wiring, chip, state):
                return found
            found = _compact(state)
    return _compact(state) if gone and _exact(wiring, chip, state) else found


def _exact(wiring: Wiring, chip: Chip, state: State) -> bool:
    return bool((core_loads(wiring, _compact(state), chip) <= limits(chip)).all())


def _compact(state: State) -> Int:
    return np.unique(state.core_of, return_inverse=True)[1].astype(np.int64)
