"""Grad R: one step against its equations; the sparsity that was asked for, whatever the recipe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings, methods
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.methods import dense, grad_r
from spikeloom.train.networks import fc

STEPS = 60


def model_of(seed: int = 0, hidden: tuple[int, ...] = (40,)) -> SpikingNetwork:
    torch.manual_seed(seed)
    return fc.build(50, 7, hidden, 4)


def settings_of(**changes: object) -> TrainSettings:
    return TrainSettings(data="digits", **({"method": "grad-r", "sparsity": 0.9} | changes))  # pyright: ignore[reportArgumentType]


def fake_gradients(model: SpikingNetwork, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in model.weights().values():
        weight.grad = torch.randn(weight.shape, generator=generator)


def run(method: grad_r.GradR, model: SpikingNetwork, steps: int, lr: float = 1e-2, begin: int = 0) -> None:
    for step in range(begin, begin + steps):
        fake_gradients(model, step)
        method.step(lr, (step + 1) / STEPS)


@pytest.mark.parametrize("control", ["open", "closed"])
def test_a_step_is_the_paper_s(control: str) -> None:
    model, settings = model_of(), settings_of(control=control, alpha=0.5)
    method = grad_r.GradR(model, settings)
    theta, sign = method.theta.astype(np.float64), method.sign.astype(np.float64)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    mu = math.log(2 * (1 - 0.9)) / 0.5
    for t in range(1, 6):  # no correction falls into the first steps
        fake_gradients(model, t)
        g = np.concatenate([np.asarray(w.grad).ravel() for w in model.weights().values()]).astype(np.float64)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        rate = 0.01 / (1 - 0.9**t)
        prior = rate * 0.5 * np.sign(theta - mu) if control == "open" else 0.0
        theta = theta - rate * sign * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) - prior
        method.step(0.01, 0.0)
    np.testing.assert_allclose(method.theta, theta, rtol=1e-4, atol=1e-5)
    weights = np.concatenate([w.detach().numpy().ravel() for w in model.weights().values()])
    np.testing.assert_array_equal(weights, method.sign * np.maximum(method.theta, 0))


@pytest.mark.parametrize("sparsity", [0.0, 0.001, 0.3, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("lr", [1e-5, 1e-2, 0.5])
def test_the_sparsity_asked_for_comes_out(sparsity: float, lr: float) -> None:
    model = model_of()
    method = grad_r.GradR(model, settings_of(sparsity=sparsity))
    run(method, model, STEPS, lr)
    numbers = method.end_epoch(1.0)
    zeros = sum(int((w == 0).sum()) for w in model.weights().values())
    assert zeros == round(sparsity * method.size) == round(method.sparsity() * method.size)
    assert method.is_final(1.0) and set(numbers) == {"alpha", "pruned", "regrown"}


def test_too_sparse_is_lifted() -> None:
    model = model_of()
    method = grad_r.GradR(model, settings_of(sparsity=0.5))
    method.theta -= 1.0  # everything dead
    assert method.end_epoch(1.0)["regrown"] == 0  # counted from the epoch's start, when all were alive
    assert method.sparsity() == round(0.5 * method.size) / method.size


def test_a_pruned_synapse_regrows() -> None:
    model = model_of()
    method = grad_r.GradR(model, settings_of(sparsity=0.5))
    run(method, model, 40)
    method.end_epoch(40 / STEPS)
    few = np.flatnonzero(method.theta <= 0)[:20]
    for _ in range(120):  # a gradient that asks a few dead synapses for more weight
        for weight, part in method._parts():
            wish = np.where(np.isin(np.arange(method.size)[part], few), -method.sign[part], 0).astype(np.float32)
            weight.grad = torch.from_numpy(wish).reshape(weight.shape)
        method.step(1e-2, 1.0)
    assert method.end_epoch(1.0)["regrown"] > 0


def test_frozen_keeps_the_mask() -> None:
    model = model_of()
    method = grad_r.GradR(model, settings_of())
    run(method, model, STEPS)
    method.end_epoch(1.0)
    before = [w.detach() != 0 for w in model.weights().values()]
    method.freeze()
    run(method, model, 30, lr=0.1)
    method.end_epoch(1.0)
    assert all(torch.equal(b, w != 0) for b, w in zip(before, model.weights().values(), strict=True))


@pytest.mark.parametrize("name", registry.names(methods))
def test_every_method_continues_from_its_state(name: str) -> None:
    settings = settings_of(method=name, sparsity=0.0 if name == "dense" else 0.9)
    models = [model_of(0), model_of(1)]
    built = [registry.load(methods, "method", name).build(m, settings) for m in models]
    run(built[0], models[0], 15)
    built[0].end_epoch(15 / STEPS)
    saved = {k: t.clone() for k, t in built[0].state_tensors().items()}
    built[1].load_state_tensors(saved)
    for method, model in zip(built, models, strict=True):
        run(method, model, 15, begin=15)
        method.end_epoch(30 / STEPS)
    for a, b in zip(models[0].weights().values(), models[1].weights().values(), strict=True):
        assert torch.equal(a, b)


def test_open_control_needs_half() -> None:
    with pytest.raises(UsageError, match=r"0\.5"):
        grad_r.build(model_of(), settings_of(sparsity=0.4, control="open"))


def test_dense_refuses_a_sparsity() -> None:
    with pytest.raises(UsageError, match="grad-r"):
        dense.build(model_of(), settings_of(method="dense"))


def test_layers_must_keep_a_synapse() -> None:
    with pytest.raises(UsageError, match="layers"):
        grad_r.build(model_of(hidden=(2,)), settings_of(sparsity=0.995))
    model = model_of()
    method = grad_r.GradR(model, settings_of())
    method.theta[-7 * 40 :] = -10.0
    with pytest.raises(UsageError, match="output"):
        method.end_epoch(1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sparsity", 1.0), ("sparsity", -0.1), ("sparsity", math.nan), ("sparsity", "much"), ("epochs", 0), ("epochs", 2.5),
        ("batch_size", 0),
        ("lr", 0.0), ("lr", math.inf), ("timesteps", 0), ("hidden", ()), ("hidden", (0,)), ("weight_bits", 9), ("weight_bits", 1),
        ("control", "opne"), ("alpha", 0.0), ("validation_fraction", 1.0), ("seed", -1), ("ramp", 0.0),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        settings_of(**{name: value})
