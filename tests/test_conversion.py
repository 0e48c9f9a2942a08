"""Conversion of ANNs: rates tend to activations, accuracy stays, and what is not converted is refused by node."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from budget import examples
from conftest import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import conv_network, integer_conv_network, integer_network, samples, seeds
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from spikeloom import registry
from spikeloom.compile import compile_network, handover, reference
from spikeloom.compile.conversion import Converted, ann_accuracy, convert, read_ann, spiking_accuracy
from spikeloom.compile.network import LIF, IntegerLIF, Network
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import BackendError, DoesNotFitError, FormatError, NetworkError, UsageError
from spikeloom.runtime import backends
from spikeloom.runtime.backends import _recurrent, lava, native
from spikeloom.runtime.backends import onnx as onnx_backend
from spikeloom.runtime.backends._base import BackendOptions
from spikeloom.train.data import load_dataset

Array = NDArray[Any]
Node = onnx.NodeProto


def node(kind: str, *inputs: str, out: str, **attributes: Any) -> Node:
    return helper.make_node(kind, list(inputs), [out], name=out, **attributes)


def ann_bytes(nodes: list[Node], weights: dict[str, Array], shape: tuple[Any, ...], opset: int = 21) -> bytes:
    """An ONNX file of a chain whose input is `x` and whose last node's output is the file's."""
    constants = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    entry, leaving = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), (nodes[-1].output[0], None)))
    graph = helper.make_graph(nodes, "ann", [entry], [leaving], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()


def float32(rng: np.random.Generator, *shape: int, spread: float = 1.0) -> NDArray[np.float32]:
    return (rng.normal(0, spread / np.sqrt(np.prod(shape[1:])), shape)).astype(np.float32)


def mlp(rng: np.random.Generator, path: Path, sizes: tuple[int, ...] = (12, 10, 4)) -> Path:
    nodes, weights = list[Node](), dict[str, Array]()
    last = "x"
    for i, (a, b) in enumerate(pairwise(sizes)):
        weights |= {f"w{i}": float32(rng, b, a, spread=1.5), f"b{i}": float32(rng, b, spread=0.3)}
        nodes.append(node("Gemm", last, f"w{i}", f"b{i}", out=f"fc{i}", transB=1))
        last = f"fc{i}"
        if i < len(sizes) - 2:
            nodes.append(node("Relu", last, out=f"relu{i}"))
            last = f"relu{i}"
    path.write_bytes(ann_bytes(nodes, weights, ("N", sizes[0])))
    return path


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


def test_what_onnxruntime_computes_otherwise_is_told(tmp_path: Path) -> None:
    ann = read_ann(mlp(np.random.default_rng(0), tmp_path / "a.onnx"))
    other = replace(ann, layers=(replace(ann.layers[0], bias=ann.layers[0].bias + 1.0), *ann.layers[1:]))
    with pytest.raises(FormatError, match="onnxruntime computes other outputs"):
        ann_accuracy(other, np.full((3, 12), 9, np.uint8), np.zeros(3, np.int64), 1 / 255)


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
    network = handover.read(out / "model.onnx")
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
        convert(silent(read_ann(digits_ann)), np.ones((4, 64), np.uint8), levels=16, scale=1 / 16)
    done = spikeloom("compile", digits_ann)
    assert done.code == 1 and "spikeloom convert" in done.err


def silent(ann: Any) -> Any:
    first = ann.layers[0]
    return replace(ann, layers=(replace(first, weights=-np.abs(first.weights), bias=first.bias * 0 - 1), *ann.layers[1:]))


# Files that are damaged, hostile, or hold what is not converted

SQUARE = {"w": np.eye(4, dtype=np.float32)}
FC = node("Gemm", "x", "w", out="fc")
IMAGE = ("N", 1, 4, 4)
KERNEL = {"k": np.ones((2, 1, 3, 3), np.float32)}
CONV = node("Conv", "x", "k", out="conv")
RELU = node("Relu", "conv", out="relu")


@pytest.mark.parametrize(
    ("nodes", "weights", "shape", "says"),
    [
        ([CONV, RELU, node("MaxPool", "relu", out="max", kernel_shape=[2, 2])], KERNEL, IMAGE, r"node 'max' \(MaxPool\).*average pooling"),
        ([FC, node("Sigmoid", "fc", out="s")], SQUARE, ("N", 4), r"'s' \(Sigmoid\).*with ReLUs"),
        ([FC, node("Erf", "fc", out="e")], SQUARE, ("N", 4), r"'e' \(Erf\): this operator is not converted. Converted: Gemm"),
        ([FC, node("Gemm", "fc", "w", out="g")], SQUARE, ("N", 4), r"'g' \(Gemm\): it follows 'fc' without a Relu"),
        ([FC, node("Add", "fc", "x", out="sum")], SQUARE, ("N", 4), r"'sum' \(Add\).*without branches"),
        ([FC, node("Add", "fc", "w", out="sum")], SQUARE, ("N", 4), r"'sum' \(Add\): it adds \(4, 4\)"),
        ([FC], {"w": np.ones((3, 4), np.float32)}, ("N", 4), "its weights take 3 inputs; what comes before has 4"),
        ([FC], {"w": np.full((4, 4), np.nan, np.float32)}, ("N", 4), "not finite"),
        ([FC], {"w": np.ones((4, 4), np.int8)}, ("N", 4), "which is not converted"),
        ([FC], {}, ("N", 4), "takes \\['x', 'w'\\]"),
        ([node("Gemm", "x", "w", out="fc", transA=1)], SQUARE, ("N", 4), "transA"),
        ([node("Relu", "x", out="r")], {}, ("N", 4), "does not follow a layer"),
        ([FC, node("Softmax", "fc", out="s"), node("Relu", "s", out="r")], SQUARE, ("N", 4), "after the Softmax"),
        ([FC], SQUARE, ("N", 4, 4), "its input has the shape"),
        ([CONV, node("Flatten", "conv", out="f"), node("Gemm", "f", "w", out="g")], KERNEL | SQUARE, IMAGE, "without a Relu"),
        ([CONV, RELU, node("Gemm", "relu", "w", out="g")], KERNEL | SQUARE, IMAGE, "Flatten does not come before"),
        ([node("Conv", "x", "k", out="conv", strides=[1, 2])], KERNEL, IMAGE, "its strides are"),
        ([node("Conv", "x", "k", out="conv", pads=[1, 1, 0, 0])], KERNEL, IMAGE, "its pads are"),
        ([node("Conv", "x", "k", out="conv", auto_pad="SAME_UPPER")], KERNEL, IMAGE, "auto_pad"),
        ([node("Conv", "x", "k", out="conv", group=3)], KERNEL, IMAGE, "in 3 groups"),
        ([node("Conv", "x", "k", out="conv", dilations=[4000, 4000])], {"k": np.ones((9, 1, 9, 9), np.float32)}, IMAGE, "taps"),
        ([CONV, RELU, node("AveragePool", "relu", out="p", kernel_shape=[2, 2])], KERNEL, IMAGE, "stride = kernel"),
        ([CONV, RELU, node("GlobalAveragePool", "relu", out="p")], KERNEL, IMAGE, "ends with an average"),
        ([node("Gemm", "x", "w", out="fc", domain="evil")], SQUARE, ("N", 4), "not converted"),
    ],
)
def test_what_is_not_converted_is_refused_by_node(
    nodes: list[Node], weights: dict[str, Array], shape: Any, says: str, tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(ann_bytes(nodes, weights, shape))
    with pytest.raises(FormatError, match=says):
        read_ann(tmp_path / "a.onnx")


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-4, -4]


def short(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [4, 5]


def crossed(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "elsewhere"


def enormous_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 62


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (external, "in another file"),
        (huge, "numbers, or less"),
        (negative, "numbers, or less"),
        (short, "does not hold what its shape"),
        (crossed, "is not what its last node gives"),
        (enormous_input, "its input has the shape"),
    ],
)
def test_hostile_files_are_refused(change: Callable[[onnx.ModelProto], None], says: str, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.ParseFromString(ann_bytes([FC], SQUARE, ("N", 4)))
    change(model)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=says):
        read_ann(tmp_path / "a.onnx")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    content = mlp(np.random.default_rng(0), tmp_path / "a.onnx").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(0, len(broken), 8):
            broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / "b.onnx").write_bytes(bytes(broken))
        try:
            read_ann(tmp_path / "b.onnx")
        except FormatError as error:
            assert "b.onnx" in str(error)


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
        module: Any = _recurrent if backend == "recurrent" else registry.load(backends, "backend", backend)
        try:
            found = module.simulate(network, events, options)
        except BackendError:
            assert backend in ("lava", "truenorth")  # whose neurons have no such reset
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
    again = handover.from_bytes(handover.to_bytes(network))
    assert again.populations == network.populations
    leakless = LIF(np.inf, 1.0, 0.0, decay_input=False, soft_reset=True)
    integrating = replace(
        network, populations=tuple(replace(p, neuron=leakless if isinstance(p.neuron, LIF) else p.neuron) for p in network.populations)
    )
    content = handover.to_bytes(integrating)
    assert handover.from_bytes(content).populations == integrating.populations
    values = samples(integrating, seed)
    real = (values.reshape(len(values), 1, -1) * np.float64(integrating.input.scale)).astype(np.float32).astype(np.float64)
    steps = np.repeat(real, integrating.timesteps, axis=1)
    expected = reference.simulate_float(integrating, values, events=steps)
    found = onnx_backend.step_through(onnx_backend.session(content), steps, integrating.timesteps)
    assert all((found[name] == raster).all() for name, raster in expected.items())


def test_a_soft_reset_is_refused_where_there_is_none(digits_ann: Path) -> None:
    values = load_dataset("digits").train.values[:64]
    network = convert(read_ann(digits_ann), values, levels=16, scale=1 / 16, timesteps=8).network
    deployed = compile_network(network)
    with pytest.raises(BackendError, match="soft reset, which Lava's neurons do not have"):
        lava.simulate(deployed.network, reference.encode(deployed.network, values[:2].reshape(2, -1)), BackendOptions())
    with pytest.raises(DoesNotFitError, match="soft reset, which the neurons of loihi do not have"):
        compile_network(network, chip="loihi")
    with pytest.raises(NetworkError, match="soft reset"):
        compile_network(network, target="netx")
    bare = replace(network, populations=tuple(replace(p, bias=None) for p in network.populations))
    with pytest.raises(NetworkError, match="soft reset"):
        compile_network(bare, target="truenorth", calibration=Calibration(values.reshape(64, -1), np.zeros(64, np.int64)))
