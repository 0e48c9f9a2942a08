"""The hand-over: folded torch networks in float64, the file in onnxruntime and the reference agree on every spike."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from budget import examples
from graphgen import LEVELS, check_exact, dataset_of, random_network, single_threaded, spikes_of, warmed_up  # noqa: F401  # pyright: ignore[reportUnusedImport]
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from spikeloom.data.dataset import Dataset, Split
from spikeloom.errors import UsageError
from spikeloom.network.model import Convolution, Threshold
from spikeloom.train import export
from spikeloom.train.connections import INPUT, Connection
from spikeloom.train.layers import SpikingLayer, SpikingNetwork
from spikeloom.train.networks import fc
from torch import Tensor, nn


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 2**31))
def test_random_graphs_hand_over_every_spike(seed: int) -> None:
    model = warmed_up(random_network(seed), seed)
    if seed % 2:
        for gate in model.add_gates().values():
            gate.data.copy_((torch.rand(gate.shape) < 0.8).float())
    dataset = dataset_of(model)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    folded = export.fold(model)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    network = check_exact(folded, dataset)
    assert network.input.encoding == ("events" if model.temporal else "direct")
    for name, gate in model.gates().items():
        alive = network.population(name).alive
        assert bool(gate.all()) if alive is None else np.array_equal(alive, gate.detach().flatten().numpy() > 0)


def test_random_graphs_are_alive() -> None:
    """What the property test compares has spikes in it: most layers of most graphs fire."""
    rates: list[float] = []
    for seed in range(12):
        model = export.fold(warmed_up(random_network(seed), seed))
        rates += [float(s.mean()) for s in spikes_of(model, dataset_of(model).train.values).values()]
    assert np.mean(np.array(rates) > 0.01) > 0.7 and np.mean(np.array(rates) > 0.99) < 0.1


def test_folding_changes_rounding_only() -> None:
    """In float64 the folded network's currents differ from those of the unfolded one by the rounding of its weights to float32."""
    differing = total = 0
    for seed in range(12):
        model = warmed_up(random_network(seed), seed)
        values = dataset_of(model).train.values
        plain, folded = spikes_of(copy.deepcopy(model).double(), values), spikes_of(export.fold(model).double(), values)
        differing += sum(int((plain[name] != folded[name]).sum()) for name in plain)
        total += sum(raster.size for raster in plain.values())
    assert differing / total < 1e-4


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(0, 2**31))
def test_folded_parts(seed: int) -> None:
    """No normalisation, dropout or average is left; what was pruned stays so; synapses number as positions say."""
    model = warmed_up(random_network(seed), seed)
    folded = export.fold(model)
    for name, weight in model.weights().items():
        assert torch.equal(weight != 0, folded.weights()[name] != 0)
    for _, layer in folded.named_layers():
        assert all(c.norm is None and not c.dropout for c in layer.inputs)
        assert all(c.op is None or c.op.bias is None for c in layer.inputs)  # pyright: ignore[reportUnnecessaryComparison]
    network = export.network(folded, None, dataset_of(model), (), {})
    alive = {name: int(((w != 0) * folded.positions()[name]).sum()) for name, w in folded.weights().items()}
    shared = {
        id(p.synapses): p.synapses.count for p in network.projections if not isinstance(network.population(p.target).neuron, Threshold)
    }
    counts = list(shared.values())
    assert all(counts.count(c) >= list(alive.values()).count(c) for c in alive.values())


