"""Losses, schedules and augmentations: what every file of theirs promises, files of a user's, and functions of a caller's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spikeloom import registry
from spikeloom.data.dataset import Dataset, Split
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings, augments, fit, losses, schedules, train_run
from spikeloom.train.augment import CropFlip
from spikeloom.train.chosen import Own, augmentation_of, loss_of, name_of, schedule_of
from spikeloom.train.losses.api import with_samples
from spikeloom.train.losses.mse import rate_mse
from spikeloom.train.recipe import merged
from spikeloom.train.schedules.cosine import cosine
from torch import Tensor


def settings_of(**changes: Any) -> TrainSettings:
    values: dict[str, Any] = {"data": "digits"}
    return TrainSettings(**(values | changes))


def images(shape: tuple[int, ...] = (3, 8, 6), name: str = "cifar10") -> Dataset:
    split = Split(np.random.default_rng(0).integers(0, 256, (12, *shape), np.uint8), np.arange(12, dtype=np.int64) % 3)
    return Dataset(name, split, split, 3, 255, shape)


@pytest.mark.parametrize("name", registry.names(losses))
def test_a_loss_is_a_mean_over_samples_with_a_gradient(name: str) -> None:
    loss = loss_of(settings_of(loss=name), Own())
    generator = torch.Generator().manual_seed(0)
    output = torch.rand(4, 6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 5, (6,), generator=generator)
    whole = loss(output, labels)
    assert whole.shape == () and whole.dtype == torch.float64 and math.isfinite(whole.detach())
    whole.backward()
    assert output.grad is not None and output.grad.isfinite().all() and output.grad.any()
    parts = [loss(output[:, part], labels[part]) * len(labels[part]) / 6 for part in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(whole, sum(parts, torch.zeros(())).double())
    assert loss(output.bfloat16(), labels).dtype == torch.float32
    perfect = torch.nn.functional.one_hot(labels, 5).double().expand(4, 6, 5)
    assert loss(perfect, labels) < loss(1 - perfect, labels)


@pytest.mark.parametrize("name", registry.names(schedules))
def test_a_schedule_is_a_share_that_reaches_the_peak(name: str) -> None:
    shares = [schedule_of(settings_of(schedule=name, warmup=0.25), Own())(t / 400) for t in range(401)]
    assert all(0.0 <= share <= 1.0 for share in shares) and max(shares) == 1.0


@pytest.mark.parametrize(
    ("name", "options", "shares"),
    [
        ("exponential", {"end": 0.01}, {0.0: 1.0, 0.5: 0.1, 1.0: 0.01}),
        ("step", {"milestones": (0.25, 0.5), "factor": 0.5}, {0.0: 1.0, 0.24: 1.0, 0.25: 0.5, 0.49: 0.5, 0.5: 0.25, 1.0: 0.25}),
        ("step", {"milestones": "0.5", "factor": "0.1"}, {0.49: 1.0, 0.5: 0.1}),
        ("step", {"milestones": ()}, {1.0: 1.0}),
        ("two-phase", {"first": 0.75, "second": 0.1}, {0.0: 1.0, 0.375: 0.5, 0.749999: 0.0, 0.75: 0.1, 0.875: 0.05, 1.0: 0.0}),
        ("two-phase", {"shape": "constant"}, {0.0: 1.0, 0.49: 1.0, 0.5: 0.1, 1.0: 0.1}),
    ],
)
def test_schedules_at_chosen_times(name: str, options: dict[str, Any], shares: dict[float, float]) -> None:
    schedule = schedule_of(settings_of(schedule=name, schedule_options=options), Own())
    assert {t: schedule(t) for t in shares} == pytest.approx(shares, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("exponential", {"end": 0}),
        ("exponential", {"end": 1.5}),
        ("step", {"milestones": (0.5, 1.0)}),
        ("step", {"factor": 2}),
        ("two-phase", {"first": 1.0}),
        ("two-phase", {"second": 0}),
        ("two-phase", {"shape": "linear"}),
    ],
)
def test_options_of_schedules_that_make_no_sense(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))}"):
        schedule_of(settings_of(schedule=name, schedule_options=options), Own())


@pytest.mark.parametrize("name", registry.names(augments))
def test_an_augmentation_keeps_what_a_batch_is_and_draws_from_its_generator(name: str) -> None:
    change = augmentation_of(settings_of(augment=name), Own(), images())
    x = torch.rand(5, 3, 8, 6)
    first, second = (change(x, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == x.shape and first.dtype == x.dtype and torch.equal(first, second)
    assert float(first.min()) >= 0.0 and float(first.max()) <= 1.0


def test_data_that_an_augmentation_does_not_suit() -> None:
    with pytest.raises(UsageError, match=r"no published augmentation for the data set shd"):
        augmentation_of(settings_of(augment="published"), Own(), images((7,), "shd"))


def test_options_come_from_their_table_before_the_setting() -> None:
    output, labels = torch.rand(2, 3, 4), torch.tensor([0, 1, 2])
    wanted = loss_of(settings_of(loss="tet", tet_lambda=0.7), Own())(output, labels)
    assert torch.equal(wanted, loss_of(settings_of(loss="tet", loss_options={"tet_lambda": 0.7}), Own())(output, labels))
    read = TrainSettings.read(merged({}, {"data": "digits", "loss": "tet"}, ["loss.tet_lambda=0.7"]))
    assert torch.equal(wanted, loss_of(read, Own())(output, labels))
    with pytest.raises(UsageError, match="'tet_lambda'"):
        loss_of(settings_of(loss="tet", loss_options={"tet_lamda": 0.7}), Own())
    with pytest.raises(UsageError, match="The loss mse has no options"):
        loss_of(settings_of(loss="mse", loss_options={"tet_lambda": 0.7}), Own())


@pytest.mark.parametrize(
    ("name", "wrong", "near"), [("loss", "mes", "mse"), ("schedule", "cosin", "cosine"), ("augment", "gentel", "gentle")]
)
def test_names_that_there_are_not(name: str, wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"no {name} called '{wrong}'\. Did you mean '{near}'"):
        settings_of(**{name: wrong})


FILES = {
    "losses/twice.py": "from .api import wide\n\n\ndef build(options):\n"
    "    return lambda output, labels: 2 * (wide(output).mean(0) - labels[:, None]).square().mean()\n",
    "schedules/half.py": "def build(options):\n    return lambda t: 0.5\n",
    "augments/dark.py": "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Options:\n    share: float = 0.5\n\n\n"
    "def build(dataset, options):\n    return lambda x, generator: x * options.share\n",
}


def test_files_of_a_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, text in FILES.items():
        path = tmp_path / "train" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in (losses, schedules, augments):
        monkeypatch.setattr(package, "__path__", list(package.__path__))
    monkeypatch.setenv("SPIKELOOM_PARTS", str(tmp_path))
    settings = settings_of(loss="twice", schedule="half", augment="dark", augment_options={"share": 0.25})
    assert float(loss_of(settings, Own())(torch.ones(2, 3, 4), torch.tensor([1, 1, 3]))) == pytest.approx(2 * 4 / 3)
    assert schedule_of(settings, Own())(0.3) == 0.5
    assert augmentation_of(settings, Own(), images())(torch.ones(1), torch.Generator()) == 0.25


def squared(output: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error by hand."""
    return rate_mse(output, labels)


