"""The operators with weights, gains, shifts and ReLUs: what each does to a signal. HANDLERS has all operators by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from ._graph import AGAIN, MAPS, Graph, Signal
from ._nodes import RELUS, Float, attributes_of, name_of, pads_of, refused, same, spread
from .averages import average, global_average, reduce_mean
from .signals import Rates, Sum, by_channel
from .views import flatten, passed, reshape, squeeze, unsqueeze

__all__ = ["HANDLERS"]


# Weights


def gemm(graph: Graph, node: onnx.NodeProto) -> Signal:
    """alpha A B + beta C."""
    attributes = attributes_of(node)
    weights = graph.constants.floats(node, 1) * float(attributes.get("alpha", 1.0))
    if attributes.get("transA", 0) or weights.ndim != 2:
        raise refused(node, f"transA is set, or its weights have the shape {weights.shape}", "Export it as a fully connected layer")
    bias = graph.constants.floats(node, 2) * float(attributes.get("beta", 1.0)) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    return _dense(graph, node, weights if attributes.get("transB", 0) else weights.T, bias)


def matmul(graph: Graph, node: onnx.NodeProto) -> Signal:
    """A B with a constant B."""
    graph.taken(node)
    weights = graph.constants.floats(node, 1)
    if weights.ndim != 2:
        raise refused(node, f"its weights must be a matrix; they have the shape {weights.shape}", "Export it as a fully connected layer")
    return _dense(graph, node, weights.T, np.zeros(1))


def _dense(graph: Graph, node: onnx.NodeProto, weights: Float, bias: Float) -> Sum:
    x = graph.rates(node)
    inputs = int(np.prod(x.view))
    if len(x.view) != 1 or weights.shape[1] != inputs or not weights.size:
        flatten = "" if len(x.view) == 1 else " and Flatten does not come before it"
        raise refused(
            node, f"its weights take {weights.shape[1]:,} inputs; what comes before has {inputs:,}{flatten}", "Put a Flatten before it"
        )
    if bias.size not in (1, len(weights)):
        raise refused(node, f"it has {bias.size} biases for {len(weights)} outputs", AGAIN)
    branch, more = x.by_dense(weights)
    shape = (len(weights),)
    return Sum((branch,), more + bias.ravel(), shape, shape, name_of(node))


def conv(graph: Graph, node: onnx.NodeProto) -> Signal:
    """A convolution along two axes."""
    x, attributes, weights = graph.rates(node), attributes_of(node), graph.constants.floats(node, 1)
    if x.view != x.averaged or len(x.view) != 3 or weights.ndim != 4 or not weights.size:
        shapes = f"what comes before has the shape {x.view}, the kernel {weights.shape}"
        raise refused(node, f"it needs maps and a kernel of two axes; {shapes}", MAPS)
    groups = int(attributes.get("group", 1))
    if groups < 1 or weights.shape[1] * groups != x.view[0] or weights.shape[0] % groups:
        raise refused(node, f"its kernel {weights.shape} in {groups} groups does not fit {x.view[0]} channels", AGAIN)
    strides = [int(s) for s in attributes.get("strides", [1, 1])]
    stride = same(node, strides, "strides", 1)
    kernel = spread(node, weights, groups, [int(d) for d in attributes.get("dilations", [1, 1])])
    bias = graph.constants.floats(node, 2).ravel() if len(node.input) > 2 and node.input[2] else np.zeros(len(weights))
    rows, columns = kernel.shape[2], kernel.shape[3]
    pads = pads_of(node, list(x.view[1:]), (rows, columns), [stride, stride])
    height, width = (x.view[1] + pads[0] + pads[2] - rows) // stride + 1, (x.view[2] + pads[1] + pads[3] - columns) // stride + 1
    if min(height, width) < 1 or bias.shape != (len(weights),):
        raise refused(
            node, f"a kernel of {(rows, columns)} leaves nothing of {x.view[1:]}, or its biases {bias.shape} are not one per channel", AGAIN
        )
    branch, more = x.by_kernel(node, kernel, stride, pads)
    target = len(weights), height, width
    whole = more + bias if len(more) == len(bias) else by_channel(more.reshape(target) + bias[:, None, None])
    return Sum((branch,), whole, target, target, name_of(node))


# Gains, shifts, sums


def add(graph: Graph, node: onnx.NodeProto) -> Signal:
    """A bias, or the sum of two branches."""
    if all(name in graph.signals for name in node.input):
        return _meet(node, graph.taken(node, 0), graph.taken(node, 1))
    x, constant, _ = _operands(graph, node)
    return _affine(node, x, None, constant)


def sub(graph: Graph, node: onnx.NodeProto) -> Signal:
    """x - c or c - x; also the mean subtracted to normalise inputs."""
    if all(name in graph.signals for name in node.input):
        minus = _affine(node, graph.taken(node, 1), np.array(-1.0), None)
        return _meet(node, graph.taken(node, 0), minus)
    x, constant, first = _operands(graph, node)
    return _affine(node, x, None, -constant) if first else _affine(node, x, np.array(-1.0), constant)


def mul(graph: Graph, node: onnx.NodeProto) -> Signal:
    """c x."""
    x, constant, _ = _operands(graph, node)
    return _affine(node, x, constant, None)


def div(graph: Graph, node: onnx.NodeProto) -> Signal:
    """x / c; also the deviation divided by to normalise inputs."""
    x, constant, first = _operands(graph, node)
    if not first or not (constant != 0.0).all():
        raise refused(node, "it divides by what the network computes, or by 0", "Divide by constants that are not 0")
    return _affine(node, x, 1.0 / constant, None)


def normalisation(graph: Graph, node: onnx.NodeProto) -> Signal:
    """gain (x - mean) / sqrt(variance + epsilon) + shift, per channel."""
    x, attributes = graph.taken(node), attributes_of(node)
    scale, shift, mean, variance = (graph.constants.floats(node, i) for i in range(1, 5))
    if attributes.get("training_mode", 0):
        raise refused(node, "it is in training mode", "Export the network for inference: model.eval()")
    denominator = variance + float(attributes.get("epsilon", 1e-5))
    if any(v.shape != x.view[:1] for v in (scale, shift, mean, variance)) or (denominator <= 0).any():
        raise refused(node, f"its statistics are not one for each of {x.view[0]} channels, or a variance is negative", AGAIN)
    gain = scale / np.sqrt(denominator)
    sides = [1] * (len(x.view) - 1)
    return _affine(node, x, gain.reshape(-1, *sides), (shift - mean * gain).reshape(-1, *sides))


def _operands(graph: Graph, node: onnx.NodeProto) -> tuple[Signal, Float, bool]:
    """Return a node's signal and constant, and whether the signal is its first input."""
    first = bool(node.input) and node.input[0] in graph.signals
    if len(node.input) == 2 and all(name in graph.signals for name in node.input):
        raise refused(
            node, "both of its inputs are computed by the network, and a product of rates is none", "Train it without attention or gating"
        )
    return graph.taken(node, 0 if first else 1), graph.constants.floats(node, 1 if first else 0), first


