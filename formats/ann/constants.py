"""Constants of an ONNX graph, and what nodes compute from constants alone: the shapes of `x.view(x.size(0), -1)`, transposed weights.

The batch size may be open. It is then BATCH, which nodes may move, but not compute with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ...errors import FormatError
from ._nodes import MAX_NUMBERS, Float, attributes_of, refused

__all__ = ["BATCH", "Constants"]

Array = NDArray[Any]
BATCH = -(1 << 62)
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
KINDS = (*FLOATS, *INTEGERS, onnx.TensorProto.BOOL)
AGAIN = "Export the network again"
SIMPLER = "Export it with constant shapes, or simplify its graph (onnxsim)"


class Constants:
    """Values by name: initializers, read on first use, and computed constants."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {t.name: t for t in graph.initializer}
        self._found: dict[str, Array] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors or name in self._found

    def put(self, name: str, value: Array) -> None:
        """Add a value."""
        self._found[name] = value

    def get(self, node: onnx.NodeProto, name: str) -> Array:
        """Return a value for a node.

        Raises:
            FormatError: it is not a constant, is too large, or its values have an unsupported type or do not match its shape.
        """
        if name not in self._found:
            if name not in self._tensors:
                raise refused(
                    node, f"its input {name!r} is not a constant of the file", "Export the network for inference, with its weights"
                )
            self._found[name] = _array(node, self._tensors[name])
        return self._found[name]

    def floats(self, node: onnx.NodeProto, index: int) -> Float:
        """Return a node's input `index` as finite numbers.

        Raises:
            FormatError: as for `get`; or it is missing, is not floating point, or holds values that are not finite.
        """
        if index >= len(node.input) or not node.input[index]:
            raise refused(node, f"its input {index} is missing", AGAIN)
        name = node.input[index]
        value = self.get(node, name)
        if not np.issubdtype(value.dtype, np.floating):
            raise refused(node, f"{name!r} holds numbers of the type {value.dtype}, which is not converted", "Export it in float32")
        found = value.astype(np.float64)
        if not np.isfinite(found).all():
            raise refused(node, f"{name!r} has values that are not finite", "Train the network again with a lower learning rate")
        return found

    def integers(self, node: onnx.NodeProto, index: int) -> list[int] | None:
        """Return a node's input `index` as a list of integers, or None if it is omitted."""
        if index >= len(node.input) or not node.input[index]:
            return None
        value = self.get(node, node.input[index])
        if not np.issubdtype(value.dtype, np.integer) or value.ndim > 1:
            raise refused(node, f"{node.input[index]!r} is not a list of whole numbers", SIMPLER)
        return [int(n) for n in value.ravel()]

    def axes(self, node: onnx.NodeProto, rank: int) -> list[int] | None:
        """Return a node's axes, counted from 0, from its attribute or its second input; None if it names none."""
        given = attributes_of(node).get("axes")
        found = self.integers(node, 1) if given is None else [int(a) for a in given]
        if found is None:
            return None
        if any(not -rank <= a < rank for a in found):
            raise refused(node, f"its axes are {found} of {rank}", AGAIN)
        return [a % rank for a in found]

    def compute(self, node: onnx.NodeProto) -> bool:
        """Compute a node whose inputs are all constants; return whether that is possible.

        Raises:
            FormatError: values that do not fit, or arithmetic with an open number of samples.
        """
        if node.op_type == "Constant":
            self.put(node.output[0], _constant(node))
            return True
        if node.op_type not in OPERATORS or len(node.output) != 1:
            return False
        if any(name and name not in self for name in node.input):
            return False
        values = [self.get(node, name) if name else None for name in node.input]
        if not values or values[0] is None or any(v is not None and v.size > MAX_NUMBERS for v in values):
            raise refused(node, "its inputs are missing", AGAIN)
        if node.op_type in ARITHMETIC and any(v is not None and v.dtype.kind == "i" and (v == BATCH).any() for v in values):
            raise refused(node, "it computes with the number of samples, which the file leaves open", SIMPLER)
        try:
            if _most(node, values) > MAX_NUMBERS:
                raise refused(node, "it makes too many numbers", f"Up to {MAX_NUMBERS:,} are converted")
            with np.errstate(all="ignore"):
                made = np.asarray(OPERATORS[node.op_type](values, attributes_of(node)))
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            raise refused(node, "its constants do not fit each other", AGAIN) from error
        self.put(node.output[0], made)
        return True


def _most(node: onnx.NodeProto, values: list[Array | None]) -> int:
    """Return an upper bound on the number of values that a node produces."""
    found = [v for v in values if v is not None]
    if node.op_type in ARITHMETIC:
        return int(np.prod(np.broadcast_shapes(*(v.shape for v in found)), dtype=object))
    if node.op_type == "Gather":
        return found[0].size * found[1].size
    return sum(v.size for v in found)


