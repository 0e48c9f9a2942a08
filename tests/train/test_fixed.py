"""The method fixed, and steps that leave out neurons that take no part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeloom import train
from spikeloom.errors import PausedError, UsageError
from spikeloom.train import train_run
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.loop import Trainer
from spikeloom.train.methods import fixed
from spikeloom.train.narrow import Narrow, narrowed
from spikeloom.train.networks import fc
from spikeloom.train.settings import TrainSettings
from spikeloom.train.subject import SparsityGoal
from torch import Tensor, nn


def pruned(hidden: tuple[int, ...], share: float, seed: int = 0) -> SpikingNetwork:
    """A chain of which a share of the weights is zero, at random."""
    torch.manual_seed(seed)
    model = fc.build((30,), 5, 6, fc.Options(hidden=hidden), temporal=False)
    with torch.no_grad():
        for weight in model.weights().values():
            weight.mul_(4 * (torch.rand_like(weight) >= share))
    return model


def gradients(model: SpikingNetwork, runner: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    model.zero_grad()
    output = runner(x)
    (output.mean(0) - 0.3).square().mean().backward()
    return output.detach(), [w.grad.clone() for w in model.weights().values() if w.grad is not None]


@pytest.mark.parametrize(("hidden", "share"), [((40,), 0.95), ((40, 30), 0.95), ((20, 20, 20), 0.9), ((12,), 0.0), ((8, 8), 1.0)])
def test_a_narrow_step_has_the_same_output_and_gradients(hidden: tuple[int, ...], share: float) -> None:
    model = pruned(hidden, share).double()
    x = torch.rand(9, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    narrow = narrowed(model)
    assert isinstance(narrow, Narrow)
    whole, small = gradients(model, model, x), gradients(model, narrow, x)
    assert torch.equal(whole[0], small[0])
    for a, b in zip(whole[1], small[1], strict=True):
        live = next(w for w in model.weights().values() if w.shape == a.shape) != 0
        torch.testing.assert_close(torch.where(live, a, 0), torch.where(live, b, 0))
    kept = sum(len(rows) for rows in narrow.rows.values())
    assert kept < sum(hidden) + 5 if share else kept == sum(hidden) + 5


def test_only_chains_are_narrowed() -> None:
    model = pruned((8,), 0.5)
    next(layer for _, layer in model.named_layers()).bias = nn.Parameter(torch.zeros(8))
    assert narrowed(model) is model


def test_fixed_keeps_exactly_its_synapses_and_moves_all_of_them() -> None:
    model = pruned((20,), 0.8)
    before = {name: w.detach().clone() for name, w in model.weights().items()}
    method = fixed.build(model, SparsityGoal(0.0, 0), fixed.Options())
    for _ in range(3):
        method.zero_grad()
        for w in model.weights().values():
            w.grad = torch.ones_like(w)
        method.step(0.01, 0.5)
    for name, w in model.weights().items():
        assert torch.equal(w != 0, before[name] != 0)
        moved = (before[name] - w.detach())[w != 0]
        torch.testing.assert_close(moved, torch.full_like(moved, 0.03), rtol=1e-3, atol=1e-5)  # Adam: one rate a step


def test_fixed_refuses_a_run_of_a_higher_sparsity() -> None:
    with pytest.raises(UsageError, match=r"regrows no synapse.* of 0\.2 asks for 140\. .*leave out --sparsity"):
        fixed.build(pruned((20,), 0.8), SparsityGoal(0.2, 0, init="runs/other"), fixed.Options())


def test_fixed_removes_the_smallest_weights_where_a_higher_sparsity_is_asked_for() -> None:
    model = pruned((20,), 0.3)
    before = {name: w.detach().abs() / w.detach().abs()[w != 0].mean() for name, w in model.weights().items()}
    fixed.build(model, SparsityGoal(0.9, 0), fixed.Options())
    after = {name: w.detach() != 0 for name, w in model.weights().items()}
    assert sum(int(kept.sum()) for kept in after.values()) == 70
    assert max(float(before[n][~after[n]].max()) for n in before) <= min(float(before[n][after[n]].min()) for n in before)


def test_fine_tuning_keeps_the_sparsity_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"hidden": (30,), "threads": 1, "lr": 0.02}
    start = train.fit("digits", "fc", "grad-r", 0.9, 4, out=tmp_path / "start", **shared)
    tuned: dict[str, Any] = {"net": "fc", "method": "fixed", "sparsity": 0.9, "epochs": 4, "init": start.folder, **shared}
    whole = train.fit("digits", out=tmp_path / "whole", **tuned)
    assert whole.sparsity == start.sparsity == 0.9
    with pytest.raises(PausedError):
        train.fit("digits", out=tmp_path / "parts", time_limit=0.0, **tuned)
    train.fit("digits", out=tmp_path / "parts", resume=True, **tuned)
    assert (tmp_path / "parts/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    other: dict[str, Any] = {**tuned, "sparsity": 0.8}
    with pytest.raises(UsageError, match="regrows no synapse"):
        train.fit("digits", out=tmp_path / "other", **other)


@pytest.mark.parametrize("method", ["grad-r", "esl", "stds"])
def test_the_last_epochs_can_keep_the_synapses(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of pruning to the full sparsity, two without; from the same bits whether it was stopped before, between or after."""
    settings = TrainSettings(
        "digits", "fc", method, 0.8, 4, batch_size=64, lr=0.01, threads=1, tune_fraction=0.5, net_options={"hidden": (30,)}
    )
    whole = train_run(settings, tmp_path / "whole")
    rows = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["sparsity"] for row in rows[1:]] == [whole.sparsity] * 3 and whole.sparsity == round(0.8 * 2220) / 2220
    assert [row["pruned"] + row["regrown"] for row in rows[2:]] == [0, 0] and rows[1]["pruned"] > 0
    for stop in (1, 2, 3):
        epochs = iter(range(stop))

        def check(trainer: Trainer, end: float, epochs: Iterator[int] = epochs) -> None:
            if next(epochs, None) is None:
                raise PausedError("paused")

        with monkeypatch.context() as patched, pytest.raises(PausedError):
            patched.setattr(Trainer, "_check_time", check)
            train_run(settings, tmp_path / f"parts{stop}")
        parts = train_run(settings, tmp_path / f"parts{stop}", resume=True)
        assert (parts.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_upr_has_a_fine_tuning_of_its_own() -> None:
    with pytest.raises(UsageError, match=r"tune_fraction.*upr"):
        TrainSettings("digits", "fc", "upr", 0.8, tune_fraction=0.5)
