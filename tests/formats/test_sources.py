"""One resolver of time steps, data, levels and options, for every source: a network of another tool runs on a data set at its own T."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import Command
from netxgen import CUBA, put
from nirgen import nir
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.compile.compiler import read_source
from spikeloom.compile.deployed import load
from spikeloom.errors import DataError, SpikeloomError, UsageError
from spikeloom.formats.nir.writer import write
from spikeloom.train import load_dataset, samples_of
from test_datasets_layouts import write_n_mnist
from test_nir import chain, lif

PIXELS = 2 * 34 * 34


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_n_mnist(folder, np.random.default_rng(0))
    return folder


@pytest.fixture
def camera_net(tmp_path: Path) -> Path:
    """A NIR file for N-MNIST, as another tool writes it: nothing in it says how many time steps a sample has."""
    rng = np.random.default_rng(1)
    entry = nir.Input(np.array([2, 34, 34]))
    weight = rng.normal(0.3, 0.5, (10, PIXELS)).astype(np.float32)
    nir.write(tmp_path / "net.nir", chain(entry, nir.Flatten({"input": np.array([2, 34, 34])}, 0, -1), nir.Linear(weight), lif(10)))
    return tmp_path / "net.nir"


def events_file(folder: Path, steps: int, inputs: int = 5, classes: int = 3) -> tuple[Path, Any, Any]:
    rng = np.random.default_rng(2)
    x, y = (rng.random((40, steps, inputs)) < 0.4).astype(np.uint8), rng.integers(0, classes, 40)
    np.savez(folder / "events.npz", x=x, y=y)
    return folder / "events.npz", x, y


def netx_file(folder: Path, steps: int | None = None) -> Path:
    with h5py.File(folder / "net.net", "w") as file:
        put(file, 0, "dense", CUBA, shape=(3, 1, 1), weight=np.random.default_rng(3).integers(-60, 120, (3, 5)))
        if steps is not None:
            file.create_dataset("simulation/tSample", data=steps)
    return folder / "net.net"


@pytest.mark.parametrize("words", [("-T", "7"), ("--set", "data.timesteps=7"), ("-T", "7", "--set", "data.timesteps=7")])
def test_recordings_are_cut_into_the_networks_steps(words: tuple[str, ...], spikeloom: Command, camera_net: Path, recordings: Path) -> None:
    where = ("--data-dir", recordings)
    ended = spikeloom("compile", camera_net, "--data", "n-mnist", *words, "--set", "data.by=time", *where)
    assert ended.code == 0, ended.err
    deployed = load(camera_net.parent / "model.loom")
    said = deployed.network.provenance
    assert (deployed.network.timesteps, said["data"], json.loads(said["data.timesteps"])) == (7, "n-mnist", 7)
    assert [(s.name, s.samples, s.split) for s in deployed.network.stages] == [("float, as read", 10, "test"), ("integers", 10, "test")]
    ran = spikeloom("run", camera_net.parent / "model.loom", *where, "--json")
    assert ran.code == 0, ran.err
    by_time = load_dataset("n-mnist", recordings, {"timesteps": 7, "by": "time"})
    found = json.loads(ran.out)
    assert found["accuracy"] == runtime.run(deployed, by_time.test).accuracy == found["stages"][1]["accuracy"]
    named = spikeloom("run", camera_net.parent / "model.loom", "--data", "n-mnist", "--set", "data.by=count", *where, "--json")
    assert named.code == 0 and json.loads(named.out)["network"]["timesteps"] == 7
    other = spikeloom("run", camera_net.parent / "model.loom", "--set", "data.timesteps=9", *where)
    assert other.code == 2 and "the network has 7 time steps" in other.err


def test_the_data_sets_own_steps_where_nothing_else_is_said(camera_net: Path, recordings: Path) -> None:
    deployed = compile_network(camera_net, data=samples_of("n-mnist", folder=recordings))
    assert deployed.network.timesteps == 10
    loaded = load_dataset("n-mnist", recordings, {"timesteps": 4})
    assert compile_network(camera_net, data=samples_of(loaded)).network.timesteps == 4
    with pytest.raises(UsageError, match=r"have 4 frames; the network has 5 time steps. Load the data with timesteps=5"):
        compile_network(camera_net, reader={"timesteps": 5}, data=samples_of(loaded))


def test_samples_in_files_calibrate_and_run(spikeloom: Command, tmp_path: Path) -> None:
    """An .npz, or two .npy, give the same network; the file's own T stands, and what contradicts it is refused with both numbers."""
    path, x, y = events_file(tmp_path, 6)
    np.save(tmp_path / "x.npy", x.astype(np.bool_))
    np.save(tmp_path / "y.npy", y)
    net = netx_file(tmp_path)
    pair = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    for data, out in ((("--data", path), "a.loom"), (pair, "b.loom")):
        ended = spikeloom("compile", net, *data, "--out", tmp_path / out)
        assert ended.code == 0, ended.err
        assert load(tmp_path / out).network.timesteps == 6
        assert "data" not in load(tmp_path / out).network.provenance
    ran = spikeloom("run", tmp_path / "a.loom", "--data", path, "--json", "--check")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["samples"] == 40
    contradicted = spikeloom("compile", netx_file(tmp_path, 9), "--data", path)
    assert contradicted.code == 2 and "6 time steps each; the network has 9" in contradicted.err


