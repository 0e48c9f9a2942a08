"""Reading ANNs: what is read is what onnxruntime computes; what is not converted is refused by node, with a way out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from anngen import Array, Node, Random, ann_bytes, mlp, node
from budget import examples
from conftest import Command
from hypothesis import assume, example, given, settings
from netgen import Labelled, seeds
from numpy.typing import NDArray
from onnx import TensorProto, helper
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import FormatError, NetworkError
from spikeloom.formats.ann import Ann, convert, external, read_ann
from spikeloom.network import reference

SQUARE = {"w": np.eye(4, dtype=np.float32)}
KERNEL = {"k": np.ones((2, 1, 3, 3), np.float32)}
IMAGE = ("N", 1, 6, 6)
FC, CONV, RELU = node("Gemm", "x", "w", out="fc"), node("Conv", "x", "k", out="conv"), node("Relu", "conv", out="relu")


def in_onnxruntime(content: bytes, names: list[str], values: NDArray[np.float32]) -> list[Array]:
    """Every value by name, (samples, neurons)."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n not in known)
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    found: list[Any] = ort.InferenceSession(model.SerializeToString(), options).run(names, {"x": values})  # pyright: ignore[reportAssignmentType]
    return [np.asarray(f).reshape(len(values), -1) for f in found]


def read(content: bytes, folder: Path) -> Ann:
    (folder / "a.onnx").write_bytes(content)
    return read_ann(folder / "a.onnx")


