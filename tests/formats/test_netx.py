"""Files of netx that are read: they spike as netx's equations say, and what is damaged or cannot be carried is refused by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from budget import examples
from conftest import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from netxgen import CUBA, PlainNeurons, plain_netx, put, random_file, seeds
from spikeloom.compile.deployed import load
from spikeloom.errors import FormatError, NetworkError, SpikeloomError, UsageError
from spikeloom.formats.netx import reader
from spikeloom.formats.netx.weights import parts
from spikeloom.network import reference
from spikeloom.network.model import IntegerLIF


@settings(max_examples=examples(12), deadline=None)
@given(seeds)
def test_a_file_spikes_as_netx_equations_say(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("net") / "random.net"
    inputs = random_file(seed, path)
    network = reader.read(path)
    assert network.timesteps == 12
    events = (np.random.default_rng(seed).random((12, inputs)) < 0.5).astype(np.int64)
    spikes = reference.simulate(network, events[None])
    assert (spikes[network.populations[-1].name][0] == plain_netx(path, events)).all()


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(st.integers(-256, 255), min_size=1, max_size=6), st.sampled_from([1, 2, 4]))
def test_parts_add_up_to_the_weights(weights: list[int], step: int) -> None:
    whole = np.array(weights) // step * step
    split = parts(whole)
    assert (np.sum([data << exponent for data, exponent in split], axis=0) == whole).all()
    assert all(np.abs(data).max() <= 127 and 0 <= exponent <= 7 for data, exponent in split)
    assert len(split) == 1 or np.abs(whole).max() > 127


def test_an_input_with_neurons_takes_bytes(tmp_path: Path) -> None:
    """netx leaves  bias_mant = weight x + bias  to its user; bytes stand for x = p / 255, and the product is rounded down."""
    path = tmp_path / "input.net"
    with h5py.File(path, "w") as file:
        put(file, 0, "input", CUBA | {"vThMant": 25}, shape=(3, 4, 4), weight=np.array([40.0]), bias=np.array([36.0]))
    network = reader.read(path, reader.Options(timesteps=16))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 48))
    deployed = replace(network, input=replace(network.input, encoding="graded"))
    spikes = reference.simulate(deployed, np.repeat(pixels[:, None], 16, axis=1))["input0"][0]
    with h5py.File(path) as file:
        neurons = PlainNeurons(file["layer/0/neuron"], 48)
        mantissas = pixels[0] * 40 // 256 + 36
        assert np.abs(mantissas - (pixels[0] * 40 / 255 + 36)).max() < 1.16
        assert (spikes == np.array([neurons.step(np.zeros(48, np.int64), mantissas) for _ in range(16)])).all()


def test_the_last_average_is_votes(tmp_path: Path) -> None:
    path = tmp_path / "votes.net"
    with h5py.File(path, "w") as file:
        put(file, 0, "dense", CUBA, shape=(6, 1, 1), weight=np.ones((6, 4)))
        put(file, 1, "average", shape=(3, 1, 1))
    network = reader.read(path, reader.Options(timesteps=16))
    assert (network.votes, network.classes) == (2, 3)


# Files that are damaged, hostile, or hold what is not carried


def damaged(path: Path, change: Callable[[Any], None]) -> Path:
    with h5py.File(path, "w") as file:
        put(file, 0, "input", shape=(1, 4, 4))
        window = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        put(file, 1, "conv", CUBA, shape=(2, 3, 3), weight=np.ones((2, 1, 2, 2)), **window)
        put(file, 2, "flatten", shape=(18, 1, 1))
        put(file, 3, "dense", CUBA, shape=(5, 1, 1), weight=np.ones((5, 18)))
        file.create_dataset("simulation/tSample", data=16)
        change(file)
    return path


def replaced(key: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if key in file:
            del file[key]
        if value is not None:
            file.create_dataset(key, data=value)

    return change


REFUSED: list[tuple[str, Any, str]] = [
    ("layer/1/neuron/type", b"SDNN", r"Layer 1 \(conv\): its neurons are 'SDNN'"),
    ("layer/3/neuron/refDelay", 4, r"Layer 3 \(dense\): its neurons have refDelay 4: a refractory period"),
    ("layer/3/neuron/gradedSpike", True, "gradedSpike 1"),
    ("layer/3/neuron/wgtExp", 2, "wgtExp 2"),
    ("layer/1/neuron/vThMant", 131071, r"Layer 1 \(conv\): its threshold of 131,071, .* so the layers after it receive no spikes"),
    ("layer/1/neuron", None, "it has no neuron, so the layers after it receive no spikes"),
    ("layer/3/neuron/vThMant", -4, "vThMant is -4"),
    ("layer/3/neuron/vThMant", np.nan, "not finite"),
    ("layer/3/neuron/vThMant", None, "no numbers 'neuron/vThMant'"),
    ("layer/3/neuron/vDecay", 4096, "no memory at all"),
    ("layer/3/neuron/iDecay", np.arange(5), "iDecay has 5 different values"),
    ("layer/3/weight", np.ones((5, 17)), "its weights take 17 inputs"),
    ("layer/3/weight", np.full((5, 18), 300), "Loihi's synapses hold"),
    ("layer/3/weight", np.full((5, 18), 0.5), "not integers"),
    ("layer/3/weight", np.full((5, 18), np.inf), "not finite"),
    ("layer/3/weight", b"text", "no numbers 'weight'"),
    ("layer/3/delay", np.full(5, 63), r"delays of 63\.\.63 steps"),
    ("layer/3/delay", np.ones(7), "delays have the shape"),
    ("layer/3/bias", np.ones(4), "4 biases for 5 channels"),
    ("layer/3/bias", np.full(5, 5000), "a bias of 5,000"),
    ("layer/3/shape", (0, 1, 1), "its shape is"),
    ("layer/3/type", b"concat", "its type cannot be read"),
    ("layer/2/type", b"pool", "its type cannot be read"),
    ("layer/2", None, "without a gap"),
    ("layer/1/delay", np.ones(2), "netx itself leaves out"),
    ("layer/1/shape", (2, 4, 4), r"its weights make \(2, 3, 3\)"),
    ("layer/1/stride", (0, 1), "stride is"),
    ("layer/1/groups", 3, "in 3 groups"),
    ("layer/1/weight", np.ones((2, 1, 9, 9)), "its weights make"),
    ("layer/1/weight", np.ones((2, 2)), "weight has the shape"),
    ("simulation/tSample", 0, "tSample is 0"),
    ("spikeloom/document", "{", "not JSON"),
    ("spikeloom/document", '{"names": ["a"]}', "go together"),
    ("layer", None, "numbered"),
    ("layer/x/type", b"dense", "not in a numbered layer"),
]


@pytest.mark.parametrize(("key", "value", "says"), REFUSED)
def test_what_is_not_carried_is_refused_by_layer(key: str, value: Any, says: str, tmp_path: Path) -> None:
    path = damaged(tmp_path / "d.net", replaced(key, value))
    with pytest.raises(FormatError, match=says):
        reader.read(path)


READOUTS: list[tuple[str, Any]] = [("neuron/vThMant", 131071), ("neuron/vThMant", 131072), ("neuron", None)]


@pytest.mark.parametrize(("key", "value"), READOUTS)
def test_a_membrane_readout_is_named_and_gets_a_threshold_where_one_is_asked_for(key: str, value: Any, tmp_path: Path) -> None:
    path = damaged(tmp_path / "d.net", replaced(f"layer/3/{key}", value))
    with pytest.raises(NetworkError, match=r"Layer 3 \(dense\), the last, is a membrane readout.*--set readout="):
        reader.read(path)
    network = reader.read(path, reader.Options(readout=70))
    du, dv = (int(CUBA["iDecay"]) - 1, int(CUBA["vDecay"])) if value else (4095, 0)
    assert network.populations[-1].neuron == IntegerLIF(du, dv, 70)
    spiking = damaged(tmp_path / "s.net", lambda _: None)
    with pytest.raises(UsageError, match="readout is for a last layer that reads out"):
        reader.read(spiking, reader.Options(readout=70))


def test_time_steps_are_asked_for_where_the_file_has_none(spikeloom: Command, tmp_path: Path) -> None:
    path = damaged(tmp_path / "t.net", replaced("simulation/tSample", None))
    with pytest.raises(UsageError, match=r"no simulation/tSample.*--timesteps"):
        reader.read(path)
    assert reader.read(path, reader.Options(timesteps=9)).timesteps == 9
    assert reader.read(damaged(tmp_path / "u.net", lambda _: None), reader.Options(timesteps=9)).timesteps == 9
    with h5py.File(path, "w") as file:
        put(file, 0, "dense", CUBA, shape=(3, 1, 1), weight=np.full((3, 4), 120))
    ended = spikeloom("compile", path, "-T", 9, "--json")
    assert ended.code == 0, ended.err
    assert load(tmp_path / "model.loom").network.timesteps == 9


def huge(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def cycle(file: Any) -> None:
    file["layer/3/again"] = file["layer/3"]


def linked(file: Any) -> None:
    file["layer/3/bias"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft(file: Any) -> None:
    file["layer/3/bias"] = h5py.SoftLink("/layer/3/weight")


def outside(file: Any) -> None:
    file["layer/3"].create_dataset("bias", (4,), "f4", external=[("/etc/passwd", 0, 16)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (huge, "declares 4,398,046,511,104 bytes"),
        (cycle, "contains itself"),
        (linked, "a link to elsewhere"),
        (soft, "a link to elsewhere"),
        (outside, "in another file"),
    ],
)
def test_hostile_files_are_refused(change: Callable[[Any], None], says: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=says):
        reader.read(damaged(tmp_path / "h.net", change))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = damaged(tmp_path / "whole.net", lambda _: None)
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(12):
        broken = bytearray(content[: len(content) // 2] if number == 0 else content)
        for place in rng.integers(0, len(broken), 6 * number):
            broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / "broken.net").write_bytes(bytes(broken))
        with contextlib.suppress(SpikeloomError):
            reader.read(tmp_path / "broken.net")
    (tmp_path / "broken.net").write_bytes(b"not HDF5")
    with pytest.raises(FormatError, match=r"broken\.net cannot be read as a netx file"):
        reader.read(tmp_path / "broken.net")
