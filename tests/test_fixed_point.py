"""The arithmetic against an independent one in Python's unbounded integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from spikeloom.hwmodels import fixed_point
from spikeloom.hwmodels.quantise import choose_registers, input_bound, quantise

states = st.integers(-(2**23) + 1, 2**23 - 1)


def toward_zero(a: int, b: int) -> int:
    return abs(a) // b * (1 if a >= 0 else -1)


def lif(u: int, v: int, a: int, du: int, dv: int, vth: int) -> tuple[int, int, bool]:
    u = toward_zero(u * (4096 - (du + 1)), 4096) + a * 64
    if u > 2**23:
        u -= 2**24
    elif u <= -(2**23):
        u += 2**24
    v = max(-(2**23) + 1, min(2**23 - 1, toward_zero(v * (4096 - dv), 4096) + u))
    return u, 0 if v > vth * 64 else v, v > vth * 64


@given(states, states, st.integers(-(2**18), 2**18), st.integers(-1, 4095), st.integers(0, 4095), st.integers(0, 131071))
def test_lif_step_is_the_equation(u: int, v: int, a: int, du: int, dv: int, vth: int) -> None:
    got = fixed_point.lif_step(np.array([u]), np.array([v]), np.array([a]), du=du, dv=dv, vth=vth)
    assert tuple(int(x[0]) for x in got) == tuple(int(x) for x in lif(u, v, a, du, dv, vth))


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
