"""Other optimisers: torch's own result where nothing is pruned, the sparsity asked for where something is, and the same bits resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from spikeloom.data import as_dataset
from spikeloom.data.dataset import Dataset
from spikeloom.errors import PausedError, UsageError
from spikeloom.train import TrainSettings, fit, train_run
from spikeloom.train.recipe import merged
from spikeloom.train.settings import OPTIMIZERS
from spikingjelly.activation_based import neuron, surrogate
from torch import nn
from torch.optim import Optimizer

RECIPE: dict[str, Any] = {"epochs": 3, "batch_size": 8, "timesteps": 2, "threads": 1, "schedule": "constant"}
ONE: dict[str, Any] = {**RECIPE, "epochs": 1}
SGD: dict[str, Any] = {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}


def samples() -> Dataset:
    generator, labels = np.random.default_rng(0), np.arange(48) % 3
    return as_dataset((generator.integers(0, 100, (48, 6)) + 150 * (np.arange(6) % 3 == labels[:, None]), labels), test_fraction=0.25)


def net() -> Any:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(6, 10), neuron.LIFNode(surrogate_function=surrogate.ATan()), nn.Linear(10, 3))
    made.append(neuron.LIFNode(surrogate_function=surrogate.ATan()))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.mul_(4.0 if name.endswith("weight") else 1.0)
    return made


class Recording(Optimizer):
    """Plain SGD that keeps what a checkpoint has to hold: tensors, and numbers of parameters and groups."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "d": 1.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            group["d"] *= 0.9
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    state["count"] = state.get("count", 0) + 1
                    state["sum"] = state.get("sum", 0.0) + p.grad
                    p.sub_(group["lr"] * group["d"] * state["sum"] / state["count"])


def gradients(monkeypatch: pytest.MonkeyPatch) -> list[list[torch.Tensor]]:
    """Return a list that fills with the gradients that every step of torch's SGD is given."""
    seen: list[list[torch.Tensor]] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, closure: Any = None) -> Any:
        seen.append([p.grad.clone() for group in self.param_groups for p in group["params"] if p.grad is not None])
        return step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    return seen


