"""Whole runs on the digits: what is written, resumed, refused; the hand-over file gives torch's spikes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file
from spikeloom.compile import compile_network
from spikeloom.data import as_dataset
from spikeloom.errors import FormatError, OutputError, PausedError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.hwmodels import fixed_point
from spikeloom.network import IntegerLIF, Network
from spikeloom.runtime import run
from spikeloom.train import TrainedRun, fit, load_dataset
from spikeloom.train.finished import provenance_of
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.networks import fc
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

RECIPE: dict[str, Any] = {"data": "digits", "method": "grad-r", "sparsity": 0.9, "epochs": 6, "batch_size": 32, "lr": 2e-2, "hidden": (60,)}


def changed(values: dict[str, Any]) -> dict[str, Any]:
    return RECIPE | values


@pytest.fixture(scope="module", params=[None, 8], ids=["float", "8 bits"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return fit(**RECIPE, weight_bits=request.param, out=tmp_path_factory.mktemp("run") / "out")


def test_a_run_reaches_its_sparsity_and_learns(trained: TrainedRun) -> None:
    assert abs(trained.sparsity - 0.9) < 1e-3 and trained.accuracy > 0.8
    network = model_onnx.read(trained.model)
    total = sum(p.synapses.shape[0] * p.synapses.shape[1] for p in network.projections)
    assert sum(p.synapses.count for p in network.projections) == total - round(0.9 * total)
    assert network.is_integer == (trained.settings.weight_bits is not None) and network.stages == trained.stages


def test_the_folder_holds_what_it_should(trained: TrainedRun) -> None:
    folder = trained.folder
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in rows] == [1, 2, 3, 4, 5, 6]
    calibration = load_file(folder / "calibration.safetensors")
    assert calibration["values"].shape == (256, 64) and calibration["values"].dtype == np.uint8
    assert calibration["labels"].dtype == np.int64
    assert {p.name for p in folder.iterdir()} == {
        "settings.json", "checkpoint.safetensors", "metrics.jsonl", "tensorboard", "model.onnx", "model.safetensors",
        "calibration.safetensors", "train.json",
    }  # fmt: skip
    assert json.loads((folder / "settings.json").read_text())["sparsity"] == 0.9


def test_tensorboard_counts_what_each_epoch_pruned_and_regrew(trained: TrainedRun) -> None:
    rows = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(trained.folder / "tensorboard")).Reload()
    names = {"pruned", "regrown", "connectivity", "connectivity_unrolled", "sparsity", "loss", "lr", "validation_accuracy"}
    assert names <= set(events.scalars.Keys())
    for name in sorted(names):
        points = [(point.step, point.value) for point in events.Scalars(name)]
        assert points == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in rows], name
    assert sum(row["regrown"] for row in rows) > 0 < sum(row["pruned"] for row in rows)


def onnx_spikes(path: Path, values: np.ndarray, timesteps: int, integer: bool) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kinds = {"tensor(int64)": np.int64, "tensor(double)": np.float64}
    state = {i.name: np.zeros((len(values), i.shape[1]), kinds[i.type]) for i in session.get_inputs() if i.name != "input"}
    names = [o.name for o in session.get_outputs()]
    spikes: dict[str, list[np.ndarray]] = {n: [] for n in names if n.startswith("s_")}
    for t in range(timesteps):
        x = values if t == 0 or not integer else np.zeros_like(values)  # current encoding: sent once
        out = dict(zip(names, session.run(names, {"input": x} | state), strict=True))
        state = {n.removesuffix("_out"): out[n] for n in names if n.endswith("_out")}
        for n, taken in spikes.items():
            taken.append(np.asarray(out[n]))
    return {n.removeprefix("s_"): np.stack(s) for n, s in spikes.items()}


def torch_spikes(trained: TrainedRun, values: np.ndarray) -> dict[str, np.ndarray]:
    network = model_onnx.read(trained.model)
    model: SpikingNetwork = fc.build((8, 8), 10, network.timesteps, fc.Options(hidden=(60,)), temporal=False).double()
    for weight, projection in zip(model.weights().values(), network.projections, strict=True):
        with torch.no_grad():
            weight.copy_(torch.from_numpy(projection.synapses.to_dense().astype(np.float64)))
    with torch.no_grad():
        return {name: s.numpy() > 0 for name, s in model.populations(torch.from_numpy(values).double()).items()}


def reference_spikes(network: Network, values: np.ndarray) -> dict[str, np.ndarray]:
    spikes: dict[str, np.ndarray] = {}
    rows = np.stack([values] + [np.zeros_like(values)] * (network.timesteps - 1)).astype(np.int64)
    for population, projection in zip(network.spiking, network.projections, strict=True):
        chip = population.neuron
        assert isinstance(chip, IntegerLIF)
        u = np.zeros((len(values), population.size), np.int64)
        v, out = u.copy(), []
        for row in rows:
            a = fixed_point.synaptic_input(projection.synapses.to_dense().astype(np.int64), row.T, projection.exponent).T
            u, v, s = fixed_point.lif_step(u, v, a, du=chip.du, dv=chip.dv, vth=chip.vth)
            out.append(s)
        spikes[population.name] = np.stack(out)
        rows = spikes[population.name].astype(np.int64)
    return spikes


def test_onnxruntime_gives_the_same_spikes(trained: TrainedRun) -> None:
    test = load_dataset("digits").test
    integers = test.values.reshape(len(test), -1).astype(np.float32)
    network = model_onnx.read(trained.model)
    inputs = integers if network.is_integer else integers / np.float32(16)
    stepped = onnx_spikes(trained.model, inputs, network.timesteps, network.is_integer)
    expected = reference_spikes(network, integers) if network.is_integer else torch_spikes(trained, inputs)
    assert set(stepped) == set(expected) == {"hidden1", "output"}
    for name, spikes in expected.items():
        assert np.array_equal(stepped[name], spikes), name
    predicted = np.argmax(stepped["output"].sum(0), 1)
    assert np.mean(predicted == test.labels) == trained.accuracy
    assert expected["output"].any()


def test_training_is_deterministic_and_leaves_the_callers_random_numbers(trained: TrainedRun, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = fit(**RECIPE, weight_bits=trained.settings.weight_bits, out=tmp_path / "again")
    assert torch.equal(torch.rand(1), expected)
    assert (again.folder / "model.safetensors").read_bytes() == (trained.folder / "model.safetensors").read_bytes()


KILLED = """
import json, sys
from spikeloom.train import fit
recipe = json.loads(sys.argv[1])
def progress(epoch, epochs, batch, batches, metrics, left):
    print(epoch, batch, flush=True)
