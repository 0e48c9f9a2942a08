"""Losses against NumPy, values and gradients; schedules at their end points and against torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings
from spikeloom.train.chosen import Own, loss_of, schedule_of
from torch import Tensor

T, N, C, WEIGHT = 3, 4, 5, 0.3


def example() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    output = (torch.rand(T, N, C, generator=generator, dtype=torch.float64) * 4).round() / 4  # rates of four neurons
    return output.requires_grad_(), torch.randint(C, (N,), generator=generator)


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(np.mean([math.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True)]))


def expected(name: str, output: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    mean = output.mean(0)
    if name == "mse":
        return float(np.square(mean - np.eye(C)[labels]).mean())
    if name == "ce":
        return cross_entropy(mean, labels)
    steps = np.mean([cross_entropy(step, labels) for step in output])
    return float((1 - WEIGHT) * steps + WEIGHT * np.square(output - 1.0).mean())


@pytest.mark.parametrize("name", ["mse", "ce", "tet"])
def test_losses_and_gradients_against_numpy(name: str) -> None:
    output, labels = example()
    loss = loss_of(TrainSettings("digits", loss=name, tet_lambda=WEIGHT), Own())(output, labels)
    loss.backward()
    values, classes = output.detach().numpy(), labels.numpy()
    assert loss.item() == pytest.approx(expected(name, values, classes), rel=1e-12)
    gradient, step = np.zeros_like(values), 1e-6
    for index in np.ndindex(*values.shape):
        moved = values.copy()
        moved[index] += step
        above = expected(name, moved, classes)
        moved[index] -= 2 * step
        gradient[index] = (above - expected(name, moved, classes)) / (2 * step)
    assert output.grad is not None
    np.testing.assert_allclose(output.grad.numpy(), gradient, atol=1e-8)


def test_a_scale_makes_logits_of_rates() -> None:
    output, labels = example()
    settings = TrainSettings("digits", loss="ce", loss_options={"scale": 12.5})
    expected = cross_entropy(12.5 * output.detach().numpy().mean(0), labels.numpy())
    assert loss_of(settings, Own())(output, labels).item() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(UsageError, match="scale is 0"):
        loss_of(TrainSettings("digits", loss="ce", loss_options={"scale": 0.0}), Own())


@pytest.mark.parametrize("name", ["mse", "ce", "tet"])
def test_a_batchs_loss_is_the_weighted_mean_of_its_parts(name: str) -> None:
    output, labels = example()
    loss = loss_of(TrainSettings("digits", loss=name, tet_lambda=WEIGHT), Own())
    parts = sum(float(loss(output[:, part], labels[part])) * len(labels[part]) / N for part in (slice(0, 1), slice(1, N)))
    assert float(loss(output, labels)) == pytest.approx(parts, rel=1e-12)


@pytest.mark.parametrize("name", ["mse", "ce", "tet"])
def test_half_precision_is_averaged_in_float(name: str) -> None:
    output, labels = example()
    loss = loss_of(TrainSettings("digits", loss=name, tet_lambda=WEIGHT), Own())(output.detach().bfloat16(), labels)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(expected(name, output.detach().numpy(), labels.numpy()), rel=1e-6)


# name: share at 0, at the end of the warm-up (0.25), halfway through what is left (0.625), at 1
POINTS = {
    "constant": (1.0, 1.0, 1.0, 1.0),
    "cosine": (1.0, 0.5 + math.cos(math.pi / 4) / 2, 0.5 + math.cos(math.pi * 0.625) / 2, 0.0),
    "warmup-cosine": (0.0, 1.0, 0.5, 0.0),
    "one-cycle": (0.04, 1.0, (1 + 4e-6) / 2, 4e-6),
}


def share_of_peak(name: str, t: float, warmup: float) -> float:
    return schedule_of(TrainSettings("digits", schedule=name, warmup=warmup), Own())(t)


@pytest.mark.parametrize("name", list(POINTS))
def test_schedules_at_their_points(name: str) -> None:
    shares = [share_of_peak(name, t, 0.25) for t in (0.0, 0.25, 0.625, 1.0)]
    assert shares == pytest.approx(POINTS[name], abs=1e-12)
    assert all(0.0 <= share_of_peak(name, t / 100, 0.25) <= 1.0 for t in range(101))


def test_one_cycle_is_torchs() -> None:
    steps, warmup = 41, 0.3
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(adam, 1.0, total_steps=steps, pct_start=warmup)
    # torch counts the warm-up as  pct_start * steps - 1  of  steps - 1  intervals
    share = (warmup * steps - 1) / (steps - 1)
    for step in range(steps):
        assert share_of_peak("one-cycle", step / (steps - 1), share) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        adam.step()
        if step < steps - 1:
            theirs.step()
