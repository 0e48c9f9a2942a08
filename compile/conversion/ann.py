"""A feed-forward ANN out of an ONNX file, as a chain of linear layers with ReLUs between. Nothing in a file is trusted.

What is read: Gemm, MatMul, Conv, Add and BatchNormalization of constants, Relu, AveragePool, GlobalAveragePool, Flatten, Reshape,
Dropout, Identity, and a Softmax at the end. Anything else is refused with the node's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ...errors import DAMAGE, FormatError
from ...files import read_bytes
from ..network import Connectivity, Convolution, Synapses
from ._nodes import MAX_NUMBERS, WAYS_OUT, Float, attributes_of, name_of, refused, same, spread

MAX_NEURONS = 1 << 24
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """y = relu(W mean(x) + b), or without the ReLU at the end.

    `weights`: (targets, sources), or (channels out, channels in, height, width); `bias`: (targets or channels out,);
    `source`, `target`: shapes; `pool`: width of the windows that are averaged before.
    """

    name: str
    weights: Float
    bias: Float
    source: Shape
    target: Shape
    stride: int = 1
    padding: int = 0
    pool: int = 1
    relu: bool = False

    def connectivity(self, scale: float) -> Connectivity:
        """Return the weights times `scale`, those of an average as the sum that it is."""
        weights = (self.weights * (scale / self.pool**2)).astype(np.float32)
        if weights.ndim == 2 and self.pool == 1:
            return Synapses.from_dense(weights)
        maps = self.source[0], self.source[1], self.source[2]
        if weights.ndim == 2:  # on pooled maps: a kernel as large as they are
            weights = weights.reshape(len(weights), maps[0], maps[1] // self.pool, maps[2] // self.pool)
        return Convolution.from_dense(weights, maps, stride=self.stride, padding=self.padding, pool=self.pool)


@dataclass(frozen=True)
class Ann:
    """The layers, the shape of a sample, the batch that the file asks for (0: any), and the file's content for onnxruntime."""

    layers: tuple[Layer, ...]
    shape: Shape
    batch: int
    content: bytes
    entry: str
    exit: str

    def activations(self, samples: NDArray[np.floating[Any]]) -> list[Float]:
        """Return every layer's outputs, (samples, neurons) each, for real-valued samples (samples, inputs)."""
        found: list[Float] = []
        x = np.asarray(samples, np.float64).T
        for layer in self.layers:
            y = layer.connectivity(1.0).operator(np.float64) @ x
            y += np.repeat(layer.bias, y.shape[0] // len(layer.bias))[:, None]
            x = np.maximum(y, 0.0) if layer.relu else y
            found.append(x.T)
        return found


def read_ann(path: Path) -> Ann:
    """Read an ANN.

    Raises:
        FormatError: damaged, with values in other files, with branches, or with an operator that is not converted; the node is named.
    """
    content = read_bytes(path, "the ANN")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's exception classes differ between its implementations
        raise FormatError(f"{path} is not an ONNX file, or is truncated. Export it again.") from error
    try:
        return _Reader(model, content).ann()
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise FormatError(f"{path} is damaged: {error!s}. Export it again.") from error


class _Reader:
    """Walks the nodes; `last` is the value that the next must take, `shape` its shape, `open_` the layer that is being put together."""

    def __init__(self, model: onnx.ModelProto, content: bytes) -> None:
        self.graph, self.content = model.graph, content
        if model.functions or not model.graph.node:
            raise FormatError("it has functions of its own, or no nodes; only standard operators are converted")
        if sum(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) < 7:
            raise FormatError("its operators are older than opset 7. Export it with a newer one")
        self.constants = {t.name: t for t in model.graph.initializer}
        if model.graph.sparse_initializer:
            raise FormatError("it has sparse initializers. Export it with dense ones")
        entries = [i for i in model.graph.input if i.name not in self.constants]
        if len(entries) != 1 or len(model.graph.output) != 1:
            raise FormatError(f"it has {len(entries)} inputs and {len(model.graph.output)} outputs; one of each is converted")
        self.entry = self.last = entries[0].name
        dims = entries[0].type.tensor_type.shape.dim
        sizes = [d.dim_value for d in dims]
        if len(sizes) not in (2, 4) or min(sizes[1:]) < 1 or sizes[0] < 0 or int(np.prod(sizes[1:], dtype=object)) > MAX_NEURONS:
            raise FormatError(f"its input has the shape {sizes}; (batch, features) or (batch, channels, rows, columns) is converted")
        self.batch, self.first = sizes[0], tuple(sizes[1:])
        self.shape: Shape = self.first
        self.flat = len(self.shape) == 1  # whether what follows sees `shape` as one axis
        self.pool = 1
        self.open_: Layer | None = None
        self.layers: list[Layer] = []
        self.ended = False

    def ann(self) -> Ann:
        """Return the chain."""
        handlers: dict[str, Callable[[onnx.NodeProto], None]] = {
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "Conv": self._conv,
            "Add": self._add,
            "BatchNormalization": self._normalisation,
            "Relu": self._relu,
            "AveragePool": self._average,
            "GlobalAveragePool": self._global_average,
            "Flatten": self._flatten,
            "Reshape": self._reshape,
            "Dropout": self._pass,
            "Identity": self._pass,
            "Softmax": self._softmax,
            "LogSoftmax": self._softmax,
        }
        for node in self.graph.node:
            self._node(node, handlers)
        if self.last != self.graph.output[0].name:
            raise FormatError(f"its output {self.graph.output[0].name!r} is not what its last node gives")
        if self.open_ is None and self.pool > 1:
            raise FormatError("it ends with an average over windows, after which no layer comes")
        self._close(relu=False)
        if not self.layers:
            raise FormatError("it has no layer with weights")
        return Ann(tuple(self.layers), self.first, self.batch, self.content, self.entry, self.last)

    def _node(self, node: onnx.NodeProto, handlers: dict[str, Callable[[onnx.NodeProto], None]]) -> None:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            self._constant(node)
            return
        if node.domain not in ("", "ai.onnx") or node.op_type not in handlers:
            raise refused(node, "this operator is not converted" + WAYS_OUT.get(node.op_type, f". Converted: {', '.join(handlers)}"))
        data = [name for name in node.input if name and name not in self.constants]
        if data != [self.last]:
            raise refused(node, f"it takes {data or 'constants'}, not the one value before it; chains without branches are converted")
        if self.ended:
            raise refused(node, "it comes after the Softmax, which must be the end")
        handlers[node.op_type](node)
        self.last = node.output[0]

    def _constant(self, node: onnx.NodeProto) -> None:
        tensors = [a.t for a in node.attribute if a.name == "value"]
        if len(tensors) != 1:
            raise refused(node, "it holds no tensor")
        tensor = onnx.TensorProto()
        tensor.CopyFrom(tensors[0])
        self.constants[node.output[0]] = tensor

    def _open(self, layer: Layer) -> None:
        size = int(np.prod(layer.target, dtype=object))
        if size + sum(int(np.prod(x.target)) for x in self.layers) > MAX_NEURONS:
            raise FormatError(f"node {layer.name!r}: with its {size:,} neurons the network has more than {MAX_NEURONS:,}")
        self.open_, self.shape, self.pool, self.flat = layer, layer.target, 1, len(layer.target) == 1

    def _close(self, *, relu: bool) -> None:
        if self.open_ is not None:
            self.layers.append(replace(self.open_, relu=relu))
            self.open_ = None

    def _require_layer(self, node: onnx.NodeProto) -> Layer:
        if self.open_ is None:
            raise refused(node, "it does not follow a layer with weights, into which it could be merged")
        return self.open_

    def _require_rates(self, node: onnx.NodeProto) -> None:
        """What comes here must be spikes or samples: the linear layer before has had its ReLU."""
        if self.open_ is not None:
            raise refused(
                node, f"it follows {self.open_.name!r} without a Relu between, so there are no rates to work on. Put a Relu before"
            )

    def _gemm(self, node: onnx.NodeProto) -> None:
        attributes = attributes_of(node)
        weights = self._floats(node, 1) * float(attributes.get("alpha", 1.0))
        if attributes.get("transA", 0) or weights.ndim != 2:
            raise refused(node, f"transA is set, or its weights have the shape {weights.shape}")
        weights = weights if attributes.get("transB", 0) else weights.T
        bias = self._floats(node, 2) * float(attributes.get("beta", 1.0)) if len(node.input) > 2 and node.input[2] else np.zeros(1)
        self._dense(node, weights, bias)

    def _matmul(self, node: onnx.NodeProto) -> None:
        weights = self._floats(node, 1)
        if node.input[0] != self.last or weights.ndim != 2:
            raise refused(node, f"its weights must be the second factor, a matrix; they have the shape {weights.shape}")
        self._dense(node, weights.T, np.zeros(1))

    def _dense(self, node: onnx.NodeProto, weights: Float, bias: Float) -> None:
        self._require_rates(node)
        rows = (self.shape[0], *(n // self.pool for n in self.shape[1:])) if self.pool > 1 else self.shape
        inputs = int(np.prod(rows))
        if not self.flat or weights.shape[1] != inputs or not weights.size:
            flatten = "" if self.flat else " and Flatten does not come before it"
            raise refused(node, f"its weights take {weights.shape[1]:,} inputs; what comes before has {inputs:,}{flatten}")
        if bias.size not in (1, len(weights)):
            raise refused(node, f"it has {bias.size} biases for {len(weights)} outputs")
        values = np.broadcast_to(bias.ravel(), (len(weights),)).copy()
        self._open(Layer(name_of(node), weights, values, self.shape, (len(weights),), pool=self.pool))

    def _conv(self, node: onnx.NodeProto) -> None:
        self._require_rates(node)
        attributes, weights = attributes_of(node), self._floats(node, 1)
        if self.flat or len(self.shape) != 3 or weights.ndim != 4 or not weights.size:
            raise refused(
                node, f"it needs maps and a kernel of two axes; what comes before has the shape {self.shape}, the kernel {weights.shape}"
            )
        groups = int(attributes.get("group", 1))
        if groups < 1 or weights.shape[1] * groups != self.shape[0] or weights.shape[0] % groups:
            raise refused(node, f"its kernel {weights.shape} in {groups} groups does not fit {self.shape[0]} channels")
        if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise refused(node, "auto_pad is not converted. Export it with explicit pads")
        stride = same(node, attributes.get("strides", [1, 1]), "strides", 1)
        padding = same(node, attributes.get("pads", [0, 0, 0, 0]), "pads", 0)
        kernel = spread(node, weights, groups, [int(d) for d in attributes.get("dilations", [1, 1])])
        bias = self._floats(node, 2).ravel() if len(node.input) > 2 and node.input[2] else np.zeros(len(weights))
        maps = [n // self.pool for n in self.shape[1:]]
        rows, columns = ((n + 2 * padding - k) // stride + 1 for n, k in zip(maps, kernel.shape[2:], strict=True))
        if min(rows, columns) < 1 or bias.shape != (len(weights),):
            raise refused(
                node, f"a kernel of {kernel.shape[2:]} leaves nothing of {maps}, or its biases {bias.shape} are not one a channel"
            )
        target = (len(weights), rows, columns)
        self._open(Layer(name_of(node), kernel, bias, self.shape, target, stride, padding, self.pool))

    def _add(self, node: onnx.NodeProto) -> None:
        layer = self._require_layer(node)
        constant = self._floats(node, 1 if node.input[0] == self.last else 0)
        per_channel = (
            constant.reshape(constant.shape[1:]) if constant.ndim == len(layer.target) + 1 and constant.shape[0] == 1 else constant
        )
        channels = len(layer.bias)
        wanted = (channels, 1, 1) if len(layer.target) == 3 else (channels,)
        if per_channel.size != 1 and per_channel.shape != wanted:
            raise refused(node, f"it adds {constant.shape}; one number a channel, {wanted}, is a bias")
        self.open_ = replace(layer, bias=layer.bias + per_channel.ravel())

    def _normalisation(self, node: onnx.NodeProto) -> None:
        layer = self._require_layer(node)
        scale, shift, mean, variance = (self._floats(node, i) for i in range(1, 5))
        epsilon = float(attributes_of(node).get("epsilon", 1e-5))
        if any(v.shape != layer.bias.shape for v in (scale, shift, mean, variance)) or (variance + epsilon <= 0).any():
            raise refused(node, f"its statistics are not one a channel of {len(layer.bias)}, or a variance is negative")
        gain = scale / np.sqrt(variance + epsilon)
        weights = layer.weights * gain.reshape(-1, *[1] * (layer.weights.ndim - 1))
        self.open_ = replace(layer, weights=weights, bias=(layer.bias - mean) * gain + shift)

    def _relu(self, node: onnx.NodeProto) -> None:
        self._require_layer(node)
        self._close(relu=True)

    def _average(self, node: onnx.NodeProto) -> None:
        self._require_rates(node)
        attributes = attributes_of(node)
        size = same(node, attributes["kernel_shape"], "kernel_shape", 1)
        stride = same(node, attributes.get("strides", [1, 1]), "strides", 1)
        padded = any(attributes.get("pads", [])) or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
        if self.flat or len(self.shape) != 3 or stride != size or padded or attributes.get("ceil_mode", 0):
            raise refused(node, "windows that lie side by side, without padding and rounded down, are converted (stride = kernel)")
        self._pooled(node, size)

    def _pooled(self, node: onnx.NodeProto, size: int) -> None:
        self.pool *= size
        if min(n // self.pool for n in self.shape[1:]) < 1:
            raise refused(node, f"its windows are larger than the maps, {self.shape}")

    def _global_average(self, node: onnx.NodeProto) -> None:
        self._require_rates(node)
        maps = [n // self.pool for n in self.shape[1:]]
        if self.flat or len(maps) != 2 or maps[0] != maps[1]:
            raise refused(node, f"it averages maps of {maps}; square ones are converted")
        self._pooled(node, maps[0])

    def _flatten(self, node: onnx.NodeProto) -> None:
        if int(attributes_of(node).get("axis", 1)) != 1:
            raise refused(node, "its axis is not 1")
        self.flat = True  # `shape` stays that of the maps

    def _reshape(self, node: onnx.NodeProto) -> None:
        if len(node.input) != 2 or node.input[1] not in self.constants:
            raise refused(node, "its new shape is computed; a constant one is converted")
        wanted = [int(n) for n in self._array(node, node.input[1], INTEGERS).ravel()]
        size = int(np.prod((self.shape[0], *(n // self.pool for n in self.shape[1:]))))
        if len(wanted) == 2 and wanted[1] in (-1, size) and wanted[0] in (-1, 0, 1, self.batch) and wanted != [-1, -1]:
            self.flat = True
        elif len(wanted) == 4 and not self.layers and self.open_ is None and self.flat and self.pool == 1:
            maps = tuple(wanted[1:])
            if min(maps) < 1 or int(np.prod(maps, dtype=object)) != size:
                raise refused(node, f"it makes {wanted} of {size} values")
            self.shape, self.flat = maps, False
        else:
            raise refused(node, f"it makes {wanted} of {self.shape}; flattening a sample, or the input to maps, is converted")

    def _pass(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            flag = numpy_helper.to_array(self._tensor(node, node.input[2]))
            if np.any(flag):
                raise refused(node, "it is in training mode. Export the network for inference")

    def _softmax(self, node: onnx.NodeProto) -> None:
        del node
        self.ended = True

    def _tensor(self, node: onnx.NodeProto, name: str) -> onnx.TensorProto:
        if name not in self.constants:
            raise refused(node, f"its input {name!r} is no constant of the file")
        tensor = self.constants[name]
        if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
            raise refused(node, f"{name!r} keeps its values in another file; only self-contained files are read")
        if any(d < 0 for d in tensor.dims) or int(np.prod(list(tensor.dims), dtype=object)) > MAX_NUMBERS:
            raise refused(node, f"{name!r} has the shape {list(tensor.dims)[:8]}, more than {MAX_NUMBERS:,} numbers, or less than none")
        return tensor

    def _array(self, node: onnx.NodeProto, name: str, kinds: tuple[int, ...]) -> NDArray[Any]:
        tensor = self._tensor(node, name)
        if tensor.data_type not in kinds:
            raise refused(node, f"{name!r} holds numbers of the type {tensor.data_type}, which is not converted")
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise refused(node, f"{name!r} does not hold what its shape {list(tensor.dims)} says") from error

    def _floats(self, node: onnx.NodeProto, index: int) -> Float:
        if index >= len(node.input):
            raise refused(node, f"its input {index} is missing")
        with np.errstate(invalid="ignore"):  # signalling NaNs, which are refused below
            values = self._array(node, node.input[index], FLOATS).astype(np.float64)
        if not np.isfinite(values).all():
            raise refused(node, f"{node.input[index]!r} has values that are not finite")
        return values
