"""Two processes under torchrun train the network that one process trains, and stop when they no longer do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings, checkpoint, fit, load_dataset, methods
from spikeloom.train.distributed import World, choose_device, digest
from spikeloom.train.evaluate import accuracy
from spikeloom.train.loop import Trainer
from spikeloom.train.parts import Parts

RECIPE: dict[str, Any] = {"method": "grad-r", "sparsity": 0.6, "epochs": 3, "lr": 1e-2, "batch_size": 21, "device": "cpu"}
WORDS = [word for name, value in RECIPE.items() for word in (f"--{name.replace('_', '-')}", str(value))]
AFTER_AN_EPOCH = """
import os, signal, torch
from spikeloom import cli
from spikeloom.train import loop
real = loop.Trainer._train_epoch
def train_epoch(self):
    done = real(self)
    if self.epoch == 1 and self.world.rank == 1:
        {what}
    return done
loop.Trainer._train_epoch = train_epoch
cli.main()
"""
KILLED = AFTER_AN_EPOCH.format(what="os.kill(os.getpid(), signal.SIGKILL)")
DRIFTING = AFTER_AN_EPOCH.format(what="self.model.weights()['output'].data[0] += 1e-6")


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    """Two processes on a port that the system chooses."""
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
    ]
    return subprocess.run([*start, *map(str, words)], capture_output=True, text=True, timeout=600, env=environment(), check=False)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in ("stage", "seconds")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run folders of one process and of two. Batches of 21 have parts of 11 and 10."""
    folder = tmp_path_factory.mktemp("ddp")
    train = ("-m", "spikeloom", "train", "--data", "digits", "--hidden", "60", *WORDS)
    done = torchrun(*train, "--out", folder / "two")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Next: spikeloom compile") == 1
    fit("digits", hidden=(60,), out=folder / "one", **RECIPE)
    return folder / "one", folder / "two"


@pytest.mark.chain
def test_two_processes_match_one(pair: tuple[Path, Path]) -> None:
    one, two = (load_file(folder / "model.safetensors") for folder in pair)
    assert list(one) == list(two)
    for name, weight in one.items():
        assert torch.equal(weight != 0, two[name] != 0), name
        torch.testing.assert_close(weight, two[name], rtol=1e-3, atol=1e-4)
    ones, twos = rows(pair[0]), rows(pair[1])
    assert len(ones) == len(twos) == 3 and ones[-1]["validation_accuracy"] > 0.8
    for a, b in zip(ones, twos, strict=True):
        assert numbers(a) == pytest.approx(numbers(b), rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in registry.names(methods) if name != RECIPE["method"]])
def test_every_method_prunes_alike_in_two_processes(method: str, tmp_path: Path) -> None:
    """That both hold the same bits is compared after every epoch, by themselves; here they are held against one process."""
    sparsity = 0.0 if method == "dense" else 0.6
    words = ["--method", method, "--sparsity", str(sparsity), "--epochs", "2", "--batch-size", "21", "--device", "cpu"]
    done = torchrun("-m", "spikeloom", "train", "--data", "digits", "--hidden", "60", *words, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    fit("digits", method=method, sparsity=sparsity, epochs=2, batch_size=21, device="cpu", hidden=(60,), out=tmp_path / "one")
    one, two = (torch.cat([w.flatten() for w in load_file(tmp_path / n / "model.safetensors").values()]) for n in ("one", "two"))
    assert int((one != 0).sum()) == int((two != 0).sum())
    # a synapse whose rank the last bit of a sum decides may go another way in two processes, and others after it
    assert float(((one != 0) == (two != 0)).double().mean()) > 0.99
    assert float(torch.isclose(one, two, rtol=1e-2, atol=1e-3).double().mean()) > 0.98


@pytest.mark.chain
def test_two_processes_average_the_same_weights(tmp_path: Path) -> None:
    words = ("--data", "digits", "--hidden", "60", "--epochs", "2", "--batch-size", "21", "--device", "cpu", "--ema", "0.95")
    done = torchrun("-m", "spikeloom", "train", *words, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    fit("digits", epochs=2, batch_size=21, device="cpu", hidden=(60,), ema=0.95, out=tmp_path / "one")
    one, two = (load_file(tmp_path / n / "model.safetensors") for n in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(weight, two[name], rtol=1e-3, atol=1e-4)
    assert [r["validation_accuracy"] for r in rows(tmp_path / "one")] == [r["validation_accuracy"] for r in rows(tmp_path / "two")]


@pytest.mark.chain
def test_two_processes_resume_to_the_same_bits(pair: tuple[Path, Path], tmp_path: Path) -> None:
    train = ("-m", "spikeloom", "train", "--data", "digits", "--hidden", "60", *WORDS, "--out", tmp_path / "run")
    killing = tmp_path / "kill.py"
    killing.write_text(KILLED)
    assert torchrun(killing, *train[2:]).returncode != 0
    assert checkpoint.read(tmp_path / "run" / "checkpoint.safetensors").document["epoch"] == 1
    done = torchrun(*train, "--resume")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (pair[1] / "model.safetensors").read_bytes()


@pytest.mark.chain
def test_processes_that_drift_apart_are_stopped(tmp_path: Path) -> None:
    script = tmp_path / "drift.py"
    script.write_text(DRIFTING)
    done = torchrun(script, "train", "--data", "digits", "--hidden", "20", *WORDS, "--out", tmp_path / "run")
    assert done.returncode != 0
    assert "After epoch 2 process 1 holds other bits of" in done.stderr
    assert len(rows(tmp_path / "run")) == 1


def test_the_parts_of_a_batch_are_the_batch() -> None:
    batch = torch.arange(11)
    parts = [World(rank, 3).part(batch) for rank in range(3)]
    assert sorted(torch.cat(parts).tolist()) == batch.tolist()
    assert [len(p) for p in parts] == [4, 4, 3]


@pytest.mark.chain
def test_a_batch_smaller_than_the_processes_is_refused(tmp_path: Path) -> None:
    parts = Parts.of(TrainSettings("digits", batch_size=2, device="cpu", net_options={"hidden": (5,)}))
    data = load_dataset("digits")
    model = parts.build_model(data, 2)
    with pytest.raises(UsageError, match="3 processes"):
        Trainer(parts.settings, data, model, parts.build_method(model, parts.settings), tmp_path, None, World(0, 3))


def test_a_hash_sees_a_bit() -> None:
    tensor = torch.zeros(3, 2)
    other = tensor.clone()
    other[2, 1] = -0.0
    assert digest(tensor) == digest(tensor.clone()) != digest(other)


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device cpu"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


def test_the_validation_is_reduced_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process counts its own share of the samples; the shares add up to all of them."""

    class Constant(torch.nn.Module):
        is_integer, votes, timesteps, largest = False, 1, 1, 10

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def counts(self, output: torch.Tensor) -> torch.Tensor:
            return output.sum(0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.int64), 10).float().unsqueeze(0)

    split = load_dataset("digits").test
    whole = accuracy(Constant(), split, 16)  # type: ignore[arg-type]
    monkeypatch.setattr(World, "total", lambda self, value: value)
    parts = [accuracy(Constant(), split, 16, World(rank, 3)) for rank in range(3)]  # type: ignore[arg-type]
    assert sum(parts) == pytest.approx(whole) and whole == float((split.labels == 0).mean())