def test_which_axis_is_time_is_told_by_the_networks_inputs(tmp_path: Path) -> None:
    path, x, y = events_file(tmp_path, 6)
    weight = np.random.default_rng(4).normal(0.4, 0.5, (3, 5)).astype(np.float32)
    nir.write(tmp_path / "net.nir", chain(nir.Input(np.array([5])), nir.Linear(weight), lif(3)))
    network = compile_network(tmp_path / "net.nir", data=samples_of(path, options={"levels": 1})).network
    assert network.input.is_temporal and network.timesteps == 6
    np.savez(tmp_path / "static.npz", values=x[:, 0] * 200, labels=y)
    network = compile_network(tmp_path / "net.nir", reader={"timesteps": 8}, data=samples_of(tmp_path / "static.npz")).network
    assert not network.input.is_temporal and network.input.levels == 255
    np.savez(tmp_path / "wrong.npz", x=np.zeros((4, 7), np.uint8), y=np.zeros(4, np.int64))
    with pytest.raises(UsageError, match=r"have the shape \(7,\); the network takes 5 numbers"):
        compile_network(tmp_path / "net.nir", reader={"timesteps": 8}, data=samples_of(tmp_path / "wrong.npz"))


def test_what_our_own_file_says_of_its_samples_stands(tmp_path: Path) -> None:
    """A file that notes events is not read as one of constant samples because the data is; its time steps go before the data set's."""
    path, _, _ = events_file(tmp_path, 6)
    weight = np.random.default_rng(4).normal(0.4, 0.5, (3, 5)).astype(np.float32)
    nir.write(tmp_path / "theirs.nir", chain(nir.Input(np.array([5])), nir.Linear(weight), lif(3)))
    network = read_source(tmp_path / "theirs.nir", {"timesteps": 6, "input": "events"}).network
    write(network, tmp_path / "ours.nir")
    assert compile_network(tmp_path / "ours.nir", data=samples_of(path)).network.timesteps == 6
    with pytest.raises(UsageError, match=r"have one value for all time steps; the network in .* takes one for each"):
        read_source(tmp_path / "ours.nir", None, samples_of("digits"))


def test_a_trained_run_takes_other_calibration_samples(spikeloom: Command, digits_run: Path, tmp_path: Path) -> None:
    shutil.copytree(digits_run, tmp_path / "run")
    ended = spikeloom("compile", tmp_path / "run", "--data", "digits")
    assert ended.code == 0, ended.err
    ended = spikeloom("compile", tmp_path / "run", "--data", "digits", "-T", 9)
    assert ended.code == 2 and "takes no timesteps: it was trained with time steps of its own" in ended.err
    ended = spikeloom("compile", tmp_path / "run", "--data", "mnist", "--data-dir", tmp_path)
    assert ended.code == 1 and "MNIST" in ended.err  # named, and its files are missing


