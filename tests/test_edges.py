"""Numbers exactly at the edges of rules, which random examples seldom meet. benchmarks/mutations.toml says which faults each is for."""

from __future__ import annotations

import numpy as np
import pytest
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels import quantise


def _limited(**limits: int) -> chips.Chip:
    chip = chips.load("loihi")
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in limits.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


@pytest.mark.parametrize(("exact", "mantissa"), [(2.0, 2), (2.49, 2), (2.5, 2), (2.51, 3), (3.0, 3)])
def test_thresholds_round_half_down_since_the_comparison_is_strict(exact: float, mantissa: int) -> None:
    assert quantise.threshold(exact, 0, 1.0, 1.0, 1.0) == mantissa


@pytest.mark.parametrize(("tau", "dv", "du"), [(1.0, 4095, 4095), (1.5, 2731, 2730), (3.0, 1365, 1364), (1e9, 0, 0)])
def test_decays_are_rounded_to_the_nearest_register(tau: float, dv: int, du: int) -> None:
    assert (quantise.voltage_decay(tau), quantise.current_decay(tau)) == (dv, du)


def test_a_sum_of_exactly_two_to_the_17_wraps_and_is_halved() -> None:
    """1,024 pairs of weights of 127 and 1: the current would be 2^23, which is the register's end."""
    weights = np.tile([1.0, 1.0 / 127.0], 1024)[None]
    for weights_of, exponent in ((weights, -1), (weights[:, :-1], 0)):
        chosen = quantise.choose_registers(weights_of, tau=2.0, decay_input=True, v_threshold=1.0, levels=1, input_scale=1.0)
        assert chosen.exponent == exponent


def test_plain_biases_saturate_at_13_bits() -> None:
    assert quantise.round_bias_plain(np.array([1.0, -1.0, 0.5 / 64]), 1e6).tolist() == [4095 << 6, -4095 << 6, 4095 << 6]
    assert quantise.round_bias_plain(np.array([2.4, -2.6]), 1.0).tolist() == [2 << 6, -3 << 6]


def test_a_tile_that_is_not_full_is_a_tile() -> None:
    assert [_limited(cores=cores).tiles for cores in (1, 4, 5, 8)] == [1, 1, 2, 2]
