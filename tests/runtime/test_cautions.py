"""Warnings of trainings and runs: an output that never spikes; batches that batch normalisation cannot take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from netgen import float_network, samples
from spikeloom.compile import compile_network
from spikeloom.errors import SpikeloomWarning, UsageError
from spikeloom.network.model import Network, Stage
from spikeloom.runtime import run
from spikeloom.train import fit, loop
from spikeloom.train.connections import INPUT, Connection
from torch import nn


def mute(network: Network) -> Network:
    """Return the network with an output of the highest threshold that its synapses can still reach, which samples do not."""
    output = network.populations[-1]
    return network.with_population(replace(output, neuron=replace(output.neuron, vth=131_071)))  # type: ignore[arg-type]


@pytest.mark.parametrize("trained", [True, False])
def test_an_output_that_never_spikes_is_a_warning_where_it_was_trained(trained: bool) -> None:
    network = replace(float_network(6, sizes=(40, 30, 10)), provenance={"data": "digits"} if trained else {})
    network = replace(network, stages=(Stage("float", 0.9, 100),) if trained else ())
    deployed = compile_network(network)
    said = f"Layer {network.populations[-1].name} never spiked on 60 samples, so every prediction is class 0"
    values = samples(deployed.network, 1, 60)
    assert not any(said in w for w in run(deployed, values).warnings)
    silent = run(replace(deployed, network=mute(deployed.network)), values)
    assert silent.output_counts is not None and not silent.output_counts.any()
    assert any(said in w for w in silent.warnings) == trained
    assert not any("Accuracy fell" in w for w in silent.warnings)


def test_a_training_says_that_its_output_never_spikes(tmp_path: Path, spikeloom: Any) -> None:
    words = ("train", "--data", "digits", "--epochs", 1, "--hidden", 4, "--lr", 1e-9, "--method", "grad-r", "--sparsity", 0.97)
    ended = spikeloom(*words, "--out", tmp_path / "mute")
    assert ended.code == 0 and "Warning: Layer output never spiked on" in ended.err and "every prediction is class 0" in ended.err
    assert "never spiked" in json.loads((tmp_path / "mute/train.json").read_text())["warnings"][0]
    assert not fit("digits", epochs=1, hidden=(32,), out=tmp_path / "fine").warnings


def test_a_training_says_that_nothing_was_learned_and_which_layers_starve(tmp_path: Path) -> None:
    """Labels are drawn, so a network that spikes is right by chance; at 2 % of the weights one is left for ten outputs."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (600, 8), dtype=np.uint8), rng.integers(0, 10, 600)
    options: Any = {"epochs": 1, "lr": 1e-9, "hidden": (40,), "data_options": {"test_fraction": 0.3}}
    (chance,) = fit((x, y), **options, out=tmp_path / "chance").warnings
    assert "hardly more than a constant prediction" in chance and "fewer weights than outputs" not in chance
    (starved,) = fit((x, y), **options, method="grad-r", sparsity=0.98, out=tmp_path / "starved").warnings
    assert "output 1 of 400" in starved and "--exempt" in starved and "method.floor" in starved


@pytest.mark.parametrize(
    ("samples_", "batch", "processes", "norms", "steps"),
    [(33, 16, 1, True, 2), (33, 16, 1, False, 3), (34, 16, 1, True, 3), (35, 16, 2, True, 2), (1, 16, 1, True, 1), (3, 1, 1, True, 3)],
)
def test_batches_leave_what_has_no_variance(samples_: int, batch: int, processes: int, norms: bool, steps: int) -> None:
    model = nn.Sequential(nn.BatchNorm2d(2)) if norms else nn.Sequential()
    trainer = SimpleNamespace(feed=range(samples_), batch_size=batch, world=SimpleNamespace(size=processes), model=model)
    assert loop.Trainer.batches.fget(trainer) == steps  # type: ignore[attr-defined]


def test_a_single_value_of_a_channel_is_named() -> None:
    connection = Connection([INPUT], (3, 2, 2), nn.Conv2d(3, 5, 2), nn.BatchNorm2d(5))
    connection(torch.zeros(2, 3, 2, 2))
    with pytest.raises(UsageError, match=r"connection from input to 5 channels got a single value of each.*--batch-size 2"):
        connection(torch.zeros(1, 3, 2, 2))
    connection.eval()
    connection(torch.zeros(1, 3, 2, 2))


def test_next_steps_are_quoted_for_the_shell(tmp_path: Path, spikeloom: Any, digits_run: Path) -> None:
    """What a command says to type next works where a folder has a blank in its name."""
    import shlex
    import shutil

    run_ = tmp_path / "my runs" / "it's one"
    shutil.copytree(digits_run, run_)
    for words in (("compile", run_, "--effort", "fast"), ("run", run_ / "model.loom", "--samples", 5)):
        ended = spikeloom(*words)
        typed = shlex.split(ended.err.rsplit("Next: ", 1)[1])
        assert ended.code == 0 and typed[0] == "spikeloom" and Path(typed[2]).exists(), typed
    assert spikeloom(*typed[1:]).code == 0


def test_all_hints_are_quoted() -> None:
    """No command writes its next step as text of its own."""
    root = Path(__file__).parents[2]
    texts = {path.name: path.read_text() for path in (root / "cli").glob("*.py")}
    assert [name for name, text in texts.items() if "Next: " in text] == ["shared.py"]
    assert all("next_step(" in texts[f"{name}.py"] for name in ("train", "compile", "run", "convert"))


def test_what_looks_wrong_is_a_warning_in_python_too() -> None:
    """Samples of 0..16 in a network that takes 0..255: nobody should have to look into the results to learn of it."""
    network = float_network(1, sizes=(6, 12, 4))
    deployed = compile_network(network)
    values = (samples(network, 3, 12) // 16).astype(np.uint8)
    with pytest.warns(SpikeloomWarning, match=r"Sample values run from 0 to 1[0-5]; the network takes integers 0\.\.255") as caught:
        results = run(deployed, values)
    assert {str(w.message) for w in caught} <= set(results.warnings) and all(w.filename == __file__ for w in caught)
