"""The fused neuron against SpikingJelly's; the integer layer against the deployed arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeloom.hwmodels import fixed_point
from spikeloom.hwmodels.quantise import choose_registers
from spikeloom.train import kernels
from spikeloom.train.connections import Connection
from spikeloom.train.layers import SpikingLayer
from spikeloom.train.neurons import FusedLIFNode
from spikeloom.train.optimiser_kernels import REWIRING
from spikeloom.train.quantise import IntegerArithmetic, choose_arithmetic, exact_product, integer_weights
from spikingjelly.activation_based import neuron, surrogate
from torch import nn


def theirs(**options: float | bool | None) -> neuron.LIFNode:
    node = neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=bool(options.pop("detach_reset", True)), **options)  # pyright: ignore[reportArgumentType]
    node.step_mode = "s"
    return node


@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 9),
    size=st.integers(1, 1500),
    tau=st.floats(1.1, 20.0),
    reset=st.none() | st.floats(-0.5, 0.5),
    decay_input=st.booleans(),
    detach=st.booleans(),
    double=st.booleans(),
    static=st.booleans(),
)
@settings(max_examples=examples(60), deadline=None)
def test_fused_is_spikingjelly_bit_for_bit(
    seed: int, steps: int, size: int, tau: float, reset: float | None, decay_input: bool, detach: bool, double: bool, static: bool
) -> None:
    torch.manual_seed(seed)
    dtype = torch.float64 if double else torch.float32
    x = torch.randn(1 if static else steps, 2, size, dtype=dtype) * 2
    ours = FusedLIFNode(repeat=steps if static else None, tau=tau, v_reset=reset, decay_input=decay_input, detach_reset=detach)
    other = theirs(tau=tau, v_reset=reset, decay_input=decay_input, detach_reset=detach)
    mine, their = x.clone().requires_grad_(), x.clone().requires_grad_()
    s = ours(mine[0] if static else mine)
    expected = torch.stack([other(row) for row in their.expand(steps, 2, size)])
    assert torch.equal(s, expected) and torch.equal(torch.as_tensor(ours.v), torch.as_tensor(other.v))
    weight = torch.randn_like(s)
    (s * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(mine.grad, their.grad, rtol=1e-4, atol=1e-5)


def test_state_continues_until_reset() -> None:
    x = torch.randn(6, 3, 50)
    whole, halves = FusedLIFNode(), FusedLIFNode()
    assert torch.equal(whole(x), torch.cat([halves(x[:3]), halves(x[3:])]))
    halves.reset()
    assert torch.equal(halves(x[:3]), FusedLIFNode()(x[:3]))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fused", [True, False])  # ours, SpikingJelly's code
def test_channels_last_maps_stay_so_and_give_the_same_bits(fused: bool, dtype: torch.dtype, static: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 5, 4, 7) * 2 if not static else torch.randn(3, 5, 4, 7) * 2
    last = x.flatten(0, -4).contiguous(memory_format=torch.channels_last).view_as(x).to(dtype)
    weight = torch.rand(6, 3, 5, 4, 7)
    results: list[tuple[torch.Tensor, ...]] = []
    for values in (x.to(dtype), last):
        node, mine = FusedLIFNode(repeat=6 if static else None), values.clone().requires_grad_()
        node.surrogate_function = surrogate.ATan() if fused else surrogate.Sigmoid()
        s = node(mine)
        s = s + node(mine)  # from the state that the first call left
        (s * weight).sum().backward()
        assert mine.grad is not None and torch.as_tensor(node.v).dtype == torch.float32 and s.dtype == dtype
        results.append((s.detach(), mine.grad, torch.as_tensor(node.v)))
    assert results[1][0][0].is_contiguous(memory_format=torch.channels_last)
    (s, grad, v), (s_last, grad_last, v_last) = results
    assert torch.equal(s, s_last) and torch.equal(v, v_last)
    if not fused:  # torch adds up the steps of a repeated input in the order of memory
        torch.testing.assert_close(grad, grad_last)
    else:
        assert torch.equal(grad, grad_last)


def test_half_precision_keeps_its_state_in_float32() -> None:
    """A potential in bfloat16 could not hold what accumulates: 0.0002 a step is lost beside 0.5."""
    x = (torch.rand(30, 2, 40) * 1.2).bfloat16()
    fused = FusedLIFNode(tau=50.0, decay_input=False)(x)
    exact = FusedLIFNode(tau=50.0, decay_input=False)(x.float())
    assert torch.equal(fused.float(), exact)
    soft = FusedLIFNode(v_reset=None, tau=50.0, decay_input=False)
    assert torch.equal(soft(x).float(), soft_steps(x.float())) and torch.as_tensor(soft.v).dtype == torch.float32


def soft_steps(x: torch.Tensor) -> torch.Tensor:
    other = theirs(tau=50.0, v_reset=None, decay_input=False)  # pyright: ignore[reportArgumentType]
    return torch.stack([other(row) for row in x])


def linear_layer(inputs: int, outputs: int, repeat: int | None) -> SpikingLayer:
    source = "input" if repeat else "hidden"
    return SpikingLayer([Connection((source,), (inputs,), nn.Linear(inputs, outputs, bias=False))], repeat)


def run(layer: SpikingLayer, x: torch.Tensor) -> torch.Tensor:
    return layer({layer.sources[0]: x})


def integer_reference(layer: SpikingLayer, chip: IntegerArithmetic, x: np.ndarray, steps: int) -> np.ndarray:
    registers = chip.registers
    weights = integer_weights(layer.linear.weight, registers).numpy().astype(np.int64)
    shape = (x.shape[-2], weights.shape[0])
    u, v = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    spikes: list[np.ndarray] = []
    for t in range(steps):
        payload = x if layer.is_first else x[t]
        a = fixed_point.synaptic_input(weights, payload.T.astype(np.int64), registers.exponent).T
        soft = layer.neuron.v_reset is None
        u, v, s = fixed_point.lif_step(u, v, a, du=fixed_point.NO_MEMORY, dv=registers.dv, vth=registers.vth, soft_reset=soft)
        spikes.append(s)
    return np.stack(spikes)


@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 40),
    steps=st.integers(1, 10),
    bits=st.integers(2, 8),
    first=st.booleans(),
    gain=st.floats(0.1, 30.0),
    density=st.floats(0.02, 1.0),
    soft=st.booleans(),
)
@settings(max_examples=examples(80), deadline=None)
def test_integer_layer_is_the_deployed_arithmetic(
    seed: int, inputs: int, outputs: int, steps: int, bits: int, first: bool, gain: float, density: float, soft: bool
) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed % 2**31)
    layer = linear_layer(inputs, outputs, steps if first else None)
    layer.neuron.v_reset = None if soft else 0.0
    with torch.no_grad():
        layer.linear.weight.mul_(gain).mul_(torch.from_numpy((rng.random((outputs, inputs)) < density).astype(np.float32)))
    levels = 255 if first else 1
    chip = choose_arithmetic(layer.linear.weight.detach().numpy(), layer.neuron, bits, levels, 1.0 / levels)
    layer.integer = chip
    x = rng.integers(0, 256, (3, inputs)) if first else rng.integers(0, 2, (steps, 3, inputs))
    spikes = run(layer, torch.from_numpy(x.astype(np.float32))).detach().numpy() > 0
    assert np.array_equal(spikes, integer_reference(layer, chip, x, steps))


def test_sums_beyond_float32_stay_exact() -> None:
    layer = linear_layer(4000, 3, 4)
    with torch.no_grad():
        layer.linear.weight.uniform_(0.5, 1.0)
    chip = choose_arithmetic(layer.linear.weight.detach().numpy(), layer.neuron, 8, 255, 1 / 255)
    layer.integer = chip
    x = np.random.default_rng(0).integers(200, 256, (5, 4000))
    spikes = run(layer, torch.from_numpy(x.astype(np.float32))).detach().numpy() > 0
    assert np.array_equal(spikes, integer_reference(layer, chip, x, 4))


@pytest.mark.parametrize("terms", [1 << 18, 1 << 19, (1 << 19) + 1])
def test_products_are_exact_on_both_sides_of_what_float32_holds(terms: int) -> None:
    """Sums of 2^24 - 2^6 and beyond: odd ones past 2^24 have no float32."""
    x = torch.full((1, terms), 63.0)
    x[0, 0] = 62.0
    found = exact_product(x, torch.ones(1, terms), 63)
    assert int(found.double()[0, 0]) == 63 * terms - 1


def test_registers_are_chosen_for_the_distance_from_reset_to_threshold() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 10))

    def threshold(v_reset: float, v_threshold: float) -> IntegerArithmetic:
        return choose_arithmetic(weights, FusedLIFNode(tau=2.0, v_threshold=v_threshold, v_reset=v_reset), 8, 1, 1.0)

    assert threshold(0.5, 1.5) == threshold(0.0, 1.0) != threshold(0.0, 1.5)


@pytest.mark.parametrize("v_reset", [0.0, None])
def test_straight_through_gradient_is_that_of_the_float_layer(v_reset: float | None) -> None:
    torch.manual_seed(0)
    layer = linear_layer(30, 20, None)
    layer.neuron.v_reset = v_reset
    registers = choose_registers(
        layer.linear.weight.detach().numpy(), tau=2.0, decay_input=True, v_threshold=1.0, levels=1, input_scale=1.0, weight_bits=8
    )
    with torch.no_grad():  # weights that quantise without a rest
        layer.linear.weight.copy_(torch.round(layer.linear.weight * registers.step) / registers.step)
    x = (torch.rand(6, 4, 30) < 0.5).float()
    grads: list[torch.Tensor] = []
    for chip in (None, IntegerArithmetic(registers, 1, 1.0)):
        layer.integer = chip
        layer.neuron.reset()
        layer.zero_grad()
        mine = x.clone().requires_grad_()
        (run(layer, mine) * torch.linspace(0, 1, 20)).sum().backward()
        assert mine.grad is not None and layer.linear.weight.grad is not None
        grads += [mine.grad, layer.linear.weight.grad.clone()]
    torch.testing.assert_close(grads[0], grads[2], rtol=0.05, atol=1e-3)
    torch.testing.assert_close(grads[1], grads[3], rtol=0.05, atol=2e-2)


def test_live_weights_never_round_to_zero() -> None:
    weight = torch.tensor([[1.0, 1e-6, -1e-6, 0.0]])
    registers = choose_registers(weight.numpy(), tau=2.0, decay_input=True, v_threshold=1.0, levels=1, input_scale=1.0)
    assert integer_weights(weight, registers).tolist() == [[127.0, 1.0, -1.0, 0.0]]


@pytest.mark.parametrize("bits", [2, 8])
def test_integer_weights_stay_in_range(bits: int) -> None:
    weight = torch.linspace(-1, 1, 41).reshape(1, -1)
    registers = choose_registers(weight.numpy(), tau=2.0, decay_input=True, v_threshold=1.0, levels=1, input_scale=1.0, weight_bits=bits)
    assert integer_weights(weight * 2, registers).abs().max() == fixed_point.largest_weight(bits)


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 5), size=st.integers(1, 2500), static=st.booleans(), soft=st.booleans())
@settings(max_examples=examples(20), deadline=None)
def test_kernels_for_one_thread_give_the_same_bits(seed: int, steps: int, size: int, static: bool, soft: bool) -> None:
    rng, single, rows = np.random.default_rng(seed), np.float32, 1 if static else steps
    x, state = rng.normal(0, 2, (rows, size)).astype(single), rng.normal(0, 1, size).astype(single)
    total, gradient = np.round(x * 50), rng.normal(0, 1, (steps, size)).astype(single)
    theta, sign = rng.normal(0, 1, (5, size)).astype(single), rng.choice([-1, 1], size).astype(np.int8)
    found: list[bytes] = []
    compiled: list[Any] = [kernels.lif_forward, kernels.lif_backward, kernels.integer_lif_forward, REWIRING.compiled]
    for alone in (False, True):
        forward, backward, integer, update = (kernel.alone if alone else kernel for kernel in compiled)
        made = [np.zeros((steps, size), single) for _ in range(4)]
        made += [state.copy(), state.copy(), np.zeros((rows, size), single), theta.copy()]
        spikes, charged, whole, held, v, grad_v, grad_x, arrays = made
        arrays[4] **= 2
        forward(x, v, single(2), single(1), single(0), True, soft, spikes, charged)
        integer(total, 0.5, 0.75, 64.0, np.round(state * 64), True, soft, whole, held)
        backward(gradient, grad_v, charged, *(single(n) for n in (1, 1, 3, 1, 0.5, 0.5, 0)), True, False, soft, grad_x)
        update(arrays[0], sign, *arrays[1:], *(single(n) for n in (0.9, 0.99, 0.01, 0.5, 1e-8, 0.01, -0.5, 0.001)), False)
        found.append(b"".join(array.tobytes() for array in made))
    assert found[0] == found[1]
