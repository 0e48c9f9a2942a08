"""Reads a network from an ONNX model that `writer` wrote. Files come from others: nothing in them is trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ...errors import DAMAGE, FormatError, NetworkError
from ...network.model import (
    LIF,
    Connectivity,
    Convolution,
    InputSpec,
    IntegerLIF,
    Network,
    Population,
    Projection,
    Stage,
    Synapses,
    Threshold,
    row_pointers,
)
from .functions import CONVOLUTION, FIXED, SILENCE, SOFT_RESET
from .writer import FORMAT_VERSION

MAX_NEURONS = 1 << 24
LIFS = ("LIF", "LIFUndecayedInput", "IntegerLIF")
SOFT = tuple(f"{kind}{SOFT_RESET}" for kind in LIFS)
NEURONS = (*LIFS, *SOFT, "Threshold")


def from_bytes(content: bytes, name: str = "model.onnx") -> Network:
    """Parse a model.onnx.

    Raises:
        FormatError: damaged, foreign, or written by another version.
    """
    model = _parse(content, name)
    props = {p.key: p.value for p in model.metadata_props}
    if "spikeloom.version" not in props or "spikeloom.network" not in props:
        raise FormatError(
            f"{name} is an ONNX model, but not one that spikeloom train wrote. Export the network with spikeloom, or, if it is an ANN of "
            f"ReLUs, convert it to rate-coded spikes: spikeloom convert {name} --data NAME --percentile 99.9 --timesteps 64 --out FOLDER."
        )
    version = props["spikeloom.version"]
    if version != str(FORMAT_VERSION):
        older = version.isdecimal() and len(version) < 10 and int(version) < FORMAT_VERSION
        way_out = "Train the network again" if older else "Update spikeloom"
        raise FormatError(f"{name} has format version {version[:20]!r}; this spikeloom reads {FORMAT_VERSION}. {way_out}.")
    try:
        return _Reader(model, json.loads(props["spikeloom.network"])).network()
    except (NetworkError, *DAMAGE) as error:
        raise FormatError(f"{name} is damaged: {error!s}. Export it again.") from error
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's exception classes differ between its implementations
        raise FormatError(f"{name} is not an ONNX file, or is truncated. Export it again.") from error
    if not model.graph.node:
        raise FormatError(f"{name} is not an ONNX file, or holds an empty graph. Export it again.")
    return model


class _Reader:
    """Walks the nodes in order; `arriving` has, by name of a value, the projections and the bias summed in it."""

    def __init__(self, model: onnx.ModelProto, document: dict[str, Any]) -> None:
        names = {f.name for f in model.functions}
        if not names >= FIXED or any(not n.startswith(f"{CONVOLUTION}_") for n in names - FIXED - {*SOFT, *SILENCE.values()}):
            raise FormatError("it lacks the functions of its operators, so it is truncated or damaged. Export it again.")
        self.nodes, self.document = model.graph.node, document
        self.sparse = {s.values.name: s for s in model.graph.sparse_initializer}
        self.dense = {t.name: t for t in model.graph.initializer}
        self.shapes = {str(k): tuple(int(d) for d in v) for k, v in document["shapes"].items()}
        if any(d < 1 for s in self.shapes.values() for d in s) or sum(int(np.prod(s)) for s in self.shapes.values()) > MAX_NEURONS:
            raise FormatError(f"the population shapes {self.shapes} are empty or too large.")
        entry = str(document["input_name"])
        self.populations = {entry: Population(entry, self.shapes[entry], None)}
        self.outputs = {"input": entry}  # by name of a value, the population whose spikes it is
        self.pending: dict[str, Projection] = {}
        self.arriving: dict[str, list[str]] = {}
        self.biases: dict[str, NDArray[Any]] = {}
        self.projections: list[Projection] = []
        self.shared: dict[str, Connectivity] = {}

    def network(self) -> Network:
        """Return the contents of the file."""
        for node in self.nodes:
            self._node(node)
        document = self.document
        spec = document["input"]
        return Network(
            tuple(self.populations.values()),
            tuple(self.projections),
            int(document["timesteps"]),
            InputSpec(int(spec["levels"]), float(spec["scale"]), spec["encoding"]),
            tuple(Stage.of_document(s) for s in document["stages"]),
            {str(k): str(v) for k, v in document["provenance"].items()},
            int(document["votes"]),
        )

    def _node(self, node: onnx.NodeProto) -> None:
        kind = node.op_type
        if kind == "Synapses" or kind.startswith(f"{CONVOLUTION}_"):
            self.pending[node.output[0]] = Projection(node.name, self.outputs[node.input[0]], "", self._weights(node))
            self.arriving[node.output[0]] = [node.output[0]]
        elif kind in SILENCE.values():
            self.arriving[node.output[0]] = []
        elif kind == "Shift":
            self._shift(node)
        elif kind in ("Spread", "Constant"):
            self._bias(node)
        elif kind == "Cast":
            self.arriving[node.output[0]] = [node.output[0]]
            self.biases[node.output[0]] = self.biases[node.input[0]]
        elif kind == "Add":
            self.arriving[node.output[0]] = self.arriving[node.input[0]] + self.arriving[node.input[1]]
        elif kind in NEURONS:
            self._population(node)
        elif kind == "Alive":
            alive = _array(self.dense[node.input[1]], np.bool_)
            name = node.output[0].removeprefix("s_")
            self.populations[name] = replace(self.populations[name], alive=alive)
            self.outputs[node.output[0]] = name
        else:
            raise FormatError(f"the operator {kind} (node {node.name!r}) does not occur in files that spikeloom train exports.")

    def _population(self, node: onnx.NodeProto) -> None:
        if node.name in self.populations:
            raise FormatError(f"it has two populations called {node.name!r}.")
        summed = self.arriving[node.input[0]]
        biases = [self.biases[a] for a in summed if a in self.biases]
        if node.op_type.removesuffix(SOFT_RESET) == "IntegerLIF":
            bias = self.biases.get(node.input[3])
            biases += [] if bias is None else [bias]
        if len(biases) > 1:
            raise FormatError(f"population {node.name} has {len(biases)} biases.")
        shape = self.shapes[node.name]
        self.populations[node.name] = Population(node.name, shape, _neuron(node), bias=biases[0] if biases else None)
        self.outputs[node.output[0]] = node.name
        self.projections += [replace(self.pending[a], target=node.name) for a in summed if a in self.pending]

    def _bias(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Constant":
            if _attributes(node).get("value_int") != 0:
                raise FormatError(f"the constant {node.output[0]!r} is not the 0 of a missing bias.")
            return
        tensor = self.dense[node.input[0]]
        kind = np.int32 if tensor.data_type == onnx.TensorProto.INT64 else np.float32
        self.biases[node.output[0]] = _array(tensor, kind)

    def _shift(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        bits, exponent = int(attributes["weight_bits"]), int(attributes["exponent"])
        projection = self.pending.pop(node.input[0])
        if not (2 <= bits <= 9 and -32 <= exponent <= 7):
            raise FormatError(f"projection {projection.name}: {bits} bits or exponent {exponent} is out of range.")
        data = projection.synapses.data
        if not ((data == np.round(data)) & (np.abs(data) < 512)).all():
            raise FormatError(f"projection {projection.name}: weights that are not small integers where they must be.")
        synapses = projection.synapses.with_data(data.astype(np.int32))
        registers = {"exponent": exponent, "weight_bits": bits, "scale": _double(attributes["scale"])}
        self.pending[node.output[0]] = replace(projection, synapses=synapses, **registers)
        self.arriving[node.output[0]] = [node.output[0]]

    def _weights(self, node: onnx.NodeProto) -> Connectivity:
        """Return the node's synapses; one object for all nodes of the same weights and geometry."""
        attributes = _attributes(node)
        key = f"{node.op_type} {node.input[1]} {sorted(attributes.items())}"
        if key not in self.shared:
            self.shared[key] = self._read_weights(node, attributes)
        return self.shared[key]

    def _read_weights(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Connectivity:
        matrix = _sparse(self.sparse[node.input[1]], node.name)
        if node.op_type == "Synapses":
            return matrix.transposed()
        source = tuple(int(d) for d in attributes["source_shape"])
        kernel = tuple(int(d) for d in attributes["kernel"])
        if len(source) != 3 or len(kernel) != 2:
            raise FormatError(f"projection {node.name}: a source shape {source} or kernel {kernel} is not that of a convolution.")
        return Convolution(matrix, source, kernel, *(int(attributes[k]) for k in ("stride", "padding", "pool")))


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _neuron(node: onnx.NodeProto) -> LIF | IntegerLIF | Threshold:
    attributes = _attributes(node)
    kind, soft = node.op_type.removesuffix(SOFT_RESET), node.op_type in SOFT
    if kind == "IntegerLIF":
        return IntegerLIF(4095 - int(attributes["keep_u"]), 4096 - int(attributes["keep_v"]), int(attributes["threshold"]) >> 6, soft)
    if node.op_type == "Threshold":
        return Threshold(_double(attributes["level"]))
    values = (_double(attributes[k]) for k in ("v_threshold", "v_reset"))
    return LIF(float(_array(attributes["tau"], np.float64, infinite=True)), *values, decay_input=kind == "LIF", soft_reset=soft)


def _double(tensor: onnx.TensorProto) -> float:
    return float(_array(tensor, np.float64))


def _array(tensor: onnx.TensorProto, dtype: type, *, infinite: bool = False) -> NDArray[Any]:
    _check_inside(tensor, tensor.name)
    array: NDArray[Any] = numpy_helper.to_array(tensor)
    if not (np.isfinite(array) | (infinite & (array == np.inf))).all() or (dtype is np.int32 and np.abs(array).max(initial=0) >= 1 << 31):
        raise FormatError(f"the values of {tensor.name} are out of range.")
    return array.astype(dtype)


def _check_inside(tensor: onnx.TensorProto, name: str) -> None:
    if tensor.data_location != onnx.TensorProto.DEFAULT:
        raise FormatError(f"{name} keeps its values in another file; only self-contained files are read.")


def _sparse(sparse: onnx.SparseTensorProto, name: str) -> Synapses:
    for tensor in (sparse.values, sparse.indices):
        _check_inside(tensor, f"projection {name}")
    rows, columns = (int(d) for d in sparse.dims)
    values: NDArray[Any] = numpy_helper.to_array(sparse.values).ravel()
    linear: NDArray[Any] = numpy_helper.to_array(sparse.indices).ravel()
    if not (0 < rows <= MAX_NEURONS and 0 < columns <= MAX_NEURONS) or linear.shape != values.shape:
        raise FormatError(f"projection {name}: shape {rows} x {columns} with {linear.size} indices and {values.size} values.")
    if linear.size and (linear.min() < 0 or linear.max() >= rows * columns or (np.diff(linear) <= 0).any()):
        raise FormatError(f"projection {name}: its indices do not rise within 0..{rows * columns - 1}.")
    if not np.isfinite(values).all():
        raise FormatError(f"projection {name}: weights that are not finite numbers.")
    return Synapses(row_pointers(linear // columns, rows), (linear % columns).astype(np.int32), values.astype(np.float32), (rows, columns))
