"""The method fixed, and steps that leave out neurons that take no part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from spikeloom import train
from spikeloom.errors import PausedError, UsageError
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.methods import fixed
from spikeloom.train.narrow import Narrow, narrowed
from spikeloom.train.networks import fc
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


def test_fixed_refuses_weights_of_another_sparsity() -> None:
    model = pruned((20,), 0.8)
    method = fixed.build(model, SparsityGoal(0.5, 0), fixed.Options())
    with pytest.raises(UsageError, match=r"keeps the synapses that it starts from.*0\.5 asks for.*--init"):
        method.step(0.01, 0.0)


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
    with pytest.raises(UsageError, match="weights are zero"):
        train.fit("digits", out=tmp_path / "other", **{**tuned, "sparsity": 0.8})