def test_folding_is_the_formula() -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, eps=0.01)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        assert tensor is not None
        tensor.uniform_(0.5, 2.0)
    layer = SpikingLayer([Connection((INPUT,), (3, 8, 8), convolution, norm, pool=2)], 2)
    output = SpikingLayer([Connection(("conv1",), (4, 4, 4), nn.Linear(64, 2, bias=False))])
    model = SpikingNetwork({"conv1": layer, "output": output}, (3, 8, 8), 2, 2).double().eval()
    folded = export.fold(model).layers["conv1"]
    x = torch.rand(5, 3, 8, 8).double()
    averaged = nn.functional.avg_pool2d(x, 2)
    assert isinstance(folded, SpikingLayer) and folded.bias is not None
    expected = norm(convolution(averaged))
    current = folded.inputs[0](x) + folded.bias[:, None, None]
    torch.testing.assert_close(current, expected, rtol=1e-5, atol=1e-6)
    for tensor in (folded.bias, folded.weight if hasattr(folded, "weight") else folded.inputs[0].op.weight):  # pyright: ignore[reportOptionalMemberAccess]
        assert isinstance(tensor, Tensor) and torch.equal(tensor, tensor.float().double())  # what a file of float32 holds
    assert torch.equal(model.layers["conv1"].inputs[0](x), expected)  # pyright: ignore[reportCallIssue,reportIndexIssue,reportOptionalSubscript]


def test_sources_of_a_sum_share_their_synapses() -> None:
    shape = (2, 4, 4)
    units = {
        "conv1": SpikingLayer([Connection((INPUT,), shape, nn.Conv2d(2, 2, 3, padding=1, bias=False))], 3),
        "conv2": SpikingLayer([Connection(("conv1",), shape, nn.Conv2d(2, 2, 3, padding=1, bias=False))]),
        "conv3": SpikingLayer([Connection(("conv1", "conv2"), shape, nn.Conv2d(2, 2, 3, padding=1, bias=False))]),
        "output": SpikingLayer([Connection(("conv3", "conv1"), shape, nn.Linear(32, 2, bias=False))]),
    }
    model = SpikingNetwork(units, shape, 3, 2)
    network = export.network(export.fold(model), None, dataset_of(model), (), {})
    found = {p.name: p.synapses for p in network.projections}
    assert found["conv1_conv3"] is found["conv2_conv3"] and found["conv3_output"] is found["conv1_output"]
    assert isinstance(found["conv1_conv3"], Convolution) and not isinstance(found["conv3_output"], Convolution)


def test_fc_is_handed_over_unchanged() -> None:
    model = fc.build((28, 28), 3, 4, fc.Options((12,)), temporal=False)
    dataset = replace(dataset_of(model), shape=(28, 28), **{
        name: Split(dataset_of(model).train.values.reshape(-1, 28, 28), np.zeros(8, np.int64)) for name in ("train", "test")
    })  # fmt: skip
    folded = export.fold(model)
    assert all(torch.equal(w, folded.weights()[n]) for n, w in model.weights().items())
    network = export.network(folded, None, dataset, (), {"a": "b"})
    assert network.populations[0].shape == (28, 28) and network.provenance == {"a": "b"}
    assert all(p.bias is None and p.alive is None for p in network.populations)


def test_what_cannot_be_handed_over_is_refused() -> None:
    model = random_network(1)
    model.add_gates()
    gate = next(iter(model.gates().values()))
    gate.data[0, 0, 0] = 0.5
    with pytest.raises(UsageError, match="neither open nor closed"):
        export.fold(model)
    gate.data[0, 0, 0] = 0
    with pytest.raises(UsageError, match=r"export\.fold"):
        export.network(warmed_up(random_network(1), 1), None, dataset_of(model), (), {})


@pytest.mark.parametrize("temporal", [False, True])
def test_calibration_samples_keep_their_frames(tmp_path: Path, temporal: bool) -> None:
    shape = (4, 2, 3, 3) if temporal else (2, 3, 3)
    values = np.random.default_rng(0).integers(0, 6, (600, *shape)).astype(np.uint8)
    split = Split(values, np.arange(600) % 3)
    dataset = Dataset("random", split, split, 3, LEVELS, (2, 3, 3), temporal)
    tensors = load_file(export.write_calibration(tmp_path / "calibration.safetensors", dataset))
    assert tensors["values"].shape == ((256, 4, 18) if temporal else (256, 18)) and tensors["labels"].shape == (256,)
    assert np.array_equal(tensors["values"][-1].ravel(), values[-1].ravel())
