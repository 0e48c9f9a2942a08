"""Exponential moving averages of weights: the equation, what is kept and exported, resuming, what cannot be averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from spikeloom.compile import compile_network
from spikeloom.data.dataset import load_dataset
from spikeloom.errors import UsageError
from spikeloom.runtime import run as run_network
from spikeloom.train import TrainedRun, TrainSettings, fit, train_run
from spikeloom.train.averages import Averages
from spikeloom.train.methods.api import JUST_LIVE
from spikingjelly.activation_based import layer, neuron
from test_loop import assert_same, paused
from torch import Tensor, nn
from trainers import trainer_of

RECIPE = TrainSettings(
    "digits", epochs=4, batch_size=16, timesteps=4, validation_fraction=0.2, device="cpu", lr=0.02, net_options={"hidden": (20,)}
)


def weights_of(run: TrainedRun) -> dict[str, Tensor]:
    return load_file(run.folder / "model.safetensors")


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9995])
def test_the_averages_follow_their_equation(decay: float) -> None:
    torch.manual_seed(3)
    model: Any = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    averages, rng = Averages(model, decay), np.random.default_rng(0)
    expected: dict[str, np.ndarray[Any, Any]] = {}
    for n in range(30):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(torch.from_numpy(rng.normal(size=tensor.shape)))
        averages.update()
        d = min(decay, (1 + n) / (10 + n))
        for name, parameter in model.named_parameters():
            w = parameter.detach().double().numpy()
            expected[name] = w if n == 0 else expected[name] + (1 - d) * (w - expected[name])
    for name, value in expected.items():
        np.testing.assert_allclose(averages.values[name].numpy(), value, rtol=1e-5, atol=1e-5)


def test_running_statistics_follow_once_an_epoch() -> None:
    model: Any = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    averages = Averages(model, 0.5)
    for _ in range(20):
        averages.update()
    began = averages.values["1.running_mean"].clone()
    model[1].running_mean += 1.0
    averages.end_epoch()
    assert torch.allclose(averages.values["1.running_mean"], began + 1.0, atol=1e-3)  # nothing is left after 20 steps
    with averages.in_place():
        assert torch.equal(model[1].running_mean, averages.values["1.running_mean"])


def test_a_live_weight_stays_alive_and_a_dead_one_dead() -> None:
    model: Any = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.2, 0.0, 2.0]]))
    averages = Averages(model, 0.5)
    averages.update()
    averages.values["weight"][0, 0] = 0.0
    with averages.in_place():
        weight = model.weight.detach()[0]
        assert float(weight[0]) == -float(torch.tensor(JUST_LIVE)) and float(weight[1]) == 0.0 and float(weight[2]) == 2.0
    assert torch.equal(model.weight.detach(), torch.tensor([[-0.2, 0.0, 2.0]]))


def test_a_module_of_ones_own_is_averaged_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state has its own names, not those of what wraps it."""
    expected: list[Tensor] = []
    real = Averages.update

    def update(self: Averages) -> None:
        d, weight = min(0.9, (1 + self.steps) / (10 + self.steps)), linear.weight.detach().double()
        expected.append(expected[-1] + (1 - d) * (weight - expected[-1]) if expected else weight.clone())
        real(self)
        torch.testing.assert_close(self.values["1.weight"].double(), expected[-1], rtol=1e-5, atol=1e-5)

    linear = layer.Linear(64, 20)
    module = nn.Sequential(layer.Flatten(), linear, neuron.LIFNode(), layer.Linear(20, 10), neuron.LIFNode())
    monkeypatch.setattr(Averages, "update", update)
    run = fit(module, "digits", epochs=2, ema=0.9, out=tmp_path / "run")
    assert len(expected) > 20
    if run.best_epoch == 2:
        torch.testing.assert_close(weights_of(run)["1.weight"].double(), expected[-1], rtol=1e-5, atol=1e-5)


def test_training_itself_stays_the_same(tmp_path: Path) -> None:
    """What is averaged is what is trained without averages; only what is validated, kept and exported differs."""
    with_, without = (trainer_of(tmp_path, "fc", "dense", epochs=3) for _ in range(2))
    with_.averages = Averages(with_.model, 0.9)
    with_.run()
    without.run()
    for a, b in zip(with_.model.state_dict().values(), without.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    kept = with_.best["float"].state
    assert any(not torch.equal(kept[name], tensor) for name, tensor in without.best["float"].state.items())
    if with_.best["float"].epoch == 3:
        assert all(torch.equal(kept[name], value) for name, value in with_.averages.values.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "dense"},
        {"method": "grad-r", "sparsity": 0.7, "tune_fraction": 0.5},
        {"method": "upr", "sparsity": 0.6},
        {"weight_bits": 8},
    ],
)
def test_it_resumes_to_the_same_bits(changes: dict[str, Any], tmp_path: Path) -> None:
    settings = replace(RECIPE, ema=0.99, epochs=6 if "tune_fraction" in changes else 4, **changes)
    whole = train_run(settings, tmp_path / "whole")
    paused(settings, tmp_path / "parts")
    assert_same(whole, train_run(settings, tmp_path / "parts", resume=True))
    plain = train_run(replace(settings, ema=0.0), tmp_path / "plain")
    assert any(not torch.equal(a, weights_of(whole)[name]) for name, a in weights_of(plain).items())
    assert abs(whole.sparsity - changes.get("sparsity", 0.0)) < 1e-3
    zeros, size = (
        sum(int(f(w)) for n, w in weights_of(whole).items() if n.endswith("weight")) for f in (lambda w: (w == 0).sum(), Tensor.numel)
    )
    assert abs(zeros / size - changes.get("sparsity", 0.0)) < 1e-3


def test_a_rewired_run_is_tuned_with_averages_and_keeps_its_zeros(tmp_path: Path) -> None:
    first = train_run(replace(RECIPE, method="grad-r", sparsity=0.8), tmp_path / "first")
    tuned = train_run(replace(RECIPE, method="fixed", sparsity=0.8, ema=0.9, init=str(first.folder)), tmp_path / "tuned")
    before, after = weights_of(first), weights_of(tuned)
    assert all(torch.equal(before[name] == 0, after[name] == 0) for name in before)
    assert tuned.sparsity == first.sparsity


def test_averages_in_integers_deploy_without_a_change(tmp_path: Path) -> None:
    trained = train_run(replace(RECIPE, epochs=6, weight_bits=8, ema=0.9), tmp_path / "run")
    results = run_network(compile_network(trained), load_dataset("digits").test, check=True)
    integer = next(stage for stage in trained.stages if stage.name.startswith("integer"))
    assert results.accuracy == integer.accuracy


def test_weights_that_are_rewired_to_the_end_are_not_averaged(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"grad-r rewires in all epochs\. Add --tune-fraction"):
        train_run(replace(RECIPE, method="grad-r", sparsity=0.8, ema=0.9), tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