@settings(max_examples=examples(80), deadline=None)
@given(seeds)
@example(19)
@example(188)
@example(196)
@example(25)
@example(31)
@example(50)
@example(4)
@example(622)
def test_every_layer_is_what_onnxruntime_computes(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    made = Random(seed)
    ann = read(made.build(), tmp_path_factory.mktemp("ann"))
    values = np.random.default_rng(seed).random((3, *made.first)).astype(np.float32)
    theirs = in_onnxruntime(ann.content, made.layers, values)
    ours = ann.activations(values.reshape(3, -1))
    assert len(ours) == len(theirs), (made.layers, [x.name for x in ann.layers])
    for layer, mine, other in zip(ann.layers, ours, theirs, strict=True):
        assert np.abs(mine - other).max() <= 1e-4 * max(1.0, np.abs(other).max()), layer.name


@settings(max_examples=examples(12), deadline=None)
@given(seeds)
def test_rates_of_every_graph_tend_to_its_activations(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    made = Random(seed)
    ann = read(made.build(), tmp_path_factory.mktemp("ann"))
    values = np.random.default_rng(seed).integers(0, 256, (4, int(np.prod(made.first)))).astype(np.uint8)
    try:
        converted = convert(ann, values, levels=255, scale=1 / 255, percentile=100.0)
    except NetworkError as error:
        assume("never activates" not in str(error))
        raise
    activations = ann.activations(values / 255)
    activations[-1] = activations[-1] + converted.shift
    wanted = [np.clip(a / converted.scales[p.name], 0.0, 1.0) for a, p in zip(activations, converted.network.spiking, strict=True)]
    for timesteps in (32, 256):
        found = reference.simulate_float(replace(converted.network, timesteps=timesteps), values)
        errors = [np.abs(found[p.name].mean(axis=1) - w).mean() for p, w in zip(converted.network.spiking, wanted, strict=True)]
        assert all(error < 8.0 * (depth + 1) / timesteps for depth, error in enumerate(errors)), (timesteps, errors)


@settings(max_examples=examples(6), deadline=None)
@given(seeds)
def test_converted_graphs_run_on_the_chip_as_the_reference(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Residual branches of different depths, biases that differ within a channel: quantised, balanced, and equal spike by spike."""
    made = Random(seed)
    ann = read(made.build(), tmp_path_factory.mktemp("ann"))
    values, labels = np.random.default_rng(seed).integers(0, 256, (6, int(np.prod(made.first)))).astype(np.uint8), np.zeros(6, np.int64)
    try:
        network = convert(ann, values, levels=255, scale=1 / 255, timesteps=12).network
        deployed = compile_network(network, calibration=Calibration(values, labels), effort="fast")
    except NetworkError as error:  # random weights: a layer that is silent, or whose threshold nothing reaches
        assume(not any(said in str(error) for said in ("never activates", "zero after", "cannot be reached", "no live synapse")))
        raise
    checked = runtime.run(deployed, Labelled(values, labels), check=True).check
    assert checked is not None and checked.equal


def test_a_relu6_saturates_at_6(tmp_path: Path) -> None:
    """lambda = min(6, percentile), so that a rate of 1 is what a ReLU6 ends at."""
    weights: dict[str, Array] = SQUARE | {
        "w": 20 * np.eye(4, dtype=np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "v": np.eye(4, dtype=np.float32),
    }
    nodes = [FC, node("Clip", "fc", "low", "high", out="clip"), node("Gemm", "clip", "w", out="last")]
    ann = read(ann_bytes(nodes, weights, ("N", 4)), tmp_path)
    values = np.array([[255, 100, 30, 0], [0, 255, 60, 200]], np.uint8)
    converted = convert(ann, values, levels=255, scale=1 / 255, percentile=100.0, timesteps=200)
    assert ann.layers[0].ceiling == 6.0 and converted.scales["fc"] == 6.0
    rates = reference.simulate_float(converted.network, values)["fc"].mean(axis=1)
    assert np.abs(rates - np.minimum(20 * (values / 255), 6) / 6).max() <= 1 / 200 + 1e-6


# Weights beside the model


def beside(folder: Path, content: bytes, name: str = "a.onnx.data") -> Path:
    """Write a model whose weights lie in a file beside it, as torch.onnx.export and onnx.save do."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    onnx.save(model, str(folder / "a.onnx"), save_as_external_data=True, location=name, size_threshold=0, convert_attribute=True)
    return folder / "a.onnx"


@settings(max_examples=examples(10), deadline=None)
@given(seeds)
def test_weights_beside_the_model_are_read(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    made, folder = Random(seed), tmp_path_factory.mktemp("ann")
    content = made.build()
    inside, outside = read(content, tmp_path_factory.mktemp("ann")), read_ann(beside(folder, content))
    assert (folder / "a.onnx.data").stat().st_size > 0 and (folder / "a.onnx").stat().st_size < len(content) + 200 * len(made.weights)
    values = np.random.default_rng(seed).random((3, int(np.prod(made.first)))).astype(np.float32)
    assert all(np.array_equal(a, b) for a, b in zip(inside.activations(values), outside.activations(values), strict=True))
    (folder / "a.onnx.data").unlink()
    in_onnxruntime(outside.content, made.layers, values.reshape(3, *made.first))  # it holds them itself


Change = Callable[[Path, onnx.TensorProto], None]


def said(**entries: str) -> Change:
    def change(folder: Path, tensor: onnx.TensorProto) -> None:
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)

    return change


def link(folder: Path, tensor: onnx.TensorProto) -> None:
    (folder / "secret").write_bytes((folder / "a.onnx.data").read_bytes())
    (folder / "a.onnx.data").unlink()
    (folder / "a.onnx.data").symlink_to(folder / "secret")


def pipe(folder: Path, tensor: onnx.TensorProto) -> None:
    (folder / "a.onnx.data").unlink()
    os.mkfifo(folder / "a.onnx.data")


def directory(folder: Path, tensor: onnx.TensorProto) -> None:
    (folder / "a.onnx.data").unlink()
    (folder / "a.onnx.data").mkdir()


def missing(folder: Path, tensor: onnx.TensorProto) -> None:
    (folder / "a.onnx.data").unlink()


def truncated(folder: Path, tensor: onnx.TensorProto) -> None:
    (folder / "a.onnx.data").write_bytes((folder / "a.onnx.data").read_bytes()[:20])


def enormous(folder: Path, tensor: onnx.TensorProto) -> None:
    tensor.dims[:] = [1 << 40, 1 << 40]


def claimed(folder: Path, tensor: onnx.TensorProto) -> None:
    """A header that asks for a gigabyte of a file of 64 bytes."""
    tensor.dims[:] = [1 << 14, 1 << 14]
    said(length=str(1 << 30))(folder, tensor)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (said(location="/etc/passwd"), "only a file beside the model"),
        (said(location="../a.onnx.data"), "only a file beside the model"),
        (said(location="sub/a.onnx.data"), "only a file beside the model"),
        (said(location=".."), "only a file beside the model"),
        (said(location=""), "only a file beside the model"),
        (said(location="a\\b"), "only a file beside the model"),
        (said(offset="-4"), "does not say where"),
        (said(offset="60"), "which has 64 bytes"),
        (said(offset=str(1 << 70)), "which has 64 bytes"),
        (said(length="60"), "needs 64 bytes; 60 of"),
        (said(length="x"), "does not say where"),
        (link, "cannot be read as a file of its own"),
        (pipe, "which is not a file"),
        (directory, "which is not a file"),
        (missing, "a.onnx.data, which is not beside the model. Put it there. Or: .*external_data=False"),
        (truncated, "which has 20 bytes"),
        (enormous, "more than"),
        (claimed, "which has 64 bytes"),
    ],
)
def test_hostile_weights_beside_the_model_are_refused(change: Change, says: str, tmp_path: Path) -> None:
    path = beside(tmp_path, ann_bytes([FC], SQUARE, ("N", 4)))
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    change(tmp_path, model.graph.initializer[0])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=says) as caught:
        read_ann(path)
    assert "a.onnx" in str(caught.value) and ("Export it" in str(caught.value) or "Convert a smaller" in str(caught.value))


