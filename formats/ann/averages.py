"""The operators that average, over windows or whole maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from ._graph import MAPS, Graph, Signal
from ._nodes import attributes_of, pads_of, refused, same
from .signals import Rates

__all__ = ["average", "global_average", "reduce_mean"]


def average(graph: Graph, node: onnx.NodeProto) -> Signal:
    """Averages over adjacent windows."""
    x, attributes = graph.rates(node), attributes_of(node)
    size = same(node, attributes.get("kernel_shape", [0]), "kernel_shape", 1)
    strides = [int(s) for s in attributes.get("strides", [1, 1])]
    if x.view != x.averaged or len(x.view) != 3:
        raise refused(node, f"it averages samples of {x.view}", MAPS)
    ceiled = attributes.get("ceil_mode", 0) and any(n % size for n in x.view[1:])
    if same(node, strides, "strides", 1) != size or ceiled or any(pads_of(node, list(x.view[1:]), (size, size), strides)):
        raise refused(
            node,
            "windows that overlap, or reach beyond the maps, are not converted",
            "Use windows that lie side by side (stride = kernel), without padding, rounded down",
        )
    return _pooled(node, x, size)


def _pooled(node: onnx.NodeProto, x: Rates, size: int) -> Rates:
    view = (x.view[0], *(n // size for n in x.view[1:]))
    if min(view) < 1:
        raise refused(node, f"its windows of {size} are larger than the maps, {x.view[1:]}", "Use smaller windows")
    for what in (x.gain, x.shift):
        if what is not None and (np.broadcast_to(what, x.averaged) != np.broadcast_to(what, x.averaged)[:, :1, :1]).any():
            raise refused(node, "it averages what was scaled or shifted place by place", "Put a ReLU before it")
    kept = (None if v is None else np.broadcast_to(v, x.averaged)[:, :1, :1].copy() for v in (x.gain, x.shift))
    gain, shift = kept
    return replace(x, pool=x.pool * size, view=view, gain=gain, shift=shift)


def global_average(graph: Graph, node: onnx.NodeProto) -> Signal:
    """Averages over whole maps."""
    x = graph.rates(node)
    if x.view != x.averaged or len(x.view) != 3:
        raise refused(node, f"it averages samples of {x.view}", MAPS)
    if x.view[1] == x.view[2]:
        return _pooled(node, x, x.view[1])
    pooled = _pooled(node, replace(x, view=(x.view[0], 1, 1)), 1)
    return replace(pooled, whole=True)


def reduce_mean(graph: Graph, node: onnx.NodeProto) -> Signal:
    """The mean over rows and columns."""
    view = graph.taken(node).view
    axes, keep = graph.constants.axes(node, len(view) + 1), attributes_of(node).get("keepdims", 1)
    if len(view) != 3 or axes is None or sorted(axes) != [2, 3]:
        raise refused(
            node, f"it averages over the axes {axes} of {view}", "Average over rows and columns, or whole maps (AdaptiveAvgPool2d(1))"
        )
    made = global_average(graph, node)
    return made if keep else replace(made, view=made.view[:1])