def test_without_pruning_it_is_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = gradients(monkeypatch)
    made = net()
    fit(made, samples(), "dense", out=tmp_path / "run", lr=0.05, optimizer="sgd", optimizer_options=SGD, **ONE)
    monkeypatch.undo()
    again = net()
    parameters = [again[0].weight, again[2].weight, again[0].bias, again[2].bias]
    own = torch.optim.SGD(parameters, lr=0.05, **SGD)
    assert len(seen) == 4 and any(bool(g.any()) for g in seen[0])
    for step in seen:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        own.step()
    assert all(torch.equal(a, b) for a, b in zip(made.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_all_names(name: str, tmp_path: Path) -> None:
    before = net().state_dict()
    made = net()
    options = {} if name == "rprop" else {"weight_decay": 0.01}
    fit(made, samples(), out=tmp_path / "run", optimizer=name, lr=0.01, optimizer_options=options, **ONE)
    assert any(not torch.equal(before[key], value) for key, value in made.state_dict().items())


@pytest.mark.parametrize("method", ["grad-r", "stds", "esl", "upr"])
def test_what_is_asked_for_is_pruned_and_resumed(method: str, tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"method": method, "sparsity": 0.5, "optimizer": "sgd", "optimizer_options": SGD, "lr": 0.05, **RECIPE}
    data, start = samples(), net().state_dict()
    made = net()
    run = fit(made, data, out=tmp_path / "whole", **recipe)
    assert run.sparsity == 0.5 and run.settings.optimizer_options == SGD
    assert all(not torch.equal(start[key], value) for key, value in made.state_dict().items())
    _paused(data, tmp_path / "paused", recipe)
    again = fit(net(), data, out=tmp_path / "paused", resume=True, **recipe)
    assert (again.folder / "model.safetensors").read_bytes() == (run.folder / "model.safetensors").read_bytes()


def test_a_callers_own_and_its_learning_rates(tmp_path: Path) -> None:
    rates: list[list[float]] = []

    def make(parameters: list[nn.Parameter]) -> Optimizer:
        groups = [{"params": parameters[:2], "lr": 0.1}, {"params": parameters[2:], "lr": 0.01}]
        made = Recording(groups, lr=0.5)
        made.register_step_pre_hook(lambda *_: rates.append([g["lr"] for g in made.param_groups]))
        return made

    recipe: dict[str, Any] = {**RECIPE, "schedule": lambda t: 1.0 - t, "optimizer": make, "method": "grad-r", "sparsity": 0.5}
    data = samples()
    whole = fit(net(), data, out=tmp_path / "whole", **recipe)
    assert whole.settings.lr == 0.1 and whole.settings.optimizer.endswith("<locals>.make")
    assert rates[0] == [0.1, 0.01] and rates[6] == pytest.approx([0.05, 0.005])
    _paused(data, tmp_path / "paused", recipe)
    again = fit(net(), data, out=tmp_path / "paused", resume=True, **recipe)
    assert (again.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="is a function of the program that began this run"):
        train_run(TrainSettings("digits", optimizer="mine.make"), tmp_path / "none")


def _paused(data: Dataset, out: Path, recipe: dict[str, Any]) -> None:
    """Train one or more of the epochs."""
    with pytest.raises(PausedError):
        fit(net(), data, out=out, time_limit=0.0, **recipe)
    with pytest.raises(PausedError):
        fit(net(), data, out=out, time_limit=1e-3, resume=True, **recipe)


def test_our_networks_in_the_chips_integers(tmp_path: Path) -> None:
    run = fit("fc", samples(), "grad-r", 0.5, out=tmp_path / "run", weight_bits=8, hidden=(8,), optimizer="adamw", **RECIPE)
    assert run.integer_sparsity == pytest.approx(0.5, abs=0.01) and [s.name for s in run.stages] == ["float", "integer (torch)"]


def test_on_the_command_line_options_are_text() -> None:
    chosen = ["optimizer.nesterov=true", "optimizer.momentum=0.9"]
    settings = TrainSettings.read(merged({}, {"data": "digits", "optimizer": "sgd", "optimizer.weight_decay": 0.1}, chosen))
    assert settings.optimizer_options == {"weight_decay": 0.1, "nesterov": "true", "momentum": "0.9"}


@pytest.mark.parametrize("method", ["deep-r", "soft-deep-r"])
def test_methods_with_updates_of_their_own_say_so(method: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"The method {method} .* Adam .*sgd was asked for.*dense, grad-r, stds, esl or upr"):
        fit(net(), samples(), method, 0.5, out=tmp_path / "run", optimizer="sgd", **RECIPE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "sdg"}, r"no optimizer called 'sdg'\. Did you mean 'sgd'"),
        ({"optimizer": "sgd", "optimizer_options": {"momentun": 0.9}}, r"sgd does not take \{'momentun': 0\.9\}: .*torch\.optim\.SGD"),
        ({"optimizer": "sgd", "optimizer_options": {"momentum": -1.0}}, r"Invalid momentum value: -1\.0"),
        ({"optimizer": "sgd", "optimizer_options": {"lr": 0.1}}, r"Say lr="),
        ({"optimizer": lambda p: 3}, r"returns a int; it must return a torch\.optim\.Optimizer"),
        ({"optimizer": lambda p: torch.optim.SGD(p[:1], lr=0.1)}, r"does not move 2"),
        ({"optimizer": lambda p: torch.optim.SGD([*p, nn.Parameter(torch.ones(1))], lr=0.1)}, r"parameters that it was not given"),
        ({"optimizer": torch.optim.LBFGS}, r"LBFGS computes the loss several times"),
        ({"optimizer": lambda p: p.nonsense}, r"raises AttributeError"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=0.1), "lr": 0.1}, r"a function of yours gives its own"),
        ({"optimizer": "sgd", "method": "esl", "sparsity": 0.5, "method_options": {"growth": "momentum"}}, r"momentum that its Adam keeps"),
    ],
)  # fmt: skip
def test_optimizers_that_cannot_be_used_say_why(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        fit(net(), samples(), out=tmp_path / "run", **(RECIPE | changes))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_state_that_a_checkpoint_cannot_hold_is_refused(tmp_path: Path) -> None:
    class Odd(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            self.state[self.param_groups[0]["params"][0]]["history"] = [1, 2]

    with pytest.raises(UsageError, match=r"keeps history, a list, as its state"):
        fit(net(), samples(), out=tmp_path / "run", optimizer=lambda p: Odd(p, lr=0.1), **RECIPE)


def test_biases_are_moved_by_the_same_optimizer(tmp_path: Path) -> None:
    made = net()
    run = fit(made, samples(), out=tmp_path / "run", lr=1e-12, optimizer="sgd", **RECIPE)
    assert torch.allclose(load_file(run.folder / "model.safetensors")["0.bias"], net()[0].bias, atol=1e-9)
