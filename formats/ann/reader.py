"""Reads a feed-forward ANN out of an ONNX file. Nothing in a file is trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from ...errors import DAMAGE, FormatError
from ...files import read_bytes
from . import external
from ._graph import Graph, Signal
from ._nodes import RELUS, WAYS_OUT, name_of, refused
from .ann import INPUT, Ann, Branch, Layer, Shape
from .constants import FLOATS, Constants, shape_of
from .operators import HANDLERS
from .signals import Rates, Sum

__all__ = ["read_ann"]

MAX_NEURONS = 1 << 24
LARGEST = 1e30  # of a weight or bias: later stages use float32


def read_ann(path: Path) -> Ann:
    """Read an ANN, with the weights file beside it, if any.

    Raises:
        FormatError: damaged, values in a file that is not beside it, or an unsupported operator; the message names the node and a way out.
    """
    content = read_bytes(path, "the ANN")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's exception classes differ between its implementations
        raise FormatError(f"{path} is not an ONNX file, or is truncated. Export it again.") from error
    try:
        if external.embed(model, path):
            content = model.SerializeToString()
        with np.errstate(all="ignore"):  # overflow of float64 is refused where a layer is made
            return _Reader(model, content).ann()
    except FormatError as error:
        raise FormatError(f"{path}: {str(error).removesuffix('.')}.") from error
    except DAMAGE as error:
        raise FormatError(f"{path} is damaged: {error!s}. Export it again.") from error


class _Reader(Graph):
    """Walks the nodes in file order; `signals` maps the name of a value to what it is in terms of layers."""

    def __init__(self, model: onnx.ModelProto, content: bytes) -> None:
        graph = model.graph
        _check(model)
        self.graph, self.content, self.constants = graph, content, Constants(graph)
        entries = [i for i in graph.input if i.name not in self.constants]
        if len(entries) != 1 or len(graph.output) != 1:
            found = f"it has {len(entries)} inputs and {len(graph.output)} outputs"
            raise FormatError(f"{found}; one of each is converted. Export the network with its images alone and one output")
        self.entry, self.exit = entries[0].name, graph.output[0].name
        kind, sizes = entries[0].type.tensor_type.elem_type, [d.dim_value for d in entries[0].type.tensor_type.shape.dim]
        if len(sizes) not in (2, 4) or min(sizes[1:]) < 1 or sizes[0] < 0 or int(np.prod(sizes[1:], dtype=object)) > MAX_NEURONS:
            raise FormatError(
                f"its input has the shape {sizes} (0: open). Export it with (batch, features) or (batch, channels, rows, columns), open "
                f"in the batch alone"
            )
        if kind not in FLOATS:
            raise FormatError(f"its input holds numbers of the type {kind}. Export it with a float32 input; --scale says what a pixel is")
        self.batch, self.first = sizes[0], tuple(sizes[1:])
        self.maps: Shape = self.first
        self.signals: dict[str, Signal] = {self.entry: Rates(INPUT, self.first, self.first)}
        self.layers: list[Layer] = []

    def ann(self) -> Ann:
        """Return the layers."""
        for node in self.graph.node:
            self._node(node)
        if self.exit not in self.signals:
            raise FormatError(f"its output {self.exit!r} is not what any of its nodes gives. Export it again")
        self._finish(self.signals[self.exit])
        return Ann(_reaching(self.layers), self.first, self.batch, self.content, self.entry, self.exit)

    def _node(self, node: onnx.NodeProto) -> None:
        if node.domain not in ("", "ai.onnx") or not node.output:
            raise refused(node, "this operator is not converted", "Export the network in standard operators (torch.onnx.export)")
        if node.op_type == "Shape" and node.input and (seen := self.signals.get(node.input[0])) is not None:
            self.constants.put(node.output[0], shape_of(node, self.batch, seen.view))
            return
        if self.constants.compute(node):
            return
        handler: Callable[[Graph, onnx.NodeProto], Signal] | None = HANDLERS.get(node.op_type)
        if handler is None:
            why, _, way_out = WAYS_OUT.get(node.op_type, f"this operator is not converted. {RELUS}").partition(". ")
            converted = "" if node.op_type in WAYS_OUT else f". Converted: {', '.join(HANDLERS)}"
            raise refused(node, why, way_out + converted)
        self.signals[node.output[0]] = handler(self, node)

    def taken(self, node: onnx.NodeProto, index: int = 0) -> Signal:
        """Return the signal at a node's input `index`."""
        name = node.input[index] if index < len(node.input) else ""
        if name not in self.signals:
            what = "constants alone" if name in self.constants else f"{name!r}, which is not computed before it"
            raise refused(node, f"it takes {what}", "Export the network again")
        found = self.signals[name]
        if found.ended:
            raise refused(node, "it comes after the Softmax, which must be the end", "Export the network up to its Softmax")
        return found

    def rates(self, node: onnx.NodeProto) -> Rates:
        """Return the rates at a node's input: a sum of rates becomes a layer of its own, any other sum needs a ReLU."""
        found = self.taken(node)
        if isinstance(found, Sum) and found.never_negative and found.name is None:
            found = self.signals[node.input[0]] = self.closed(node, found)
        if isinstance(found, Sum):
            before = f"it follows {found.name!r} without a Relu between" if found.name else "it follows a sum that can be negative"
            raise refused(node, f"{before}, so there are no rates to work with", "Put a Relu before it")
        return found

    def closed(self, node: onnx.NodeProto, sent: Sum, ceiling: float = np.inf) -> Rates:
        """Add a layer with a ReLU, and return its rates."""
        self._add(sent, name_of(node), relu=True, ceiling=ceiling)
        return Rates(len(self.layers) - 1, sent.target, sent.view)

    def _add(self, sent: Sum, name: str, *, relu: bool, ceiling: float = np.inf) -> None:
        size = sent.size
        if size + sum(x.size for x in self.layers) > MAX_NEURONS:
            raise FormatError(f"node {name!r}: with its {size:,} neurons the network has more than {MAX_NEURONS:,}. Convert a smaller one")
        if not all((np.abs(v) < LARGEST).all() for v in (sent.bias, *(b.weights for b in sent.branches))):
            raise FormatError(f"node {name!r}: with what is folded into it, its weights go beyond {LARGEST:g}. Train the network again")
        self.layers.append(Layer(sent.name or sent.label or name, _merged(sent.branches), sent.bias, sent.target, relu, ceiling))

    def _finish(self, sent: Signal) -> None:
        """Close the last layer, which needs no ReLU."""
        if isinstance(sent, Rates) and sent.plain and sent.source != INPUT:
            del self.layers[sent.source + 1 :]  # later layers do not lead to the output
            return
        if isinstance(sent, Rates) and sent.source == INPUT:
            raise FormatError("it has no layer with weights. Export a network that has one")
        self._add(sent if isinstance(sent, Sum) else sent.alone(self.graph.node[-1]), self.exit, relu=False)


