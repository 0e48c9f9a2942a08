"""Modules of torch and graphs of NIR in memory, handed to the compiler; and the command line's FILE.py:NAME."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import spikeloom
import torch
from modulegen import T, images, seeded
from safetensors.torch import save_file
from spikeloom.errors import FormatError, SpikeloomError, UsageError
from spikeloom.formats.torch.load import load_module, load_weights
from spikeloom.network import reference
from spikingjelly.activation_based import layer, neuron
from torch import nn

MODEL = """
import torch
from spikingjelly.activation_based import layer, neuron

SIZE = 10

def make():
    return torch.nn.Sequential(layer.Flatten(), layer.Linear(64, SIZE), neuron.LIFNode(v_threshold=0.5))

def needs(size):
    return None

def number():
    return 3
"""


def model(seed: int = 0) -> nn.Module:
    body = (layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4), neuron.IFNode(), layer.MaxPool2d(2), layer.Flatten())
    return seeded(nn.Sequential(*body, layer.Linear(64, 10), neuron.LIFNode(v_reset=None)), seed, 3.0)


def test_a_module_deploys_and_runs_as_the_reference() -> None:
    x, y = images(24, 1, 8, 8), np.arange(24) % 10
    deployed = spikeloom.compile_network(model(), sample=x[:2], timesteps=T, calibration=(x, y))
    values = np.rint(x.numpy() * 255).astype(np.uint8)
    results = spikeloom.run(deployed, values, check=True)
    network = deployed.network
    found = reference.simulate(network, reference.encode(network, values))[network.populations[-1].name]
    np.testing.assert_array_equal(results.predictions, reference.decide(found))
    assert results.output_counts is not None and results.output_counts.any()


def test_calibration_is_what_its_integers_are() -> None:
    x, y = images(24, 1, 8, 8), np.arange(24) % 10
    given = [
        (x, y),
        (x.float().numpy(), torch.tensor(y)),
        (torch.from_numpy(np.rint(x.numpy() * 255).astype(np.uint8)), torch.tensor(y)),
    ]
    made = [spikeloom.compile_network(model(), sample=x[:1], timesteps=T, calibration=c).network for c in given]
    for other in made[1:]:
        assert all(np.array_equal(a.synapses.data, b.synapses.data) for a, b in zip(made[0].projections, other.projections, strict=True))


@pytest.mark.parametrize(
    ("calibration", "needle"),
    [
        ((images(4, 1, 8, 8), np.arange(2)), "4 samples need one integer each"),
        ((images(4, 1, 8, 9), np.arange(4)), "the network takes (1, 8, 8)"),
        ((images(4, 1, 8, 8) * 3, np.arange(4)), "their range is said to be 0 to 1"),
        ((images(0, 1, 8, 8), np.zeros(0, np.int64)), "at least one sample"),
    ],
)
def test_bad_calibration(calibration: Any, needle: str) -> None:
    with pytest.raises(SpikeloomError) as caught:
        spikeloom.compile_network(model(), sample=images(1, 1, 8, 8), timesteps=T, calibration=calibration)
    assert needle in str(caught.value)


def test_a_module_on_a_data_set() -> None:
    deployed = spikeloom.compile_network(model(), timesteps=T, data=spikeloom.samples_of("digits"))
    assert [s.name for s in deployed.network.stages] == ["float, as read", "integers"]
    assert deployed.network.input.levels == 16
    assert deployed.network.provenance["framework"] == "spikingjelly"


def test_recordings_as_data() -> None:
    x, y = np.random.default_rng(0).integers(0, 2, (20, T, 2, 8, 8)).astype(np.uint8), np.arange(20) % 5
    module = seeded(nn.Sequential(layer.Flatten(), layer.Linear(128, 5), neuron.LIFNode()), gain=3.0)
    given: list[dict[str, Any]] = [{"data": (x, y)}, {"sample": torch.from_numpy(x[:2].copy()).transpose(0, 1), "calibration": (x, y)}]
    for how in given:
        network = spikeloom.compile_network(module, timesteps=T, events=True, **how).network
        assert network.input.encoding == "events"
        assert network.timesteps == T


def test_a_graph_of_nir_in_memory() -> None:
    rng = np.random.default_rng(0)
    nodes: dict[str, Any] = {
        "in": nir.Input(np.array([6])),  # pyright: ignore[reportArgumentType]
        "w": nir.Affine(rng.normal(size=(4, 6)).astype(np.float32), np.zeros(4, np.float32)),
        "n": nir.IF(r=np.full(4, 1e4), v_threshold=np.ones(4)),
        "out": nir.Output(np.array([4])),  # pyright: ignore[reportArgumentType]
    }
    graph = nir.NIRGraph(nodes, [("in", "w"), ("w", "n"), ("n", "out")])
    network = spikeloom.compile_network(graph, timesteps=T).network
    assert network.populations[-1].size == 4
    with pytest.raises(SpikeloomError, match="time steps"):
        spikeloom.compile_network(graph)
    with pytest.raises(SpikeloomError, match=r"option of the reader of \.nir files called 'rest'"):
        spikeloom.compile_network(graph, timesteps=T, reader={"rest": "zero"})


def test_data_settle_what_a_graph_leaves_open_as_they_do_for_a_file(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {
        "in": nir.Input(np.array([64])),  # pyright: ignore[reportArgumentType]
        "w": nir.Linear(np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)),
        "n": nir.IF(r=np.full(10, 1e4), v_threshold=np.ones(10)),
        "out": nir.Output(np.array([10])),  # pyright: ignore[reportArgumentType]
    }
    graph = nir.NIRGraph(nodes, [("in", "w"), ("w", "n"), ("n", "out")])
    nir.write(tmp_path / "model.nir", graph)
    options: dict[str, Any] = {"reader": {"reset": "zero", "timesteps": T}, "data": spikeloom.load_dataset("digits")}
    found, wanted = (spikeloom.compile_network(source, **options) for source in (graph, tmp_path / "model.nir"))
    for one, other in zip(found.network.projections, wanted.network.projections, strict=True):
        assert np.array_equal(one.synapses.data, other.synapses.data)
    assert found.network.input.levels == 16


def test_the_command(tmp_path: Path, spikeloom: Any) -> None:
    path, weights = tmp_path / "mine.py", tmp_path / "w.safetensors"
    path.write_text(MODEL)
    save_file(seeded(load_module(path, "make"), gain=4.0).state_dict(), weights)
    assert spikeloom("compile", f"{path}:make", "--weights", weights, "--data", "digits", "-T", "4").code == 0
    assert spikeloom("run", tmp_path / "model.loom", "--data", "digits", "--samples", "8", "--check").code == 0
    for words, needle in (
        ([f"{path}:mke"], "Did you mean 'make'"),
        ([str(path)], "Name what makes your module"),
        ([f"{path}:needs"], "It must run without arguments"),
        ([f"{path}:number"], "makes a int, not a torch.nn.Module"),
        ([f"{tmp_path / 'none.py'}:make"], "There is no file"),
        ([f"{path}:make", "--weights", str(tmp_path / "w.pt")], "save_file(torch.load"),
        ([f"{path}:make", "--data", "digits"], "how many time steps"),
        ([f"{path}:make", "-T", "4"], "the shape of a sample"),
        ([str(tmp_path), "--weights", str(weights)], "is for your own module"),
    ):
        ended = spikeloom("compile", *words)
        assert ended.code == 2
        assert needle in " ".join(ended.err.split())


def test_weights_of_another_module(tmp_path: Path) -> None:
    path, module = tmp_path / "w.safetensors", nn.Sequential(nn.Linear(3, 2))
    for state, needle in (
        ({"0.weight": torch.zeros(2, 3)}, "lacks 0.bias"),
        ({"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2), "1.bias": torch.zeros(2)}, "has 1.bias, which the module has not"),
        ({"0.weight": torch.zeros(2, 4), "0.bias": torch.zeros(2)}, r"has the shape \(2, 4\)"),
    ):
        save_file(state, path)
        with pytest.raises(FormatError, match=needle):
            load_weights(module, path)
    path.write_bytes(b"nothing")
    with pytest.raises(FormatError, match="is truncated"):
        load_weights(module, path)
    with pytest.raises(UsageError, match="There is no file"):
        load_weights(module, tmp_path / "other.safetensors")