def _constant(node: onnx.NodeProto) -> Array:
    given = attributes_of(node)
    for name, kind in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32), ("value_floats", np.float32)):
        if name in given:
            return np.asarray(given[name], kind)
    if not isinstance(given.get("value"), onnx.TensorProto):
        raise refused(node, "it holds no tensor", AGAIN)
    return _array(node, given["value"])


def _array(node: onnx.NodeProto, tensor: onnx.TensorProto) -> Array:
    name = tensor.name or node.output[0]
    if any(d < 0 for d in tensor.dims) or int(np.prod(list(tensor.dims), dtype=object)) > MAX_NUMBERS:
        shape = list(tensor.dims)[:8]
        raise refused(
            node, f"{name!r} has the shape {shape}, more than {MAX_NUMBERS:,} numbers, or a negative size", "Convert a smaller network"
        )
    if tensor.data_type not in KINDS:
        raise refused(node, f"{name!r} holds numbers of the type {tensor.data_type}, which is not converted", "Export it in float32")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise refused(node, f"{name!r} does not have as many values as its shape {list(tensor.dims)} says", AGAIN) from error


def _slice(values: list[Any], attributes: dict[str, Any]) -> Array:
    data, *rest = values
    starts, ends = (attributes["starts"], attributes["ends"]) if not rest else rest[:2]
    axes = (rest[2] if len(rest) > 2 else None) if rest else attributes.get("axes")
    steps = rest[3] if len(rest) > 3 and rest[3] is not None else np.ones(len(starts), np.int64)
    chosen = [slice(None)] * data.ndim
    for i, axis in enumerate(range(len(starts)) if axes is None else axes):
        chosen[int(axis)] = slice(int(starts[i]), int(ends[i]), int(steps[i]))
    return data[tuple(chosen)]


def _axes(values: list[Any], attributes: dict[str, Any]) -> tuple[int, ...] | None:
    found = values[1] if len(values) > 1 else attributes.get("axes")
    return None if found is None else tuple(int(a) for a in np.ravel(found))


def _unsqueeze(values: list[Any], attributes: dict[str, Any]) -> Array:
    return np.expand_dims(values[0], _axes(values, attributes) or ())


def _reshape(values: list[Any], attributes: dict[str, Any]) -> Array:
    wanted = [int(n) for n in values[1]]
    if not attributes.get("allowzero", 0):
        wanted = [values[0].shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return values[0].reshape(wanted)


def _cast(values: list[Any], attributes: dict[str, Any]) -> Array:
    kind = {**dict.fromkeys(FLOATS, np.float64), **dict.fromkeys(INTEGERS, np.int64), onnx.TensorProto.BOOL: np.bool_}[attributes["to"]]
    return values[0].astype(kind)


def _quotient(values: list[Any], _: dict[str, Any]) -> Array:
    a, b = values
    return np.trunc(a / b).astype(a.dtype) if a.dtype.kind == "i" else a / b


OPERATORS: dict[str, Callable[[list[Any], dict[str, Any]], Array]] = {
    "Identity": lambda v, _: v[0],
    "Gather": lambda v, a: np.take(v[0], v[1], axis=int(a.get("axis", 0))),
    "Concat": lambda v, a: np.concatenate(v, axis=int(a["axis"])),
    "Unsqueeze": _unsqueeze,
    "Squeeze": lambda v, a: np.squeeze(v[0], _axes(v, a)),
    "Slice": _slice,
    "Cast": _cast,
    "Reshape": _reshape,
    "Transpose": lambda v, a: np.transpose(v[0], a.get("perm")),
    "Add": lambda v, _: v[0] + v[1],
    "Sub": lambda v, _: v[0] - v[1],
    "Mul": lambda v, _: v[0] * v[1],
    "Div": _quotient,
    "Neg": lambda v, _: -v[0],
    "Sqrt": lambda v, _: np.sqrt(v[0]),
    "Reciprocal": lambda v, _: 1.0 / v[0],
}
ARITHMETIC = frozenset(("Add", "Sub", "Mul", "Div", "Neg", "Sqrt", "Reciprocal"))


def shape_of(node: onnx.NodeProto, batch: int, view: tuple[int, ...]) -> Array:
    """Return the result of the operator Shape, with its start and end, for samples of shape `view`."""
    attributes = attributes_of(node)
    whole = [batch or BATCH, *view]
    start, end = int(attributes.get("start", 0)), attributes.get("end")
    if not all(-64 <= n <= 64 for n in (start, *(() if end is None else (int(end),)))):
        raise FormatError(f"node {node.name or node.output[0]!r} (Shape): its range is {start}..{end}. {AGAIN}.")
    return np.array(whole[slice(start, None if end is None else int(end))], np.int64)