fit(**recipe, out=sys.argv[2], progress=progress)
"""


@pytest.mark.parametrize("epoch", [3, *(pytest.param(e, marks=pytest.mark.chain) for e in (1, 6))])
def test_kill_and_resume_give_the_same_bits(trained: TrainedRun, tmp_path: Path, epoch: int) -> None:
    bits = trained.settings.weight_bits
    recipe = json.dumps(RECIPE | {"weight_bits": bits})
    child = subprocess.Popen([sys.executable, "-c", KILLED, recipe, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line.split()[0]) >= epoch:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.stdout.close()
    child.wait(30)
    assert not (tmp_path / "run" / "model.onnx").exists()
    resumed = fit(**RECIPE, weight_bits=bits, out=tmp_path / "run", resume=True)
    assert (resumed.folder / "model.safetensors").read_bytes() == (trained.folder / "model.safetensors").read_bytes()
    assert model_onnx.read(resumed.model).stages == trained.stages
    assert len((resumed.folder / "metrics.jsonl").read_text().splitlines()) == 6


def test_a_time_limit_pauses_and_resuming_gives_the_same_bits(trained: TrainedRun, tmp_path: Path) -> None:
    bits, out = trained.settings.weight_bits, tmp_path / "run"
    pauses = 0
    while True:  # each call takes the epoch that the limit passes in
        try:
            limit = 0.0 if pauses == 0 else 1e-3 if pauses < 4 else None
            resumed = fit(**RECIPE, weight_bits=bits, out=out, resume=pauses > 0, time_limit=limit)
            break
        except PausedError as error:
            pauses += 1
            assert "--resume" in str(error) and not (out / "model.onnx").exists()
    assert pauses == 4
    assert (resumed.folder / "model.safetensors").read_bytes() == (trained.folder / "model.safetensors").read_bytes()


def test_a_finished_run_is_returned(trained: TrainedRun) -> None:
    began = time.monotonic()
    again = fit(**RECIPE, weight_bits=trained.settings.weight_bits, out=trained.folder, resume=True)
    assert again == trained and time.monotonic() - began < 1


def test_a_run_is_not_overwritten(trained: TrainedRun) -> None:
    before = (trained.folder / "model.onnx").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        fit(**RECIPE, weight_bits=trained.settings.weight_bits, out=trained.folder)
    assert (trained.folder / "model.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 7), ("lr", 1e-3), ("hidden", (61,)), ("sparsity", 0.8), ("loss", "ce"), ("schedule", "constant")]
)
def test_resuming_with_other_settings_names_them(trained: TrainedRun, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        fit(**changed({name: value}), weight_bits=trained.settings.weight_bits, out=trained.folder, resume=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        fit(**RECIPE, out=tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, 0.99])
def test_a_truncated_checkpoint_is_named(trained: TrainedRun, tmp_path: Path, keep: float) -> None:
    content = (trained.folder / "checkpoint.safetensors").read_bytes()
    (tmp_path / "settings.json").write_bytes((trained.folder / "settings.json").read_bytes())
    (tmp_path / "checkpoint.safetensors").write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(FormatError, match=r"checkpoint\.safetensors"):
        fit(**RECIPE, weight_bits=trained.settings.weight_bits, out=tmp_path, resume=True)


def test_a_foreign_checkpoint_is_named(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes((trained.folder / "settings.json").read_bytes())
    (tmp_path / "checkpoint.safetensors").write_bytes((trained.folder / "model.safetensors").read_bytes())
    with pytest.raises(FormatError, match="damaged"):
        fit(**RECIPE, weight_bits=trained.settings.weight_bits, out=tmp_path, resume=True)


def test_an_output_that_is_a_file_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError):
        fit(**RECIPE, out=tmp_path / "file" / "run")


NO_MATTER = {"device", "compile", "threads", "data_dir", "cuda_options", "seed"}  # to what is learned, but for the last bits
OTHER: dict[str, Any] = {
    "data": "mnist", "net": "vggsnn", "method": "stds", "sparsity": 0.123, "epochs": 99, "batch_size": 3, "lr": 0.0123,
    "schedule": "warmup-cosine", "warmup": 0.3, "timesteps": 3, "loss": "tet", "tet_lambda": 0.5, "augment": "gentle", "qat_fraction": 0.6,
    "qat_lr": 0.123, "tune_fraction": 0.3, "ema": 0.9, "validation_fraction": 0.33, "init": "x", "precision": "bf16", "optimizer": "sgd",
}  # fmt: skip


def test_whatever_decides_the_weights_is_in_the_provenance(trained: TrainedRun) -> None:
    """Runs of the same provenance are taken for seeds of one another."""
    names = {f.name for f in dataclasses.fields(trained.settings)}
    options = {name for name in names if name.endswith("_options")}
    assert names == OTHER.keys() | NO_MATTER | options | {"weight_bits"}
    integers = dataclasses.replace(trained, settings=dataclasses.replace(trained.settings, weight_bits=8))
    floats = dataclasses.replace(trained, settings=dataclasses.replace(trained.settings, weight_bits=None))
    assert provenance_of(integers) != provenance_of(floats)
    changes = OTHER | {name: {"some": 1} for name in options - NO_MATTER}
    for name, value in changes.items():
        if name == "epochs":  # of the run: it counts those that there were
            changed = dataclasses.replace(integers, epochs=value)
        else:
            changed = dataclasses.replace(integers, settings=dataclasses.replace(integers.settings, **{name: value}))
        assert provenance_of(changed) != provenance_of(integers), name


def test_the_provenance_names_every_option(trained: TrainedRun) -> None:
    provenance = model_onnx.read(trained.model).provenance
    assert (provenance["data"], provenance["method"], provenance["net.hidden"]) == ("digits", "grad-r", "[60]")
    assert provenance["method.control"] == '"closed"'


def test_runs_that_differ_in_a_setting_are_no_seeds_of_one_another(tmp_path: Path) -> None:
    """Whatever changes the weights is on record, so that reports do not take it for chance."""
    words: dict[str, Any] = {"hidden": (8,), "epochs": 1, "batch_size": 400, "timesteps": 2, "device": "cpu"}

    def recorded(**other: Any) -> dict[str, str]:
        run = fit("fc", "digits", out=tmp_path / str(len(list(tmp_path.iterdir()))), **(words | other))
        return {k: v for k, v in model_onnx.read(run.model).provenance.items() if k not in ("seed", "sparsity_reached")}

    plain = recorded()
    assert plain["optimizer"] == "adam" and plain["lr"] == "0.01" and plain["batch_size"] == "400" and plain["timesteps"] == "2"
    assert "warmup" not in plain and recorded(seed=1) == plain
    others: list[dict[str, Any]] = [
        {"lr": 0.02}, {"batch_size": 300}, {"timesteps": 3}, {"schedule": "constant"}, {"loss": "ce"}, {"loss": "tet", "tet_lambda": 0.1},
        {"augment": "gentle"}, {"optimizer": "sgd"}, {"optimizer_options": {"weight_decay": 0.1}}, {"validation_fraction": 0.2},
        {"loss": "ce", "loss_options": {"scale": 3.0}}, {"schedule": "one-cycle", "warmup": 0.3}, {"net_options": {"tau": 3.0}},
        {"weight_bits": 8, "epochs": 2}, {"weight_bits": 4, "epochs": 2}, {"init": tmp_path / "0"},
    ]  # fmt: skip
    found = [plain, *(recorded(**other) for other in others)]
    assert len({json.dumps(f, sort_keys=True) for f in found}) == len(found)


@pytest.mark.parametrize("name", ["data", "method", "net"])
def test_unknown_names_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="Known"):
        fit(**changed({name: "nonesuch"}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_progress_counts_down(tmp_path: Path) -> None:
    calls: list[tuple[int, int, int, int, float]] = []
    fit("digits", epochs=2, hidden=(10,), out=tmp_path / "run", progress=lambda e, n, b, m, metrics, left: calls.append((e, n, b, m, left)))
    assert calls[-1][:4] == (2, 2, calls[-1][3], calls[-1][3]) and calls[-1][4] == 0


def test_the_last_call_of_an_epoch_has_its_own_metrics(tmp_path: Path) -> None:
    """Not the validation accuracy of the epoch before, nor the last batch's loss."""
    last: list[dict[str, float]] = []

    def progress(epoch: int, epochs: int, batch: int, batches: int, metrics: dict[str, float], left: float) -> None:
        assert ("validation_accuracy" in metrics) == (batch == batches)
        if batch == batches:
            last.append(metrics)

    done = fit("digits", epochs=3, hidden=(10,), out=tmp_path / "run", progress=progress)
    rows = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert last == [{name: row[name] for name in ("loss", "sparsity", "validation_accuracy")} for row in rows]