def test_estimate_reads_what_compile_reads(spikeloom: Command, tmp_path: Path) -> None:
    path, _, _ = events_file(tmp_path, 6)
    ended = spikeloom("estimate", netx_file(tmp_path), "--data", path, "--json")
    assert ended.code == 0 and json.loads(ended.out)["cores"] == 1, ended.err
    assert spikeloom("estimate", tmp_path / "net.net", "-T", 6, "--rate", 0.1, "--json").code == 0


REFUSALS: list[tuple[tuple[Any, ...], str]] = [
    (("compile", "{net}", "--set", "reset=subtract"), "takes no reset: Lava's neurons set their potential to 0"),
    (("compile", "{net}", "--dt", "1"), "takes no dt: its neurons count in time steps"),
    (("compile", "{net}", "-T", "6", "--set", "data.by=time"), "--set data.by= needs data, and none is named"),
    (("compile", "{net}", "-T", "6", "--labels", "y.npy"), "--labels needs data, and none is named"),
    (("compile", "{net}", "-T", "6", "--data", "digits"), "have one value for all time steps; the network in {net} takes one for each"),
    (("compile", "{net}", "-T", "6", "--data", "{npz}", "--set", "data.by=time"), "no option of samples in"),
    (("compile", "{net}", "-T", "6", "--data", "{bare}"), "expected are samples as x (N, ...) and, where there are any, classes as y (N,)"),
    (
        ("compile", "{net}", "-T", "6", "--data", "{real}"),
        "are float64 from 0 to 0.5, and nothing says what stands for 1. Say value_range=(0, 1)",
    ),
    (("compile", "{net}", "-T", "6", "--data", "{many}"), "the network in {net} tells 3 classes apart"),
    (("run", "{net}", "--set", "dt=1"), "takes options of its data"),
]


@pytest.mark.parametrize(("words", "says"), REFUSALS)
def test_what_does_not_apply_is_refused_by_name(words: tuple[Any, ...], says: str, spikeloom: Command, tmp_path: Path) -> None:
    path, x, y = events_file(tmp_path, 6)
    held = {"net": netx_file(tmp_path), "npz": path, "bare": tmp_path / "b.npz", "real": tmp_path / "r.npz", "many": tmp_path / "m.npz"}
    np.savez(held["bare"], data=x)
    np.savez(held["real"], x=x / 2, y=y)
    np.savez(held["many"], x=x, y=y + 1)
    ended = spikeloom(*(str(w).format(**held) for w in words))
    assert ended.code != 0 and says.format(**held) in ended.err, ended.err


def test_damaged_archives_end_in_an_error_of_ours(tmp_path: Path) -> None:
    path, _, _ = events_file(tmp_path, 6)
    net, content, rng = netx_file(tmp_path), path.read_bytes(), np.random.default_rng(5)
    for number in range(8):
        broken = bytearray(content[: len(content) // 2] if number == 0 else content)
        for place in rng.integers(0, len(broken), 8 * number):
            broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / "broken.npz").write_bytes(bytes(broken))
        try:
            compile_network(net, reader={"timesteps": 6}, data=samples_of(tmp_path / "broken.npz"))
        except SpikeloomError:
            continue
    np.savez(tmp_path / "objects.npz", x=np.array([None, {}], object), y=np.zeros(2, np.int64))
    with pytest.raises(DataError, match="contains Python objects"):
        compile_network(net, reader={"timesteps": 6}, data=samples_of(tmp_path / "objects.npz"))
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"text\.npz"):
        compile_network(net, reader={"timesteps": 6}, data=samples_of(tmp_path / "text.npz"))
