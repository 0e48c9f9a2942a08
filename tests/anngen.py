"""Random ANNs as ONNX files, for the tests of their conversion: every operator that is converted, in the order that torch exports them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Node = onnx.NodeProto


def node(kind: str, *inputs: str, out: str, **attributes: Any) -> Node:
    return helper.make_node(kind, list(inputs), [out], name=out, **attributes)


def ann_bytes(nodes: list[Node], weights: dict[str, Array], shape: tuple[Any, ...], opset: int = 21) -> bytes:
    """An ONNX file of a graph whose input is `x` and whose last node's output is the file's."""
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


class Random:
    """Builds a random graph node by node; `last` is the value made last, `shape` its shape, `layers` the values that layers stand for."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights, self.layers = list[Node](), dict[str, Array](), list[str]()
        self.shape: tuple[int, ...] = (int(self.rng.integers(1, 4)), *(int(n) for n in self.rng.integers(5, 9, 2)))
        self.first, self.batch = self.shape, int(self.rng.choice([0, 3]))
        self.last = "x"

    def build(self) -> bytes:
        """Return the file."""
        self.normalised()
        self.block()
        if self.chance():
            self.residual()
        if self.chance():
            self.pool()
        if self.chance(0.3):
            self.block()
        self.head()
        self.layers.append(self.last)
        return ann_bytes(self.nodes, self.weights, (self.batch or "N", *self.first))

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, *words: Any) -> Any:
        return words[int(self.rng.integers(len(words)))]

    def const(self, value: Any) -> str:
        name = f"c{len(self.weights)}"
        self.weights[name] = np.asarray(value)
        return name

    def put(self, kind: str, *inputs: str, shape: tuple[int, ...] | None = None, **attributes: Any) -> str:
        out = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(node(kind, *inputs, out=out, **attributes))
        self.last, self.shape = out, self.shape if shape is None else shape
        return out

    def floats(self, *shape: int, low: float = -0.5, high: float = 0.5) -> str:
        return self.const(self.rng.uniform(low, high, shape).astype(np.float32))

    def norm(self) -> None:
        c = self.shape[0]
        mean, variance = self.floats(c), self.floats(c, low=0.5, high=2.0)
        self.put("BatchNormalization", self.last, self.floats(c, low=0.5, high=1.5), self.floats(c), mean, variance)

    def normalised(self) -> None:
        """What data sets do to their images."""
        sides = (1, self.first[0], 1, 1)
        way = self.pick("none", "torchvision", "norm", "factor", "mean image", "negative")
        if way == "torchvision":
            self.put("Sub", self.last, self.floats(*sides))
            self.put("Div", self.last, self.floats(*sides, low=0.3, high=0.9))
        elif way == "norm":
            self.norm()
        elif way == "factor":
            self.put("Mul", self.last, self.floats(low=0.5, high=2.0))
            self.put("Add", self.floats(*sides[1:]), self.last)
        elif way == "mean image":
            self.put("Sub", self.last, self.floats(*self.first))
        elif way == "negative":
            self.put("Sub", self.const(np.float32(0.8)), self.last)

    def conv(self, source: str, channels: int, *, same: bool = False, kernel: int | None = None, stride: int | None = None) -> str:
        c, h, w = self.shape
        kernel = kernel or min(int(self.rng.integers(1, 4)), h, w)
        stride, groups = stride or (1 if same else int(self.rng.integers(1, 3))), self.pick(1, c) if channels % c == 0 else 1
        auto = "SAME_UPPER" if same else self.pick("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "NOTSET")
        attributes: dict[str, Any] = {"strides": [stride] * 2, "group": groups, "auto_pad": auto}
        pads = [0, 0, 0, 0]
        if auto == "NOTSET":
            pads = attributes["pads"] = [int(n) for n in self.rng.integers(0, 3, 4)]
        sides = [(n + a + b - kernel) // stride + 1 for n, a, b in ((h, pads[0], pads[2]), (w, pads[1], pads[3]))]
        rows, columns = (-(-n // stride) for n in (h, w)) if auto.startswith("SAME") else sides
        weights = self.const(float32(self.rng, channels, c // groups, kernel, kernel, spread=1.8))
        bias = [self.floats(channels)] if self.chance() else []
        return self.put("Conv", source, weights, *bias, shape=(channels, rows, columns), **attributes)

    def relu(self) -> None:
        if self.chance():
            self.put("Relu", self.last)
        else:
            self.put("Clip", self.last, self.const(np.float32(0)), self.const(np.float32(self.pick(0.4, 6.0))))
        self.layers.append(self.last)

    def block(self) -> None:
        self.conv(self.last, self.pick(2, 3, 2 * self.shape[0]))
        way = self.pick("none", "norm", "scaled", "place")
        if way == "norm":
            self.norm()
        elif way == "scaled":
            self.put("Mul", self.last, self.floats(self.shape[0], 1, 1, low=-1.0, high=1.5))
            self.put("Add", self.last, self.floats(1, self.shape[0], 1, 1))
        elif way == "place":
            self.put("Add", self.last, self.floats(*self.shape))
        self.relu()
        if self.chance(0.3):
            self.put(self.pick("Dropout", "Identity"), self.last)
        if self.chance(0.3):
            self.norm()  # behind the ReLU: it goes into the layer after it

    def residual(self) -> None:
        trunk, shape = self.last, self.shape
        way = self.pick("identity", "projection", "sum of rates", "difference")
        if way == "sum of rates":
            self.conv(trunk, shape[0], same=True)
            self.relu()
            self.put("Add", self.last, self.relued(trunk))
            self.conv_after_sum()
            return
        if way == "projection":
            channels = self.pick(2, 4)
            a = self.conv(trunk, channels, kernel=3, stride=2, same=True)
            self.shape = shape
            b = self.conv(trunk, channels, kernel=1, stride=2, same=True)
            self.put("Add", a, b)
        else:
            a = self.conv(trunk, shape[0], same=True)
            self.put("Sub" if way == "difference" else "Add", *self.pick((a, trunk), (trunk, a)))
        self.relu()

    def relued(self, trunk: str) -> str:
        """The trunk as rates: what a normalisation behind a ReLU may have made negative gets one more."""
        kind = next(n.op_type for n in self.nodes if n.output[0] == trunk)
        if kind != "BatchNormalization":
            return trunk
        before = self.last
        made = self.put("Relu", trunk)
        self.layers.append(made)
        self.last = before
        return made

    def conv_after_sum(self) -> None:
        self.layers.append(self.last)  # the sum is a layer of its own, since a convolution takes it in
        self.conv(self.last, 2, kernel=1, stride=1)
        self.relu()

    def pool(self) -> None:
        size = 2
        c, h, w = self.shape
        if min(h, w) < size:
            return
        auto = "SAME_UPPER" if h % size == w % size == 0 and self.chance() else self.pick("VALID", "NOTSET")
        shape = (c, h // size, w // size)
        self.put("AveragePool", self.last, shape=shape, kernel_shape=[size] * 2, strides=[size] * 2, auto_pad=auto)

    def head(self) -> None:
        """What leads from maps to classes."""
        c, h, w = self.shape
        way = self.pick("flatten", "reshape", "view", "gap", "mean", "squeeze")
        if way in ("gap", "mean", "squeeze"):
            kept = way != "mean"
            shape = (c, 1, 1) if kept else (c,)
            if way == "gap":
                self.put("GlobalAveragePool", self.last, shape=shape)
            else:
                self.put("ReduceMean", self.last, self.const(self.pick([2, 3], [-1, -2])), shape=shape, keepdims=int(kept))
            if way == "gap":
                self.put("Flatten", self.last, shape=(c,))
            elif way == "squeeze":
                self.put("Squeeze", self.last, self.const([-1]), shape=(c, 1))
                self.put("Squeeze", self.last, self.const([2]), shape=(c,))
        elif way == "flatten":
            self.put("Flatten", self.last, shape=(c * h * w,))
        elif way == "reshape":
            self.put("Reshape", self.last, self.const([0, -1]), shape=(c * h * w,))
        else:
            maps = self.last
            self.put("Shape", maps)
            self.put("Gather", self.last, self.const(np.int64(0)))
            self.put("Unsqueeze", self.last, self.const([0]))
            self.put("Concat", self.last, self.const([-1]), axis=0)
            self.put("Reshape", maps, self.last, shape=(c * h * w,))
        if self.chance():
            self.dense(5)
            self.relu()
        self.dense(3)

    def dense(self, size: int) -> None:
        (inputs,), way = self.shape, self.pick("Gemm", "MatMul", "Transpose")
        matrix = self.const(float32(self.rng, size, inputs, spread=1.8))
        if way == "Gemm":
            self.put("Gemm", self.last, matrix, self.floats(size), shape=(size,), transB=1)
            return
        if way == "Transpose":
            last = self.last
            matrix, self.last = self.put("Transpose", matrix, perm=[1, 0]), last
        else:
            self.weights[matrix] = np.ascontiguousarray(self.weights[matrix].T)
        self.put("MatMul", self.last, matrix, shape=(size,))
        self.put("Add", self.last, self.floats(size))
