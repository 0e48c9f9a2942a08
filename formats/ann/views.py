"""The operators that reshape a sample or leave it alone: its values and their order stay the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from ._graph import AGAIN, Graph, Signal
from ._nodes import attributes_of, refused
from .ann import Shape
from .constants import BATCH
from .signals import Rates, Sum

__all__ = ["flatten", "passed", "reshape", "squeeze", "unsqueeze"]


def flatten(graph: Graph, node: onnx.NodeProto) -> Signal:
    """A sample as one row."""
    x, axis = graph.taken(node), int(attributes_of(node).get("axis", 1))
    if axis not in (1, -len(x.view)):
        raise refused(node, f"its axis is {axis}", "Flatten from axis 1 on, which keeps the samples apart")
    return replace(x, view=(int(np.prod(x.view)),))


def reshape(graph: Graph, node: onnx.NodeProto) -> Signal:
    """A sample as one row, the input as maps, or axes of size 1 added or dropped."""
    x, wanted = graph.taken(node), graph.constants.integers(node, 1)
    if not wanted:
        raise refused(node, "its new shape is missing", AGAIN)
    size = int(np.prod(x.view))
    old = (graph.batch or BATCH, *x.view)
    if not attributes_of(node).get("allowzero", 0):
        wanted = [old[i] if n == 0 and i < len(old) else n for i, n in enumerate(wanted)]
    rest = [size if n == -1 and len(wanted) == 2 else n for n in wanted[1:]]
    known = int(np.prod([n for n in rest if n != -1], dtype=object))
    if rest.count(-1) == 1 and known > 0 and size % known == 0:
        rest = [size // known if n == -1 else n for n in rest]
    keeps = wanted[0] in (-1, BATCH, graph.batch) or (wanted[0] == 1 and not graph.batch)
    if not keeps or min(rest, default=0) < 1 or int(np.prod(rest, dtype=object)) != size or wanted == [-1, -1]:
        shown = ["N" if n == BATCH else n for n in wanted]
        raise refused(node, f"it makes {shown} of samples of {x.view}", "Flatten each sample to a row, (N, -1), and keep the samples apart")
    return _seen_as(node, x, tuple(rest))


def squeeze(graph: Graph, node: onnx.NodeProto) -> Signal:
    """Axes of size 1 dropped."""
    x = graph.taken(node)
    axes = graph.constants.axes(node, len(x.view) + 1)
    if axes is None and graph.batch == 1:
        raise refused(node, "it names no axes, and the batch is 1, too", "Name the axes, or export with an open batch")
    gone = {i for i, n in enumerate(x.view, 1) if n == 1} if axes is None else set(axes)
    if 0 in gone or any(x.view[i - 1] != 1 for i in gone):
        raise refused(node, f"it leaves out the axes {sorted(gone)} of samples of {x.view}", "Leave out axes of size 1")
    return _seen_as(node, x, tuple(n for i, n in enumerate(x.view, 1) if i not in gone))


def unsqueeze(graph: Graph, node: onnx.NodeProto) -> Signal:
    """Axes of size 1 added."""
    x = graph.taken(node)
    given = attributes_of(node).get("axes")
    rank = len(x.view) + 1 + len(graph.constants.integers(node, 1) or [] if given is None else given)
    axes = set(graph.constants.axes(node, rank) or [])
    if 0 in axes or len(axes) + len(x.view) + 1 != rank or rank > 8:
        raise refused(node, f"it adds the axes {sorted(axes)} to samples of {x.view}", "Keep the samples along the first axis")
    old = iter(x.view)
    return _seen_as(node, x, tuple(1 if i in axes else next(old) for i in range(1, rank)))


def _seen_as(node: onnx.NodeProto, x: Signal, view: Shape) -> Signal:
    """Return x with another shape of the same size: a row, or the layer's own with axes of size 1 added or dropped."""
    shape = x.averaged if isinstance(x, Rates) else x.target
    if len(shape) == 1 and view == (*shape, 1, 1):
        return _as_maps(x, view)
    if len(view) == 1 or [n for n in view if n > 1] == [n for n in shape if n > 1]:
        return replace(x, view=view)
    if isinstance(x, Rates) and x.source < 0 and x.plain and len(view) == 3 and len(shape) == 1:
        return replace(x, shape=view, view=view)  # the input, which is a row in the file
    raise refused(
        node, f"it makes {view} of samples of {x.view}", "Flatten each sample to a row, (N, -1), or export with maps as the input"
    )


def _as_maps(x: Signal, view: Shape) -> Signal:
    """Return rows of features as maps of size 1 x 1, one for each feature."""
    if isinstance(x, Sum):
        return replace(x, target=view, view=view)
    gain, shift = (None if v is None else np.broadcast_to(v, x.averaged).reshape(view) for v in (x.gain, x.shift))
    return replace(x, shape=view, view=view, gain=gain, shift=shift)


def passed(graph: Graph, node: onnx.NodeProto) -> Signal:
    """Identity, Cast between floating-point types, Dropout outside training."""
    x = graph.taken(node) if node.op_type != "Identity" else graph.signals.get(node.input[0]) or graph.taken(node)
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] and graph.constants.get(node, node.input[2]).any():
        raise refused(node, "it is in training mode", "Export the network for inference: model.eval()")
    if node.op_type == "Cast" and attributes_of(node).get("to") not in (1, 11):
        raise refused(node, "it makes other numbers than float32 or float64", "Export the network in float32")
    return x
