"""`spikeloom repeat`: a run made again is equal, what differs is named; recipes and commands of cells give the same weights."""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from spikeloom import sweep as sweeps
from spikeloom import train
from spikeloom.errors import FormatError, UsageError
from spikeloom.sweep import Grid, repeat
from spikeloom.sweep.grid import command_of

RECIPE = {"sparsity": 0.5, "epochs": 1, "hidden": (24,), "method_options": {"growth": "momentum"}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, trained in a second."""
    folder = tmp_path_factory.mktemp("repeat") / "run"
    train.fit("digits", "fc", "esl", out=folder, threads=1, **RECIPE)  # pyright: ignore[reportArgumentType]
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, spikeloom: Callable[..., Any]) -> Path:
    """The same, compiled and run with options of their own."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    assert spikeloom("compile", folder, "--encoding", "rate", "--weight-bits", "6", "--seed", "3").code == 0
    words = ("--samples", "40", "--check", "--seed", "5", "--by-step", "--probe", "hidden1.v", "--probe-samples", "first:7")
    assert spikeloom("run", folder / "model.loom", "--data", "digits", *words).code == 0
    return folder


def test_a_run_made_again_is_equal(run: Path, tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    ended = spikeloom("repeat", run, "--out", tmp_path / "again", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["equal"] and [part["name"] for part in told["parts"]] == ["weights", "network", "results"]
    assert told["conditions"] == told["left_out"] == [] and all(part["first"] is None for part in told["parts"])
    assert (tmp_path / "again/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    again = json.loads((tmp_path / "again/results.json").read_text())
    assert again["samples"] == 40 and again["by_step"] is not None and len(again["probed"]["sample_ids"]) == 7


def test_what_differs_is_named_with_the_first_place(run: Path, spikeloom: Callable[..., Any]) -> None:
    weights = load_file(run / "model.safetensors")
    name = min(weights)
    changed = weights[name].copy()
    changed.flat[0] += 0.5
    save_file(weights | {name: changed}, run / "model.safetensors")
    results = json.loads((run / "results.json").read_text())
    results["layers"][1]["spikes_per_sample"] += 1.0
    (run / "results.json").write_text(json.dumps(results))
    ended = spikeloom("repeat", run)
    assert ended.code == 1 and f"differs from it, first in weights: {name}: 1 of {changed.size:,} values, by at most 0.5" in ended.err
    out = " ".join(ended.out.split())
    assert out.startswith("weights model.safetensors differs ") and "network model.loom equal " in out
    assert "layers[1].spikes_per_sample: " in out and "none of those recorded" in out
    assert not [*run.parent.glob("spikeloom-repeat-*")]


def test_another_seed_differs_in_everything_that_follows(run: Path, tmp_path: Path) -> None:
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(settings | {"seed": 1}))
    summary = json.loads((run / "train.json").read_text())
    summary["platform"]["processor"] = "another"
    (run / "train.json").write_text(json.dumps(summary))
    found = repeat(run, tmp_path / "again")
    assert not found.equal and [part.equal for part in found.parts] == [False, False, False]
    assert found.first is not None and found.first.name == "weights" and "projection" in str(found.parts[1].first)
    assert [c for c in found.conditions if c.startswith("processor: another, again ")] and len(found.conditions) == 1


def test_what_was_not_recorded_is_said(trained: Path, tmp_path: Path) -> None:
    import spikeloom

    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    only = repeat(folder, tmp_path / "first")
    assert only.equal and [part.name for part in only.parts] == ["weights"]
    deployed = spikeloom.compile_network(folder)
    deployed.save(folder / "model.loom")
    values = spikeloom.load_dataset("digits").test.values[:20]
    spikeloom.run(deployed, values, data_name="my samples").save(folder / "results.json")
    found = repeat(folder, tmp_path / "second")
    assert found.equal and [part.name for part in found.parts] == ["weights", "network"]
    assert found.left_out[0].startswith("how model.loom was compiled is not recorded") and "is of my samples" in found.left_out[1]


def test_what_cannot_be_repeated(trained: Path, tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    assert "holds no finished run" in spikeloom("repeat", tmp_path).err
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"loss": "mine.loss"}))
    with pytest.raises(UsageError, match=r"functions of your own \(mine\.loss\)"):
        repeat(folder, tmp_path / "again")
    (folder / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match="already contains a run"):
        repeat(folder, folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FormatError, match="is damaged"):
        repeat(folder, tmp_path / "once")


def test_the_settings_of_a_run_are_a_recipe(trained: Path, tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    ended = spikeloom("train", "--recipe", trained / "settings.json", "--out", tmp_path / "again")
    assert ended.code == 0, ended.err
    assert (tmp_path / "again/model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    (tmp_path / "list.json").write_text("[]")
    assert "does not hold the settings of a run" in spikeloom("train", "--recipe", tmp_path / "list.json", "--out", tmp_path / "x").err
    (tmp_path / "other.json").write_text('{"epoch": 3}')
    assert "Did you mean 'epochs'" in spikeloom("train", "--recipe", tmp_path / "other.json", "--out", tmp_path / "x").err


def test_the_command_of_a_cell_trains_it_again(tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    shared = {"data": "digits", "epochs": 1, "lr": 0.02, "net_options": {"hidden": (24, 16)}, "method_options": {"growth": "momentum"}}
    out = tmp_path / "a sweep"
    rows = sweeps.sweep(Grid(shared, ("esl",), (0.5,), (3,), out, deploy=False))
    words = shlex.split(rows[0]["command"])
    assert words[:2] == ["spikeloom", "train"] and "net.hidden=24,16" in words and "lr=0.02" in words
    ended = spikeloom(*words[1:])
    assert ended.code == 0, ended.err
    again = Path(words[words.index("--out") + 1])
    assert (again / "model.safetensors").read_bytes() == (out / "esl/s0.5/seed3/model.safetensors").read_bytes()
    assert json.loads((out / "sweep.json").read_text())["cells"][0]["command"] == rows[0]["command"]
    assert rows[0]["command"].replace("'", "&#39;") in (out / "sweep.html").read_text()


def test_a_command_gives_back_every_setting(tmp_path: Path) -> None:
    """The words of a command, as the command line reads them, are the settings of the cell."""
    from spikeloom.train.parts import Parts
    from spikeloom.train.recipe import merged
    from spikeloom.train.settings import TrainSettings

    shared = {"data": "digits", "weight_bits": 4, "qat_fraction": 0.125, "schedule": "warmup-cosine", "compile": True, "timesteps": 5}
    grid = Grid(shared | {"net_options": {"hidden": (24,), "votes": 2}, "device": "cpu"}, ("grad-r",), (0.875,), (1 << 40,), tmp_path)
    settings = grid.settings_of(next(grid.cells()))
    words = shlex.split(command_of(grid, next(grid.cells()), None))
    pairs = list(itertools.pairwise(words))
    flags = {w.removeprefix("--").replace("-", "_"): v for w, v in pairs if w.startswith("--") and w != "--set"}
    chosen = [v for w, v in pairs if w == "--set"]
    assert flags.pop("out").endswith("-again")
    read, asked = Parts.of(TrainSettings.read(merged({}, flags, chosen))), Parts.of(settings)
    assert read.settings == asked.settings and (read.net_options, read.method_options) == (asked.net_options, asked.method_options)


def test_digests_tell_bits_not_values() -> None:
    from spikeloom.sweep import again

    assert again._digest_of({"a": np.zeros(3, np.float32)}) != again._digest_of({"a": -np.zeros(3, np.float32)})  # pyright: ignore[reportPrivateUsage]
