"""A node of an ANN, for the reader: its name, attributes and geometry, and the error that refuses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ...errors import FormatError

MAX_NUMBERS = 1 << 28
Float = NDArray[np.float64]
Pads = tuple[int, int, int, int]  # top, left, bottom, right

RELUS = "Train the network with ReLUs, whose outputs are what rates stand for"
AVERAGES = "Train the network with average pooling"
WAYS_OUT = {
    "MaxPool": f"the largest of several rates is not a rate that spikes add up to. {AVERAGES}",
    "GlobalMaxPool": f"the largest of several rates is not a rate that spikes add up to. {AVERAGES}",
    "ReduceMax": f"the largest of several rates is not a rate that spikes add up to. {AVERAGES}",
    "Concat": "maps side by side are not converted. Add the branches instead",
    "Transpose": "the order of axes is not changed. Export the network with its channels first",
    "Constant": "it holds no tensor. Export the network again",
    "If": "what is run depends on data. Export the network for inference, without conditions",
    "Loop": "it repeats nodes. Export a feed-forward network",
    "Scan": "it repeats nodes. Export a feed-forward network",
    "LSTM": "it is recurrent. Export a feed-forward network, or train one with spikes",
    "GRU": "it is recurrent. Export a feed-forward network, or train one with spikes",
    "RNN": "it is recurrent. Export a feed-forward network, or train one with spikes",
    "QuantizeLinear": "the network is quantised. Export it in float32; spikeloom compile quantises the spiking network",
    "DequantizeLinear": "the network is quantised. Export it in float32; spikeloom compile quantises the spiking network",
    "ConvTranspose": "maps are not enlarged. Train the network without it",
} | dict.fromkeys(
    ("Sigmoid", "Tanh", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "HardSwish", "HardSigmoid", "Softplus", "Mish", "Celu", "Swish"),
    f"its outputs are not those of a ReLU. {RELUS}",
)


def name_of(node: onnx.NodeProto) -> str:
    """Return a node's name, or that of its output."""
    return node.name or node.output[0]


def refused(node: onnx.NodeProto, why: str, way_out: str) -> FormatError:
    """Build the error for a node that cannot be converted; `way_out`: a sentence without its full stop."""
    name = node.name or (node.output[0] if node.output else "?")
    return FormatError(f"node {name!r} ({node.op_type}): {why}. {way_out}.")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def same(node: onnx.NodeProto, values: list[int], what: str, low: int) -> int:
    """Return a number that must be the same along every axis, low..4096."""
    found = {int(v) for v in values}
    if len(found) != 1 or not low <= min(found) <= 4096:
        raise refused(node, f"its {what} are {[int(v) for v in values]}", f"Use the same {what} along rows and columns, from {low} to 4096")
    return found.pop()


def pads_of(node: onnx.NodeProto, maps: list[int], kernel: tuple[int, int], strides: list[int]) -> Pads:
    """Return the zero padding of a window: as given, or as auto_pad defines it.

    SAME gives ceil(n / stride) outputs; if the number of zeros is odd, the extra one goes at the end (UPPER) or at the beginning (LOWER).
    """
    attributes = attributes_of(node)
    auto = bytes(attributes.get("auto_pad", b"NOTSET")).decode("utf-8", "replace")
    if auto == "VALID":
        return 0, 0, 0, 0
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        whole = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(maps, kernel, strides, strict=True)]
        first = [n // 2 if auto == "SAME_UPPER" else n - n // 2 for n in whole]
        return first[0], first[1], whole[0] - first[0], whole[1] - first[1]
    given = [int(n) for n in attributes.get("pads", [0, 0, 0, 0])]
    if auto not in ("NOTSET", "") or len(given) != 4 or not 0 <= min(given) <= max(given) <= 4096:
        raise refused(
            node, f"its pads are {given}, auto_pad {auto}", "Use four pads from 0 to 4096, or auto_pad SAME_UPPER, SAME_LOWER or VALID"
        )
    return given[0], given[1], given[2], given[3]


def spread(node: onnx.NodeProto, weights: Float, groups: int, dilations: list[int]) -> Float:
    """Return the kernel over all channels, with the gaps of a dilation filled with zeros."""
    out, inside, height, width = weights.shape
    if len(dilations) != 2 or min(dilations) < 1 or max(dilations) > 4096:
        raise refused(node, f"its dilations are {dilations}", "Use two dilations from 1 to 4096")
    size = (height - 1) * dilations[0] + 1, (width - 1) * dilations[1] + 1
    _check_taps(node, out * inside * groups * size[0] * size[1])
    whole = np.zeros((out, inside * groups, *size))
    for g in range(groups):
        mine = slice(g * out // groups, (g + 1) * out // groups)
        whole[mine, g * inside : (g + 1) * inside, :: dilations[0], :: dilations[1]] = weights[mine]
    return whole


def padded_alike(node: onnx.NodeProto, kernel: Float, pads: Pads) -> tuple[Float, int]:
    """Return p and a kernel that, padded by p on every side, computes the same as `kernel` with `pads`.

    p is the largest of `pads`; p - top rows of zeros before the kernel's own and p - bottom after them leave the outputs unchanged.
    """
    top, left, bottom, right = pads
    p = max(pads)
    out, inside, height, width = kernel.shape
    _check_taps(node, out * inside * (height + 2 * p - top - bottom) * (width + 2 * p - left - right))
    return np.pad(kernel, ((0, 0), (0, 0), (p - top, p - bottom), (p - left, p - right))), p


def _check_taps(node: onnx.NodeProto, taps: int) -> None:
    if taps > MAX_NUMBERS:
        raise refused(
            node,
            f"its kernel, with groups, dilations and uneven padding written out, has {taps:,} taps",
            f"Up to {MAX_NUMBERS:,} are converted",
        )
