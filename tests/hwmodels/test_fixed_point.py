"""The arithmetic against an independent one in Python's unbounded integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom.hwmodels import fixed_point
from spikeloom.hwmodels.quantise import Arriving, choose_population, choose_registers, input_bound, quantise, round_bias

states = st.integers(-(2**23) + 1, 2**23 - 1)


def toward_zero(a: int, b: int) -> int:
    return abs(a) // b * (1 if a >= 0 else -1)


def lif(u: int, v: int, a: int, du: int, dv: int, vth: int, bias: int) -> tuple[int, int, bool]:
    u = toward_zero(u * (4096 - (du + 1)), 4096) + a * 64
    if u > 2**23:
        u -= 2**24
    elif u <= -(2**23):
        u += 2**24
    v = max(-(2**23) + 1, min(2**23 - 1, toward_zero(v * (4096 - dv), 4096) + u + bias))
    return u, 0 if v > vth * 64 else v, v > vth * 64


biases = st.integers(-fixed_point.BIAS_MAX, fixed_point.BIAS_MAX)


@example(0, 0, -(2**17), 4095, 0, 131071, 0)  # u at exactly -2^23, which wraps, ...
@example(0, 0, 2**17, 4095, 0, 131071, 0)  # ... and at 2^23, which does not
@example(-1, -1, 0, 0, 1, 0, 0)  # decays round toward zero
@example(0, 2**23 - 1, 1, 4095, 0, 131071, 0)  # the potential saturates, ...
@example(0, -(2**23) + 1, -1, 4095, 0, 131071, 0)  # ... on both sides
@given(states, states, st.integers(-(2**18), 2**18), st.integers(-1, 4095), st.integers(0, 4095), st.integers(0, 131071), biases)
def test_lif_step_is_the_equation(u: int, v: int, a: int, du: int, dv: int, vth: int, bias: int) -> None:
    got = fixed_point.lif_step(np.array([u]), np.array([v]), np.array([a]), du=du, dv=dv, vth=vth, bias=np.array([bias]))
    assert tuple(int(x[0]) for x in got) == tuple(int(x) for x in lif(u, v, a, du, dv, vth, bias))


@example(2048, 1)  # 4096: one more than a mantissa of 13 bits
@given(st.integers(-4096, 4095), st.integers(0, 7))
def test_biases_of_13_bits_and_an_exponent_are_held(mantissa: int, exponent: int) -> None:
    bias = np.array([mantissa << exponent])
    found, shift = fixed_point.bias_registers(bias)
    assert fixed_point.holds_bias(bias)[0]
    assert int(found[0]) << int(shift[0]) == mantissa << exponent
    assert -4096 <= found[0] <= 4095


@pytest.mark.parametrize(
    ("bias", "held"), [(8190, True), (8191, False), (8193, False), (4095 << 7, True), (4096 << 7, False), (-4096 << 7, True)]
)
def test_other_biases_are_not(bias: int, held: bool) -> None:
    assert bool(fixed_point.holds_bias(np.array([bias]))[0]) is held


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=9), st.floats(1.0, 8190.0))
def test_rounded_biases_are_held_and_near(values: list[float], gain: float) -> None:
    bias = np.asarray(values)
    rounded = round_bias(bias, gain)
    assert fixed_point.holds_bias(rounded).all()
    assert (np.abs(rounded - bias * gain * 64) <= np.maximum(0.5, np.abs(bias * gain * 64) / 4095)).all()


def _summed(w: NDArray[np.float64]) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    rows = np.nonzero(w)[0]
    return lambda values: np.bincount(rows, weights=values, minlength=len(w)).astype(np.float64)


@given(st.integers(0, 2**31 - 1), st.integers(2, 8), st.floats(0.0, 50.0), st.floats(0.05, 1.0), st.booleans())
def test_registers_of_several_projections_never_wrap_and_fit(seed: int, bits: int, bias: float, clip: float, finest: bool) -> None:
    """All that can arrive in one step, a graded projection, spikes of tiny weights and a shortcut, stays below 2^17."""
    rng = np.random.default_rng(seed)
    parts = [(rng.normal(0, 1, (7, 40)), 255, 1 / 255), (rng.normal(0, 1e-3, (7, 90)), 1, 1.0), (np.eye(7), 1, 1.0)]
    inputs = [Arriving(w[w != 0], _summed(w), levels, unit) for w, levels, unit in parts]
    biases = rng.uniform(-bias, bias, 7)
    plain, finer = (
        choose_population(inputs, tau=2.0, decay_input=True, v_threshold=1.0, bias=biases, weight_bits=bits, clip=clip, finest=f)
        for f in (False, True)
    )
    chosen = finer if finest else plain
    assert finer.gain >= plain.gain
    largest = np.zeros(7, np.int64)
    for sign in (1, -1):
        total = np.zeros(7, np.int64)
        for (w, levels, unit), step, exponent in zip(parts, chosen.steps, chosen.exponents, strict=True):
            assert step * 2.0**exponent == pytest.approx(chosen.gain * unit)
            integers = np.maximum(sign * quantise(w, step, bits), 0).sum(axis=1) * sign * levels
            total += fixed_point.shift(integers.astype(np.int64), exponent)
        largest = np.maximum(largest, np.abs(total))
    assert largest.max() < 1 << 17
    if chosen.gain > plain.gain:  # a finer scale never makes the potential saturate: it adds up to tau inputs
        assert 2.0 * (largest.max() + np.abs(biases).max() * chosen.gain) < 1 << 17
    assert 0 <= chosen.vth <= fixed_point.VTH_MAX
    assert max(chosen.exponents) <= 7
    assert fixed_point.holds_bias(round_bias(biases, chosen.gain)).all()


def test_current_that_never_decays_is_kept_exactly() -> None:
    u = v = np.zeros(1, np.int64)
    for t in range(20):
        u, v, _ = fixed_point.lif_step(u, v, np.array([777 if t == 0 else 0]), du=fixed_point.NEVER_DECAYS, dv=4095, vth=131071)
        assert int(u[0]) == 777 << 6


def test_threshold_is_strict() -> None:
    zero = np.zeros(1, np.int64)
    assert not fixed_point.lif_step(zero, zero, np.array([100]), du=4095, dv=0, vth=100)[2][0]
    assert fixed_point.lif_step(zero, zero, np.array([101]), du=4095, dv=0, vth=100)[2][0]


@given(st.integers(0, 2**31 - 1), st.integers(2, 8), st.sampled_from([1, 16, 255]), st.floats(0.01, 20.0))
def test_registers_never_wrap_and_fit(seed: int, bits: int, levels: int, size: float) -> None:
    weights = np.random.default_rng(seed).normal(0, size, (7, 40))
    chosen = choose_registers(weights, tau=2.0, decay_input=True, v_threshold=1.0, levels=levels, input_scale=1 / levels, weight_bits=bits)
    integers = quantise(weights, chosen.step, bits)
    bound = int(input_bound(integers, levels))
    assert int(fixed_point.shift(np.array(bound), chosen.exponent)) < 1 << 17
    assert int(fixed_point.shift(np.array(-bound), chosen.exponent)) > -(1 << 17)
    assert 0 <= chosen.vth <= fixed_point.VTH_MAX
    assert np.abs(integers).max() == fixed_point.largest_weight(bits)