def test_open_control_and_deep_networks_run(tmp_path: Path) -> None:
    prior = {"control": "open", "alpha": 0.3}
    run = fit("digits", method="grad-r", sparsity=0.9, method_options=prior, epochs=2, hidden=(30, 20), out=tmp_path / "run")
    assert run.best_epoch == 2
    assert [p.name for p in model_onnx.read(run.model).spiking] == ["hidden1", "hidden2", "output"]


def test_registers_follow_weights_that_outgrow_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is exported always deploys: registers without room for growth are chosen again, until an epoch's integers fit."""
    from spikeloom.compile import compile_network
    from spikeloom.train import loop

    real, asked = loop.fits, list[bool]()

    def first_time_too_large(*args: Any) -> bool:
        asked.append(len(asked) > 1 and real(*args))
        return asked[-1]

    monkeypatch.setattr(loop, "fits", first_time_too_large)
    run = fit(**RECIPE, weight_bits=8, out=tmp_path / "run")
    assert len(asked) > 2 and asked[:2] == [False, False]
    assert compile_network(run).network.populations


def test_samples_of_your_own_are_trained_on_compiled_and_run(tmp_path: Path) -> None:
    """The same bits as of the data set of that content, resumed only with the same samples; the network names no data set."""
    digits = load_dataset("digits")
    data = as_dataset((digits.train.values, digits.train.labels), digits.test, name="mine", levels=16)
    options: dict[str, Any] = {"epochs": 1, "hidden": (12,), "threads": 1}
    named, own = fit("digits", out=tmp_path / "named", **options), fit(data, out=tmp_path / "own", **options)
    assert own.accuracy == named.accuracy and own.settings.data == data.identity
    networks = [model_onnx.read(run.model) for run in (named, own)]
    arrays = [[p.synapses.data.tolist() for p in network.projections] for network in networks]
    assert arrays[0] == arrays[1]
    assert "data" not in networks[1].provenance and networks[1].provenance["own_data"] == data.identity
    assert fit(data, out=tmp_path / "own", resume=True, **options).accuracy == own.accuracy
    other = as_dataset((digits.train.values, digits.train.labels), digits.train.take(slice(0, 50)), name="mine", levels=16)
    with pytest.raises(UsageError, match="was trained with data = "):
        fit(other, out=tmp_path / "own", resume=True, **options)
    with pytest.raises(UsageError, match="samples of your own has none"):
        fit(data, out=tmp_path / "more", data_options={"timesteps": 3}, **options)
    deployed = compile_network(own, data=digits)
    assert 0.0 <= (run(deployed, digits.test).accuracy or 0.0) <= 1.0
