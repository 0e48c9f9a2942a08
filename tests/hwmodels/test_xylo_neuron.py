"""Xylo's arithmetic against the equations, one number at a time, in Python's own integers."""

from __future__ import annotations

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spikeloom.errors import NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.xylo import STATE_MAX, STATE_MIN, decay, receive, xylo_step
from spikeloom.network.model import XyloLIF

states = st.integers(STATE_MIN, STATE_MAX)


def clip16(x: int) -> int:
    return max(STATE_MIN, min(STATE_MAX, x))


def lost(x: int, dash: int) -> int:
    """d(x, dash), which is at least 1 away from 0."""
    return x >> dash or (x > 0) - (x < 0)


@settings(max_examples=examples(200), deadline=None)
@given(states, states, st.integers(0, 15), st.integers(0, 15), st.integers(1, STATE_MAX), st.sampled_from([1, 31]), st.integers(-500, 500))
@example(0, STATE_MIN, 1, 0, 5, 31, 0)  # 16 bits hold no 32,768
@example(STATE_MAX, STATE_MAX, 15, 15, 1, 31, 0)  # saturates, and spikes as often as it may
@example(-1, -1, 4, 4, 1, 31, 0)  # a state fades to 0, not below
@example(1, 1, 15, 15, 1, 1, 0)
def test_a_neuron_against_its_equations(i: int, v: int, ds: int, dm: int, threshold: int, most: int, bias: int) -> None:
    current = i - lost(i, ds)
    fading = -lost(v, dm)
    fading = STATE_MIN if fading > STATE_MAX else fading
    after = clip16(v + clip16(clip16(fading + current) + bias))
    spikes = 0
    while after >= threshold and spikes < most:
        after, spikes = after - threshold, spikes + 1
    found = xylo_step(np.array(i), np.array(v), dash_syn=ds, dash_mem=dm, threshold=threshold, most=most, bias=bias)
    assert tuple(int(x) for x in found) == (current, after, spikes)


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from([1, 300]))
def test_currents_saturate_after_every_source(seed: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    weights, spikes = rng.integers(-127, 128, (2, 3, 6)) * scale, rng.integers(0, 32, (2, 6, 4))
    i = rng.integers(STATE_MIN, STATE_MAX + 1, (3, 4))
    expected = i.copy()
    for target, sample in np.ndindex(3, 4):
        for part, source in np.ndindex(2, 6):
            for _ in range(spikes[part, source, sample]):  # the chip adds one spike at a time
                expected[target, sample] = clip16(int(expected[target, sample]) + int(weights[part, target, source]))
    assert (receive(i, list(zip(weights, spikes, strict=True))) == expected).all()


def test_a_state_fades_to_zero_and_stays() -> None:
    x = np.array([-40, -1, 0, 1, 40])
    for _ in range(200):
        x = x - decay(x, 3)
    assert (x == 0).all()


def test_a_chip_without_a_limit_that_a_target_needs_says_so() -> None:
    with pytest.raises(UsageError, match=r"The chip loihi2 states no limits\.fan_in"):
        chips.load("loihi2").limit("fan_in")


@pytest.mark.parametrize(
    ("wrong", "said"), [({"dash_mem": 16}, "0..15"), ({"threshold": 0}, "threshold 0"), ({"most": 32}, "most 32"), ({"dash_syn": -1}, "-1")]
)
def test_registers_out_of_range_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(NetworkError, match=said):
        XyloLIF(**wrong)


def test_files_of_other_chips_are_written_as_before() -> None:
    """Limits and power that only Xylo states are not in the documents of chips without them, so that earlier versions read these."""
    document = chips.load("loihi2").model_dump(mode="json")
    assert not {"inputs", "fan_in", "recurrent_synapses"} & set(document["limits"]) and "dynamic_power" not in document["energy"]
    assert "synaptic_op_dense" in document["energy"]  # an older key, written even where it is not set
    xylo = chips.load("xylo")
    assert chips.Chip.model_validate(xylo.model_dump(mode="json")) == xylo and xylo.limit("fan_in") == 63
