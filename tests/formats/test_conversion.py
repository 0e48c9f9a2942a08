"""Conversion of ANNs: rates tend to activations, accuracy stays, and what is not converted is refused by node."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from anngen import Array, Node, ann_bytes, float32, mlp, node
from budget import examples
from conftest import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import conv_network, integer_conv_network, integer_network, samples, seeds
from spikeloom import registry
from spikeloom.compile import compile_network
from spikeloom.compile.pipeline import Calibration
from spikeloom.data.dataset import load_dataset
from spikeloom.errors import BackendError, DoesNotFitError, NetworkError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.formats.ann import Converted, ann_accuracy, convert, read_ann, spiking_accuracy
from spikeloom.network import reference
from spikeloom.network.model import LIF, IntegerLIF, Network
from spikeloom.runtime import backends
from spikeloom.runtime.backends import lava, native
from spikeloom.runtime.backends import onnx as onnx_backend
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.native import recurrent


def conv_ann(rng: np.random.Generator, path: Path) -> Path:
    """Everything that is read: a convolution with padding and groups, normalisation, averages, flattening, Add, MatMul, Softmax."""
    side = int(rng.integers(6, 9))
    channels = 2
    weights: dict[str, Array] = {
        "k0": float32(rng, 4, 1, 3, 3, spread=2.0),
        "c0": float32(rng, 4, spread=0.5),
        "gain": rng.uniform(0.5, 1.5, 4).astype(np.float32),
        "shift": float32(rng, 4, spread=0.2),
        "mean": float32(rng, 4, spread=0.2),
        "var": rng.uniform(0.5, 2.0, 4).astype(np.float32),
        "k1": float32(rng, 5, 4, 2, 2, spread=2.0),
        "a1": float32(rng, 1, 5, 1, 1, spread=0.2).reshape(1, 5, 1, 1),
        "axes": np.array([0, -1], np.int64),
    }
    left = (side // 2 - 1) // 2 if (deep := bool(rng.random() < 0.5)) else 1
    weights |= {"w2": float32(rng, 5 * left * left, 3, spread=2.0), "a2": float32(rng, 3, spread=0.2)}
    nodes = [
        node("Conv", "x", "k0", "c0", out="conv0", pads=[1, 1, 1, 1], group=channels),
        node("BatchNormalization", "conv0", "gain", "shift", "mean", "var", out="norm"),
        node("Relu", "norm", out="relu0"),
        node("AveragePool", "relu0", out="pool0", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "pool0", "k1", out="conv1"),
        node("Add", "a1", "conv1", out="add1"),
        node("Relu", "add1", out="relu1"),
        node("Dropout", "relu1", out="drop"),
        node("AveragePool", "drop", out="pool1", kernel_shape=[2, 2], strides=[2, 2])
        if deep
        else node("GlobalAveragePool", "drop", out="pool1"),
        node("Reshape", "pool1", "axes", out="flat") if deep else node("Flatten", "pool1", out="flat"),
        node("MatMul", "flat", "w2", out="fc"),
        node("Add", "fc", "a2", out="logits"),
        node("Softmax", "logits", out="softmax"),
    ]
    path.write_bytes(ann_bytes(nodes, weights, ("N", channels, side, side)))
    return path


# What is read is what onnxruntime computes


@settings(max_examples=examples(10), deadline=None)
@given(seeds)
def test_layers_give_onnxruntimes_outputs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ann = read_ann(conv_ann(rng, tmp_path_factory.mktemp("ann") / "a.onnx"))
    values = rng.integers(0, 256, (20, *ann.shape)).astype(np.uint8)
    real = (values / 255).astype(np.float32)
    theirs: Any = ort.InferenceSession(ann.content).run(None, {"x": real})[0]
    ours = ann.activations(real.reshape(20, -1))
    softmax = np.exp(ours[-1]) / np.exp(ours[-1]).sum(axis=1, keepdims=True)
    assert np.abs(softmax - theirs).max() < 1e-4
    labels = theirs.argmax(axis=1)
    assert ann_accuracy(ann, values, labels, 1 / 255) == 1.0


# Rates


def rates(converted: Converted, values: Array, timesteps: int) -> reference.Spikes:
    rasters = reference.simulate_float(replace(converted.network, timesteps=timesteps), values)
    return {name: raster.mean(axis=1) for name, raster in rasters.items()}


@settings(max_examples=examples(10), deadline=None)
@given(seeds)
def test_rates_of_the_first_layer_are_within_one_over_t(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """A soft reset keeps what is above the threshold, so T steps of a constant current a give floor(T a) spikes, but for rounding."""
    rng = np.random.default_rng(seed)
    ann = read_ann(mlp(rng, tmp_path_factory.mktemp("ann") / "a.onnx"))
    values = rng.integers(0, 256, (8, 12)).astype(np.uint8)
    converted = convert(ann, values, levels=255, scale=1 / 255, percentile=100.0)
    name = converted.network.spiking[0].name
    wanted = np.minimum(ann.activations(values / 255)[0] / converted.scales[name], 1.0)
    for timesteps in (4, 16, 64, 256):
        found = rates(converted, values, timesteps)[name]
        assert (found <= wanted + 1e-4).all() and (found > wanted - 1.0 / timesteps - 1e-4).all()


@settings(max_examples=examples(6), deadline=None)
@given(seeds)
def test_the_error_of_rates_falls_as_one_over_t(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ann = read_ann(conv_ann(rng, tmp_path_factory.mktemp("ann") / "a.onnx"))
    values = rng.integers(0, 256, (6, int(np.prod(ann.shape)))).astype(np.uint8)
    converted = convert(ann, values, levels=255, scale=1 / 255, percentile=100.0)
    activations = ann.activations(values / 255)
    activations[-1] = activations[-1] + converted.shift
    wanted = [np.clip(a / converted.scales[p.name], 0.0, 1.0) for a, p in zip(activations, converted.network.spiking, strict=True)]
    for timesteps in (16, 128, 1024):
        found = rates(converted, values, timesteps)
        errors = [np.abs(found[p.name] - w).mean() for p, w in zip(converted.network.spiking, wanted, strict=True)]
        assert all(error < 6.0 * (depth + 1) / timesteps for depth, error in enumerate(errors)), (timesteps, errors)


# Accuracy


@pytest.fixture(scope="module")
def digits_ann(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP that scikit-learn trained on the digits."""
    from sklearn.neural_network import MLPClassifier

    data = load_dataset("digits")
    trained: Any = MLPClassifier((64, 32), max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 iterations do
        trained.fit(data.train.values.reshape(-1, 64) / 16.0, data.train.labels)
    nodes, weights, last = list[Node](), dict[str, Array](), "x"
    for i, (w, b) in enumerate(zip(trained.coefs_, trained.intercepts_, strict=True)):
        weights |= {f"w{i}": w.astype(np.float32), f"b{i}": b.astype(np.float32)}
        nodes += [node("MatMul", last, f"w{i}", out=f"m{i}"), node("Add", f"m{i}", f"b{i}", out=f"fc{i}")]
        last = f"fc{i}"
        if i < 2:
            nodes.append(node("Relu", last, out=f"relu{i}"))
            last = f"relu{i}"
    path = tmp_path_factory.mktemp("ann") / "digits.onnx"
    path.write_bytes(ann_bytes([*nodes, node("Softmax", last, out="softmax")], weights, ("N", 64)))
    return path


def test_samples_in_a_file_convert_like_the_data_set(digits_ann: Path, spikeloom: Command, tmp_path: Path) -> None:
    train = load_dataset("digits").train
    np.savez(tmp_path / "digits.npz", x=train.values, y=train.labels)
    words = ("convert", digits_ann, "-T", 4, "--samples", 20, "--out")
    for name, data in (("a", ("digits",)), ("b", (tmp_path / "digits.npz", "--set", "data.levels=16"))):
        ended = spikeloom(*words, tmp_path / name, "--data", *data)
        assert ended.code == 0, ended.err
    a, b = (model_onnx.read(tmp_path / name / "model.onnx") for name in "ab")
    assert all((p.synapses.data == q.synapses.data).all() for p, q in zip(a.projections, b.projections, strict=True))
    assert (a.input, a.provenance["data"]) == (b.input, "digits") and "data" not in b.provenance
    wrong = spikeloom(*words, tmp_path / "c", "--data", "digits", "--set", "levels=16")
    assert wrong.code == 2 and "takes options of its data" in wrong.err


def test_digits_keep_their_accuracy(spikeloom: Command, digits_ann: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = spikeloom("convert", digits_ann, "--data", "digits", "--out", out, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    own, by_steps = document["ann"]["accuracy"], {int(k): v for k, v in document["accuracy"].items()}
    assert own > 0.95 and list(by_steps) == [4, 8, 16, 32, 64]
    assert abs(by_steps[64] - own) < 0.02
    assert by_steps[4] < by_steps[64] and all(by_steps[2 * t] > by_steps[t] - 0.01 for t in (4, 8, 16, 32))
    assert document == json.loads((out / "conversion.json").read_text())
    network = model_onnx.read(out / "model.onnx")
    assert [s.name for s in network.stages] == ["ann", "converted"] and network.timesteps == 64
    assert spikeloom("compile", out).code == 0
    ran = json.loads(spikeloom("run", out / "model.loom", "--check", "--json").out)
    assert abs(ran["accuracy"] - by_steps[64]) < 0.03


def test_more_steps_are_nearer(digits_ann: Path) -> None:
    data, ann = load_dataset("digits"), read_ann(digits_ann)
    values, labels = data.test.values[:100], data.test.labels[:100]
    converted = convert(ann, data.train.values[:200], levels=16, scale=1 / 16, timesteps=64)
    short = spiking_accuracy(replace(converted, network=replace(converted.network, timesteps=8)), ann, values, labels, [8])
    found = spiking_accuracy(converted, ann, values, labels, [8, 64])
    assert found.by_steps[8] == short.by_steps[8]  # the answer after 8 of 64 steps is that of 8
    assert all(found.rate_error[name] < short.rate_error[name] / 3 for name in found.rate_error)


def test_wrong_numbers_are_refused(spikeloom: Command, digits_ann: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.onnx"
    weights = {"w": np.ones((64, 2), np.float32), "b": np.full(2, -99.0, np.float32)}
    silent.write_bytes(ann_bytes([node("Gemm", "x", "w", "b", out="fc"), node("Relu", "fc", out="r")], weights, ("N", 64)))
    for words, says in (
        (("--percentile", 40), "--percentile is 40"),
        (("--scale", 0), "--scale is 0"),
        (("--timesteps", 5000), "--timesteps is 5000"),
        (("--samples", 0), "--samples is 0"),
    ):
        done = spikeloom("convert", digits_ann, "--data", "digits", "--out", tmp_path / "x", *words)
        assert done.code == 2 and says in done.err
    assert not (tmp_path / "x").exists()
    with pytest.raises(UsageError, match="takes 64 inputs; the samples have 10"):
        convert(read_ann(digits_ann), np.zeros((4, 10), np.uint8), levels=16, scale=1 / 16)
    with pytest.raises(NetworkError, match="never activates"):
        convert(read_ann(silent), np.ones((4, 64), np.uint8), levels=16, scale=1 / 16)
    done = spikeloom("compile", digits_ann)
    assert done.code == 1 and "spikeloom convert" in done.err


# The soft reset, in every form of the chip's arithmetic


def softened(network: Network) -> Network:
    neurons = {p.name: replace(p.neuron, soft_reset=True) for p in network.spiking if isinstance(p.neuron, IntegerLIF | LIF)}
    return replace(network, populations=tuple(replace(p, neuron=neurons.get(p.name, p.neuron)) for p in network.populations))


def same_everywhere(network: Network, seed: int) -> None:
    values = samples(network, seed)
    events = (
        reference.encode(network, values) if not network.input.is_temporal else reference.check_values(network, values).astype(np.uint8)
    )
    expected = reference.simulate(network, events)
    options = BackendOptions()
    one = native.simulate(network, events[:1], options).spikes
    for backend in (*registry.names(backends), "recurrent"):
        module: Any = recurrent if backend == "recurrent" else registry.load(backends, "backend", backend)
        try:
            found = module.simulate(network, events, options)
        except BackendError:
            assert backend in ("lava", "truenorth", "xylosim")  # whose neurons have no such reset
            continue
        assert all((found.spikes[name] == expected[name]).all() for name in expected), backend
    assert all((one[name] == expected[name][:1]).all() for name in expected)


@settings(max_examples=examples(12), deadline=None)
@given(seeds, st.sampled_from(["graded", "current", "rate"]))
def test_flat_networks_with_a_soft_reset_spike_the_same_everywhere(seed: int, encoding: str) -> None:
    same_everywhere(softened(integer_network(seed, encoding=encoding)), seed)


@settings(max_examples=examples(8), deadline=None)
@given(seeds)
def test_maps_with_a_soft_reset_spike_the_same_everywhere(seed: int) -> None:
    same_everywhere(softened(integer_conv_network(seed)), seed)


@settings(max_examples=examples(8), deadline=None)
@given(seeds)
def test_float_neurons_with_a_soft_reset_are_handed_over(seed: int) -> None:
    network = softened(conv_network(seed))
    again = model_onnx.from_bytes(model_onnx.to_bytes(network))
    assert again.populations == network.populations
    leakless = LIF(np.inf, 1.0, 0.0, decay_input=False, soft_reset=True)
    integrating = replace(
        network, populations=tuple(replace(p, neuron=leakless if isinstance(p.neuron, LIF) else p.neuron) for p in network.populations)
    )
    content = model_onnx.to_bytes(integrating)
    assert model_onnx.from_bytes(content).populations == integrating.populations
    values = samples(integrating, seed)
    real = (values.reshape(len(values), 1, -1) * np.float64(integrating.input.scale)).astype(np.float32).astype(np.float64)
    steps = np.repeat(real, integrating.timesteps, axis=1)
    expected = reference.simulate_float(integrating, values, events=steps)
    found = onnx_backend.step_through(onnx_backend.session(content), steps, integrating.timesteps)
    assert all((found[name] == raster).all() for name, raster in expected.items())


@pytest.mark.skipif(lava.available() is not None, reason="Lava is not installed")
def test_lava_refuses_a_soft_reset(digits_ann: Path) -> None:
    values = load_dataset("digits").train.values[:64]
    deployed = compile_network(convert(read_ann(digits_ann), values, levels=16, scale=1 / 16, timesteps=8).network)
    with pytest.raises(BackendError, match="soft reset, which Lava's neurons do not have"):
        lava.simulate(deployed.network, reference.encode(deployed.network, values[:2].reshape(2, -1)), BackendOptions())


def test_a_soft_reset_is_refused_where_there_is_none(digits_ann: Path) -> None:
    values = load_dataset("digits").train.values[:64]
    network = convert(read_ann(digits_ann), values, levels=16, scale=1 / 16, timesteps=8).network
    with pytest.raises(DoesNotFitError, match="soft reset, which the neurons of loihi do not have"):
        compile_network(network, chip="loihi")
    with pytest.raises(NetworkError, match="soft reset"):
        compile_network(network, target="netx")
    bare = replace(network, populations=tuple(replace(p, bias=None) for p in network.populations))
    with pytest.raises(NetworkError, match="soft reset"):
        compile_network(bare, target="truenorth", calibration=Calibration(values.reshape(64, -1), np.zeros(64, np.int64)))
