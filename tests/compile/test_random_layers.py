"""The bounds of `benchmarks/random_layers.py`: above the moments that they bound, below every partition found, and not far below."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import seeds
from spikeloom.compile.mapping.partition import partition
from spikeloom.hwmodels import chip as chips

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
bounds: Any = importlib.import_module("random_layers")
mapping: Any = importlib.import_module("mapping")


def moment(theta: float, balls: int, boxes: int) -> float:
    """log E[exp(-theta t)] by the chance of t boxes, ball by ball."""
    chance = np.zeros(boxes + 1)
    chance[0] = 1.0
    hit = np.arange(boxes + 1)
    for _ in range(balls):
        chance = chance * hit / boxes + np.append(0.0, (chance * (1.0 - hit / boxes))[:-1])
    return math.log(float((chance * np.exp(-theta * hit)).sum()))


@settings(max_examples=examples(60), deadline=None)
@given(st.floats(0.05, 8.0), st.integers(1, 120), st.integers(1, 60))
def test_moments_are_bounded_closely(theta: float, balls: int, boxes: int) -> None:
    exact = moment(theta, balls, boxes)
    found = float(bounds.log_moment(theta, np.array([float(balls)]), boxes)[0])
    assert exact <= found + 1e-9
    assert found <= max(0.6 * exact, exact + 3.5)


@settings(max_examples=examples(5), deadline=None)
@given(seed=seeds, neurons=st.sampled_from([20, 50]), axons=st.sampled_from([150, 10**6]))
def test_no_partition_that_is_found_beats_them(seed: int, neurons: int, axons: int) -> None:
    """Two layers of 300 targets with 8 synapses each on average: a few networks, each of which may fail once in a thousand times."""
    rng = np.random.default_rng(seed)
    keys = mapping.distinct(lambda n: rng.integers(0, 300 * 300, n), 2400, rng)
    found = (mapping.Layer("sources", 0, 300, (300,)), mapping.Layer("targets", 300, 600, (300,)))
    wiring = mapping.wiring_of(keys // 300 + 300, keys % 300, 0, found)
    limits = {"neurons": neurons, "input_axons": axons, "output_axons": 10**6, "synapse_words": 10**6, "words_per_axon": 10**6}
    core_of = partition(wiring, mapping.with_limits(**limits), 10**6).core_of
    layer = bounds.RandomLayer(300, np.bincount(keys // 300, minlength=300))
    least = bounds.least_messages(layer, bounds.Room(neurons, axons))
    assert 0.7 * wiring.messages(core_of) < least <= wiring.messages(core_of)


def test_tighter_limits_bound_more() -> None:
    layer = bounds.RandomLayer(200, np.full(200, 10))
    rooms = (bounds.Room(60, 10**6), bounds.Room(60, 90), bounds.Room(10, 90), bounds.Room(10, 90, 80.0))
    found = [bounds.least_messages(layer, room) for room in rooms]
    assert found == sorted(found) and found[0] > 200 and found[1] > found[0]


def test_what_a_list_takes_at_least() -> None:
    """Loihi's run-length lists at 8 bits: 20 bits an entry, 13 a synapse."""
    wiring = mapping.feed_forward(100, 200, 2).wiring
    assert mapping.per_synapse(wiring, chips.load("loihi")) == pytest.approx((20, 13))