def _affine(node: onnx.NodeProto, x: Signal, gain: Float | None, shift: Float | None) -> Signal:
    """Return gain x + shift, with constants that broadcast to the view of x."""
    found = [_fitted(node, x, c, otherwise) for c, otherwise in ((gain, 1.0), (shift, 0.0))]
    if isinstance(x, Rates):
        return x.affine(*found)
    gains = by_channel(found[0])
    if len(gains) != x.target[0]:
        raise refused(node, "its factor differs within a channel", "One number, or one per channel, can be converted")
    return x.affine(gains, by_channel(found[1]))


def _fitted(node: onnx.NodeProto, x: Signal, constant: Float | None, otherwise: float) -> Float:
    """Return a constant in the shape that x has in the layers."""
    shape = x.averaged if isinstance(x, Rates) else x.target
    if constant is None:
        return np.full(shape, otherwise)
    sides = constant.ndim - len(x.view)
    if sides > 0 and all(n == 1 for n in constant.shape[:sides]):
        constant = constant.reshape(constant.shape[sides:])
    try:
        return np.broadcast_to(constant, x.view).reshape(shape)
    except ValueError as error:
        kind = {"Add": "adds", "Sub": "subtracts"}.get(node.op_type, "takes")
        raise refused(
            node, f"it {kind} {constant.shape} to samples of {x.view}", "One number, or one per channel, can be converted"
        ) from error


def _meet(node: onnx.NodeProto, a: Signal, b: Signal) -> Sum:
    """Return the sum of two branches; the shortcut of a residual block is one-to-one."""
    one, other = (s if isinstance(s, Sum) else s.alone(node) for s in (a, b))
    if one.target != other.target or one.view != other.view:
        raise refused(node, f"it adds {one.view} and {other.view}", "Branches of the same shape can be added")
    return replace(one.added(other), name=one.name or other.name, label=name_of(node))


# ReLUs


def relu(graph: Graph, node: onnx.NodeProto) -> Signal:
    """max(x, 0); rates stay as they are."""
    x = graph.taken(node)
    if isinstance(x, Rates) and x.gain is None and x.shift is None:
        return x
    return graph.closed(node, x if isinstance(x, Sum) else x.alone(node))


def clip(graph: Graph, node: onnx.NodeProto) -> Signal:
    """min(max(x, 0), c): a ReLU that saturates, such as ReLU6."""
    x, attributes = graph.taken(node), attributes_of(node)
    bounds = [attributes.get(k) for k in ("min", "max")]
    for i in (1, 2):
        if len(node.input) > i and node.input[i]:
            bounds[i - 1] = graph.constants.floats(node, i).ravel()[0]
    low, high = (None if b is None else float(b) for b in bounds)
    positive = isinstance(x, Rates) and x.gain is None and x.shift is None
    if (low is None or low != 0.0) and not (positive and (low is None or low <= 0.0)):
        raise refused(node, f"it keeps values from {low} on, and rates begin at 0", RELUS)
    if high is None:
        return relu(graph, node)
    if not high > 0.0:
        raise refused(node, f"it keeps values up to {high}", "A ReLU that ends above 0 is converted, such as ReLU6")
    return graph.closed(node, x if isinstance(x, Sum) else x.alone(node), high)


def softmax(graph: Graph, node: onnx.NodeProto) -> Signal:
    """A Softmax at the end, which does not change the prediction."""
    x = graph.taken(node)
    axis = int(attributes_of(node).get("axis", -1))
    if len(x.view) != 1 or axis not in (1, -1):
        raise refused(node, f"it runs along axis {axis} of samples of {x.view}", "Put it at the end, over the classes")
    return replace(x, ended=True)


HANDLERS: dict[str, Callable[[Graph, onnx.NodeProto], Signal]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Conv": conv,
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "BatchNormalization": normalisation,
    "Relu": relu,
    "Clip": clip,
    "AveragePool": average,
    "GlobalAveragePool": global_average,
    "ReduceMean": reduce_mean,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Dropout": passed,
    "Identity": passed,
    "Cast": passed,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
