"""What the reader of ANNs asks of a node: its name, its attributes, the error that it is refused with."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ...errors import FormatError

MAX_NUMBERS = 1 << 28
Float = NDArray[np.float64]

WAYS_OUT = {
    "MaxPool": ": the largest of several rates is not a rate that spikes add up to. Train the network with average pooling",
    "Sigmoid": ": rates stand for what a ReLU gives. Train the network with ReLUs",
    "Tanh": ": rates stand for what a ReLU gives. Train the network with ReLUs",
}


def name_of(node: onnx.NodeProto) -> str:
    """Return a node's name, or that of what it gives."""
    return node.name or node.output[0]


def refused(node: onnx.NodeProto, why: str) -> FormatError:
    """Build the error that a node is not converted."""
    name = node.name or (node.output[0] if node.output else "?")
    return FormatError(f"node {name!r} ({node.op_type}): {why}.")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def same(node: onnx.NodeProto, values: list[int], what: str, low: int) -> int:
    """Return a number that must be the same along every axis, low..4096."""
    found = {int(v) for v in values}
    if len(found) != 1 or not low <= min(found) <= 4096:
        raise refused(node, f"its {what} are {[int(v) for v in values]}; the same along rows and columns, from {low} on, is converted")
    return found.pop()


def spread(node: onnx.NodeProto, weights: Float, groups: int, dilations: list[int]) -> Float:
    """Return the kernel of all channels, with the gaps of a dilation as zeros."""
    out, inside, height, width = weights.shape
    if len(dilations) != 2 or min(dilations) < 1 or max(dilations) > 4096:
        raise refused(node, f"its dilations are {dilations}")
    size = (height - 1) * dilations[0] + 1, (width - 1) * dilations[1] + 1
    if out * inside * groups * size[0] * size[1] > MAX_NUMBERS:
        raise refused(node, f"its kernel, with groups and dilations written out, has more than {MAX_NUMBERS:,} taps")
    whole = np.zeros((out, inside * groups, *size))
    for g in range(groups):
        mine = slice(g * out // groups, (g + 1) * out // groups)
        whole[mine, g * inside : (g + 1) * inside, :: dilations[0], :: dilations[1]] = weights[mine]
    return whole
