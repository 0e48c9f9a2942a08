"""Every method and network takes whole training steps on a device without numbers: nothing of the CPU mixed in, no wait for the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spikeloom
import torch
from meta_device import MixedError, Watch, watched
from spikeloom import registry
from spikeloom.train import methods, networks, optimiser_kernels
from spikeloom.train.flat import Layer
from spikeloom.train.loop import Trainer
from trainers import BATCH, trainer_of

METHODS, NETWORKS = registry.names(methods), registry.names(networks)
NEVER: dict[str, dict[str, Any]] = {name: {"every": 1000} for name in ("grad-r", "stds", "soft-deep-r")}
ALWAYS: dict[str, dict[str, Any]] = {name: {"every": 1} for name in ("grad-r", "stds", "soft-deep-r")}
# The most waits for the device in a step that corrects the sparsity or rewires; docs/cuda.md has the table. Without correction: none.
AT_CORRECTION = {"dense": 0, "grad-r": 3, "stds": 1, "soft-deep-r": 2, "upr": 1, "deep-r": 0, "esl": 0, "fixed": 3}
SLOW = [pytest.param(n, m, marks=pytest.mark.slow) for n in NETWORKS for m in METHODS if n != "fc" and (n, m) != ("6conv2fc", "upr")]


def trainer_on_meta(folder: Path, net: str, method: str, **options: Any) -> Trainer:
    with watched():  # the first connectivity may be chosen by numbers
        return trainer_of(folder, net, method, "meta", **options)


def step(trainer: Trainer, progress: float, answer: float = 1.0) -> Watch:
    """Take a step as an epoch does, from the samples on."""
    order = trainer.feed.place(np.arange(BATCH))
    with watched(answer) as watch:
        x, labels = trainer.feed.take(order, integer=False)
        trainer.step(x, labels, 0.01, progress)
    return watch


@pytest.mark.parametrize(("net", "method"), [*[("fc", m) for m in METHODS], ("6conv2fc", "upr"), *SLOW])
def test_a_training_step_waits_for_nothing_and_is_the_same_each_time(tmp_path: Path, net: str, method: str) -> None:
    trainer = trainer_on_meta(tmp_path, net, method, **NEVER.get(method, {}))
    step(trainer, 1e-4)  # makes the optimisers' state
    first, second = step(trainer, 2e-4), step(trainer, 3e-4)  # so early that ESL does not rewire
    assert not first.waits and not second.waits
    assert first.operations == second.operations
    assert first.uploads <= 1 + 2 + 1  # numbers of the method, two keys of random numbers, the learning rate of the others


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", [0, 60, 340])
def test_corrections_have_a_budget_of_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, answer: int) -> None:
    """Whatever number of synapses is said to be alive, of 272 in the first layer and 68 in the second."""
    monkeypatch.setattr("spikeloom.train.methods.upr.CONTROL_EVERY", 1)
    answer = min(answer, 60) if method == "soft-deep-r" else answer  # in each layer
    trainer = trainer_on_meta(tmp_path, "fc", method, **ALWAYS.get(method, {}))
    step(trainer, 0.0)  # makes the optimisers' state, and the table of normal numbers, which the process keeps
    steps = [step(trainer, 0.04 * i, answer if i else 1) for i in range(4)]
    assert max(len(taken.waits) for taken in steps) <= AT_CORRECTION[method], [taken.waits for taken in steps]


def test_the_page_has_these_budgets() -> None:
    page = (Path(spikeloom.__file__).parent / "docs" / "cuda.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines() if line.startswith("| ")]
    assert {row[0]: row[1:] for row in rows if row[0] in METHODS} == {name: ["0", str(AT_CORRECTION[name])] for name in METHODS}


def wait_by(work: Any) -> list[str]:
    with watched() as watch:
        work(torch.zeros(6, device="meta"))
    return watch.waits


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x.sum().item(),
        lambda x: float(x[0]),
        lambda x: bool((x > 0).any()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: (x > 0).nonzero(),
        lambda x: x[x > 0],
        lambda x: x.index_put_((x > 0,), torch.zeros_like(x)),
        lambda x: x.copy_(torch.ones(6)),
        lambda x: torch.ones(6).to(x.device),
        lambda x: torch.tensor([1.0, 2.0], device=x.device),
        lambda x: x.index_fill_(0, x.argmax().view(1), int(x.argmax())),
    ],
)  # fmt: skip
def test_the_watch_sees_waits(work: Any) -> None:
    assert len(wait_by(work)) == 1


def test_the_watch_lets_pass_what_does_not_wait() -> None:
    assert not wait_by(lambda x: torch.where(x > 0, x, 1.0).masked_fill_(x > 1, 0).topk(3).values.to(torch.float64).argsort()[:2])


def test_a_wait_is_attributed_to_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_on_meta(tmp_path, "fc", "grad-r")
    method: Any = trainer.method
    monkeypatch.setattr(method, "update", lambda: [layer.values().sum().item() for layer in method.flat])
    assert len(step(trainer, 0.1).waits) == 2
    trainer = trainer_on_meta(tmp_path, "fc", "grad-r", every=1)
    assert all(wait.startswith("train/methods/grad_r.py:") or wait.startswith("train/flat.py:") for wait in step(trainer, 0.1).waits)


def test_a_tensor_of_the_cpu_among_those_of_the_device_fails_with_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_on_meta(tmp_path, "fc", "stds")
    monkeypatch.setattr(Layer, "gradient", lambda layer: torch.zeros(layer.size))
    with pytest.raises(MixedError, match=r"train/optimiser_kernels\.py:\d+: aten\.mul"):
        step(trainer, 0.1)


def test_one_copy_a_layer_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_on_meta(tmp_path, "fc", "dense")
    original = optimiser_kernels.Kernel.__call__

    def copied(kernel: Any, arrays: Any, numbers: Any, flags: Any = ()) -> None:
        original(kernel, arrays, torch.zeros(len(numbers)).to(arrays[0].device), flags)

    monkeypatch.setattr(optimiser_kernels.Kernel, "__call__", copied)
    assert len(step(trainer, 0.1).waits) == 2