def test_weights_of_a_constant_node_are_checked_too(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (4, 4), np.eye(4, dtype=np.float32).ravel().tolist())
    model.ParseFromString(ann_bytes([helper.make_node("Constant", [], ["w"], value=tensor), FC], {}, ("N", 4)))
    inside = model.graph.node[0].attribute[0].t
    inside.ClearField("float_data")
    inside.data_location = TensorProto.EXTERNAL
    inside.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match="only a file beside the model"):
        read_ann(tmp_path / "a.onnx")


def test_more_than_a_message_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = beside(tmp_path, ann_bytes([FC], SQUARE, ("N", 4)))
    monkeypatch.setattr(external, "LARGEST", 63)
    with pytest.raises(FormatError, match="more than 63 bytes"):
        read_ann(path)


# What is not converted


LOW, SIX = {"low": np.float32(-1)}, {"six": np.float32(6)}


@pytest.mark.parametrize(
    ("nodes", "weights", "shape", "says"),
    [
        ([CONV, RELU, node("MaxPool", "relu", out="max", kernel_shape=[2, 2])], KERNEL, IMAGE, r"'max' \(MaxPool\).*average pooling"),
        ([FC, node("Sigmoid", "fc", out="s")], SQUARE, ("N", 4), r"'s' \(Sigmoid\).*with ReLUs"),
        ([FC, node("Erf", "fc", out="e")], SQUARE, ("N", 4), r"'e' \(Erf\): this operator is not converted.*Converted: Gemm"),
        ([CONV, node("Concat", "conv", "conv", out="c", axis=1)], KERNEL, IMAGE, r"'c' \(Concat\).*Add the branches"),
        ([FC, node("Gemm", "fc", "w", out="g")], SQUARE, ("N", 4), r"'g' \(Gemm\): it follows 'fc' without a Relu"),
        ([FC, node("Add", "fc", "w", out="sum")], SQUARE, ("N", 4), r"'sum' \(Add\): it adds \(4, 4\)"),
        ([FC, node("Mul", "fc", "x", out="p")], SQUARE, ("N", 4), r"'p' \(Mul\): both.*without attention or gating"),
        ([FC, node("Div", "w", "fc", out="q")], SQUARE, ("N", 4), r"'q' \(Div\): it divides.*constants"),
        ([FC, node("Clip", "fc", "low", out="c")], SQUARE | LOW, ("N", 4), r"'c' \(Clip\): it keeps values from -1.*ReLUs"),
        ([FC, node("Clip", "fc", "", "six", out="c")], SQUARE | SIX, ("N", 4), r"'c' \(Clip\): it keeps values from None"),
        ([FC], {"w": np.ones((3, 4), np.float32)}, ("N", 4), "its weights take 3 inputs; what comes before has 4"),
        ([FC], {"w": np.full((4, 4), np.nan, np.float32)}, ("N", 4), "not finite"),
        ([FC], {"w": np.ones((4, 4), np.int8)}, ("N", 4), "which is not converted"),
        ([FC], {}, ("N", 4), "'w' is not a constant"),
        ([node("Gemm", "x", "w", out="fc", transA=1)], SQUARE, ("N", 4), "transA"),
        ([node("Relu", "x", out="r")], {}, ("N", 4), "no layer with weights"),
        ([FC, node("Softmax", "fc", out="s"), node("Relu", "s", out="r")], SQUARE, ("N", 4), "after the Softmax"),
        ([FC], SQUARE, ("N", 4, 4), "its input has the shape"),
        ([CONV, node("Flatten", "conv", out="f"), node("Gemm", "f", "w", out="g")], KERNEL | SQUARE, IMAGE, "without a Relu"),
        ([CONV, RELU, node("Gemm", "relu", "w", out="g")], KERNEL | SQUARE, IMAGE, "Flatten does not come before"),
        ([node("Conv", "x", "k", out="conv", strides=[1, 2])], KERNEL, IMAGE, "its strides are"),
        ([node("Conv", "x", "k", out="conv", pads=[1, -1, 0, 0])], KERNEL, IMAGE, "its pads are"),
        ([node("Conv", "x", "k", out="conv", auto_pad="OTHER")], KERNEL, IMAGE, "auto_pad OTHER.*SAME_UPPER"),
        ([node("Conv", "x", "k", out="conv", group=3)], KERNEL, IMAGE, "in 3 groups"),
        ([node("Conv", "x", "k", out="conv", dilations=[4000, 4000])], {"k": np.ones((9, 1, 9, 9), np.float32)}, IMAGE, "taps"),
        ([CONV, RELU, node("AveragePool", "relu", out="p", kernel_shape=[2, 2])], KERNEL, IMAGE, "stride = kernel"),
        ([CONV, RELU, node("ReduceMean", "relu", "a", out="p")], KERNEL | {"a": np.array([1])}, IMAGE, "averages over the axes"),
        ([CONV, RELU, node("Reshape", "relu", "a", out="p")], KERNEL | {"a": np.array([-1, 4])}, IMAGE, "keep the samples apart"),
        ([CONV, RELU, node("Squeeze", "relu", "a", out="p")], KERNEL | {"a": np.array([2])}, IMAGE, "axes of size 1"),
        ([CONV, node("Transpose", "conv", out="t", perm=[0, 2, 3, 1])], KERNEL, IMAGE, "channels first"),
        ([node("Gemm", "x", "w", out="fc", domain="evil")], SQUARE, ("N", 4), "not converted"),
    ],
)
def test_what_is_not_converted_is_refused_by_node(
    nodes: list[Node], weights: dict[str, Array], shape: Any, says: str, tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(ann_bytes(nodes, weights, shape))
    with pytest.raises(FormatError, match=says) as caught:
        read_ann(tmp_path / "a.onnx")
    text = str(caught.value).split("a.onnx: ", 1)[1]
    named = re.match(r"node '[^']+' \(\w+\): ", text) or text.startswith(("its input", "it has no layer"))
    assert named and text.count(". ") >= 1 and text.endswith(".") and ".." not in text, text


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


def bytes_in(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (huge, "numbers, or a negative"),
        (negative, "numbers, or a negative"),
        (short, "does not have as many values as its shape"),
        (crossed, "is not what any of its nodes gives"),
        (enormous_input, "its input has the shape"),
        (bytes_in, "its input holds numbers of the type 2. Export it with a float32 input"),
    ],
)
def test_hostile_files_are_refused(change: Callable[[onnx.ModelProto], None], says: str, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.ParseFromString(ann_bytes([FC], SQUARE, ("N", 4)))
    change(model)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=says):
        read_ann(tmp_path / "a.onnx")