def _check(model: onnx.ModelProto) -> None:
    if model.functions or not model.graph.node:
        raise FormatError("it has functions of its own, or no nodes. Export it in standard operators (torch.onnx.export)")
    if sum(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) < 7:
        raise FormatError("its operators are older than opset 7. Export it with a newer one")
    if model.graph.sparse_initializer:
        raise FormatError("it has sparse initializers. Export it with dense ones")


def _merged(branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
    """Merge branches that have the same source and geometry."""
    found: list[Branch] = []
    for b in branches:
        like = [i for i, f in enumerate(found) if replace(f, weights=b.weights) == b and f.weights.shape == b.weights.shape]
        if like:
            found[like[0]] = replace(b, weights=found[like[0]].weights + b.weights)
        else:
            found.append(b)
    return tuple(found)


def _reaching(layers: list[Layer]) -> tuple[Layer, ...]:
    """Return the layers with a path to the last one, renumbered."""
    kept = {len(layers) - 1}
    for i in range(len(layers) - 1, -1, -1):
        if i in kept:
            kept |= {b.source for b in layers[i].branches if b.source != INPUT}
    number = {INPUT: INPUT} | {old: new for new, old in enumerate(sorted(kept))}
    found = (layers[i] for i in sorted(kept))
    return tuple(replace(x, branches=tuple(replace(b, source=number[b.source]) for b in x.branches)) for x in found)