def falling(t: float) -> float:
    return cosine(t)


def unchanged(x: Tensor, generator: torch.Generator) -> Tensor:
    return x


def test_functions_of_a_callers_train_like_the_files_and_are_asked_for_again(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"hidden": (16,), "epochs": 2, "threads": 1}
    named = fit("digits", out=tmp_path / "named", **recipe)
    own = fit("digits", out=tmp_path / "own", loss=squared, schedule=falling, augment=unchanged, **recipe)
    assert (named.folder / "model.safetensors").read_bytes() == (own.folder / "model.safetensors").read_bytes()
    assert json.loads((own.folder / "settings.json").read_text())["loss"] == name_of(squared) == f"{__name__}.squared"
    again = fit("digits", out=tmp_path / "own", loss=squared, schedule=falling, augment=unchanged, resume=True, **recipe)
    assert again.accuracy == own.accuracy
    with pytest.raises(UsageError, match=r"loss = '.*squared', not 'mse'"):
        fit("digits", out=tmp_path / "own", schedule=falling, augment=unchanged, resume=True, **recipe)
    with pytest.raises(UsageError, match="is a function of the program that began this run"):
        train_run(settings_of(loss=name_of(squared)), tmp_path / "none")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"loss": lambda output, labels: 1.0}, r"returned 1\.0; it must return one real number"),
        ({"loss": lambda output, labels: output.mean(0)}, r"returned a tensor of shape \(\d+, 10\) and torch\.float32"),
        ({"schedule": lambda t: None}, r"returned None at 0 of the training"),
        ({"schedule": lambda t: float("nan")}, r"returned nan at 0"),
        ({"schedule": lambda t: -0.1}, r"returned -0\.1 at 0"),
        ({"augment": lambda x, generator: x[:1]}, r"returned \(1, 8, 8\), torch\.float32 on cpu for a batch of \(\d+, 8, 8\)"),
        ({"augment": lambda x, generator: x.double()}, r"torch\.float64 on cpu for a batch"),
        ({"augment": lambda x, generator: None}, r"returned None for a batch"),
        ({"loss": 3}, r"loss is 3 \(int\); fit takes"),
    ],
)
def test_functions_that_return_something_else(own: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        fit("digits", hidden=(4,), epochs=1, out=tmp_path / "run", **own)


def test_an_object_is_called_by_its_class() -> None:
    assert name_of(CropFlip()) == "spikeloom.train.augment.CropFlip"
    assert name_of(squared) == f"{__name__}.squared"


@pytest.mark.parametrize("bits", [None, 4])
def test_a_loss_of_three_arguments_is_given_what_the_network_received(bits: int | None, tmp_path: Path) -> None:
    seen: list[Tensor] = []
    fed: list[Tensor] = []

    def augment(x: Tensor, generator: torch.Generator) -> Tensor:
        moved = x.flip(-1)
        fed.append(moved)
        return moved

    def learns_from(output: Tensor, labels: Tensor, samples: Tensor, weight: float = 1.0) -> Tensor:
        seen.append(samples)
        return weight * rate_mse(output, labels)

    options: dict[str, Any] = {"epochs": 2, "hidden": (8,), "weight_bits": bits, "seed": 3}
    run = fit("fc", "digits", out=tmp_path / "three", loss=learns_from, augment=augment, **options)
    assert len(seen) == len(fed)
    for samples, moved in zip(seen, fed, strict=True):
        is_integer = moved.max() > 1
        assert torch.equal(samples, moved / 16 if is_integer else moved)
    assert any(moved.max() > 1 for moved in fed) is (bits is not None)
    plain = fit("fc", "digits", out=tmp_path / "two", loss=rate_mse, augment=augment, **options)
    assert (run.folder / "model.safetensors").read_bytes() == (plain.folder / "model.safetensors").read_bytes()


def test_which_losses_are_given_the_samples() -> None:
    output, labels, samples = torch.rand(2, 3, 4), torch.tensor([0, 1, 2]), torch.rand(3, 5)

    class Module(torch.nn.Module):
        def forward(self, output: Tensor, labels: Tensor) -> Tensor:
            return rate_mse(output, labels)

    for loss in (rate_mse, Module(), lambda o, y, scale=1.0: scale * rate_mse(o, y)):
        assert torch.equal(with_samples(loss)(output, labels, samples), rate_mse(output, labels))

    class Taught(torch.nn.Module):
        def forward(self, output: Tensor, labels: Tensor, samples: Tensor) -> Tensor:
            return samples.sum()

    for loss in (Taught(), lambda o, y, x: x.sum()):
        assert with_samples(loss)(output, labels, samples) == samples.sum()


IDLE: list[tuple[dict[str, Any], str]] = [
    ({"warmup": 0.3}, "warmup is 0.3, and would have no effect: the schedule cosine has no such option. .* such as warmup-cosine"),
    ({"tet_lambda": 0.01}, "tet_lambda is 0.01, .*: the loss mse has no such option. .* such as tet"),
    ({"qat_fraction": 0.5}, "qat_fraction is 0.5, .*: no epoch is trained in integers. Leave it out, or ask for weight_bits"),
    ({"qat_lr": 0.1}, "qat_lr is 0.1, .*: no epoch is trained in integers."),
    ({"loss": rate_mse, "tet_lambda": 0.01}, "tet_lambda is 0.01"),
]


@pytest.mark.parametrize(("given", "message"), IDLE)
def test_a_setting_without_effect_is_refused_and_nothing_is_written(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit("digits", out=tmp_path / "run", epochs=1, **given)
    assert not (tmp_path / "run").exists()