def test_constants_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    weights = {"a": np.ones((1 << 16, 1), np.float32), "b": np.ones((1, 1 << 16), np.float32)}
    content = ann_bytes([node("Add", "a", "b", out="w"), node("Gemm", "x", "w", out="fc")], weights, ("N", 4))
    with pytest.raises(FormatError, match=r"'w' \(Add\): it makes too many numbers"):
        read(content, tmp_path)


def test_arithmetic_with_an_open_batch_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", out="s"),
        node("Mul", "s", "s", out="m"),
        node("Reshape", "x", "m", out="r"),
        node("Gemm", "r", "w", out="g"),
    ]
    with pytest.raises(FormatError, match=r"'m' \(Mul\): it computes with the number of samples.*onnxsim"):
        read(ann_bytes(nodes, SQUARE, ("N", 4)), tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    contents = [mlp(np.random.default_rng(0), tmp_path / "a.onnx").read_bytes(), Random(1).build(), Random(2).build()]
    rng = np.random.default_rng(0)
    for i in range(90):
        broken = bytearray(contents[i % 3])
        for place in rng.integers(0, len(broken), 8):
            broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / "b.onnx").write_bytes(bytes(broken))
        try:
            read_ann(tmp_path / "b.onnx")
        except FormatError as error:
            assert "b.onnx" in str(error)


def test_what_onnxruntime_computes_otherwise_stops_the_conversion(tmp_path: Path) -> None:
    ann = read_ann(mlp(np.random.default_rng(0), tmp_path / "a.onnx"))
    other = replace(ann, layers=(replace(ann.layers[0], bias=ann.layers[0].bias + 1.0), *ann.layers[1:]))
    with pytest.raises(FormatError, match=r"computes other outputs of this ANN than its 2 layers.*fc0, fc1"):
        convert(other, np.full((3, 12), 9, np.uint8), levels=255, scale=1 / 255)


def test_the_command_reads_weights_beside_the_model(spikeloom: Command, tmp_path: Path) -> None:
    weights = {"w": np.random.default_rng(0).normal(0, 0.3, (10, 64)).astype(np.float32), "to": np.array([0, -1])}
    nodes = [node("Reshape", "x", "to", out="flat"), node("Gemm", "flat", "w", out="fc", transB=1)]
    path = beside(tmp_path, ann_bytes(nodes, weights, ("N", 1, 8, 8)))
    done = spikeloom("convert", path, "--data", "digits", "--samples", 20, "--timesteps", 8, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    (tmp_path / "a.onnx.data").unlink()
    gone = spikeloom("convert", path, "--data", "digits", "--out", tmp_path / "again")
    assert gone.code == 1 and "not beside the model" in " ".join(gone.err.split())
