"""The output shape of every node of a graph: propagated from the Input, and as nodes declare it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from ...errors import FormatError
from ...network.axes import advice, fits
from .graph import LARGEST, Graph, Node, numbers, text, whole
from .neurons import INTEGRATORS, NEURONS, spread
from .signals import Kernel

__all__ = ["kernel_of", "one_dimensional", "pool_of", "shapes"]

Shape = tuple[int, ...]
MAX_NEURONS = 1 << 24
CELLS = (*NEURONS, *INTEGRATORS, "Threshold")
SIZED = {"IF": "v_threshold", "Threshold": "threshold", "Scale": "scale", "Delay": "delay", "I": "r"}


def shapes(graph: Graph) -> dict[str, Shape]:
    """Return the output shape of each node; batch axes of size 1 before maps are dropped.

    Raises:
        FormatError: nodes that do not fit together, or whose shape cannot be inferred.
    """
    known: dict[str, Shape] = {}
    into, out_of = graph.into(), graph.out_of()
    waiting = deque([n.name for n in graph.of_kind("Input")] + list(graph.nodes))  # from the input onwards, before nodes on loops
    while waiting:
        name = waiting.popleft()
        if name in known:
            continue
        node = graph.nodes[name]
        arriving = next((known[p] for p in into[name] if p in known), None)
        shape = _entry(graph, node, out_of[name]) if node.kind == "Input" else _sent(node, arriving)
        if shape is not None:
            if min(shape, default=1) < 1 or max(shape, default=1) > LARGEST or int(np.prod(shape, dtype=object)) > MAX_NEURONS:
                raise FormatError(f"the node {name} ({node.kind}) has the output shape {shape}, which is empty or too large")
            known[name] = shape
            waiting.extendleft(n for n in out_of[name] if n not in known)
    unknown = [name for name in graph.nodes if name not in known]
    if unknown:
        raise FormatError(f"nothing tells the shape of the node {unknown[0]} ({graph.nodes[unknown[0]].kind}). Give its Input a shape")
    _check_arriving(graph, known)
    if sum(int(np.prod(known[n.name])) for n in graph.nodes.values() if n.kind in CELLS) > MAX_NEURONS:
        raise FormatError(f"it has more than {MAX_NEURONS:,} neurons")
    return known


def _check_arriving(graph: Graph, known: dict[str, Shape]) -> None:
    """Check the shape that every node declares against all of its inputs."""
    entry = known[graph.of_kind("Input")[0].name]
    for name, sources in graph.into().items():
        node = graph.nodes[name]
        for source in sources:
            arriving = known[source]
            _sent(node, arriving)
            if (field := _field(node)) is not None:
                spread(node, numbers(node, field, infinite=True), arriving, field)
            for said in _said(node):
                _check(node, said, arriving)
            if node.kind in ("Affine", "Linear"):
                _check_rows(node, arriving, entry)


def _check(node: Node, declared: Shape, arriving: Shape) -> None:
    """Refuse shapes that differ in axis order or size.

    Raises:
        FormatError: the message gives both shapes and the transposition that would fit.
    """
    if not fits(arriving, declared):
        way_out = advice(arriving, declared)
        raise FormatError(f"the node {node.name} ({node.kind}) is of the shape {declared}; {arriving} arrives.{way_out}")


def _said(node: Node) -> list[Shape]:
    """Return the shape that a node with equal input and output shapes declares, if any."""
    key = {"Output": "shape", "Identity": "shape", "Flatten": "input_type"}.get(node.kind)
    stored = None if key is None else node.fields.get(key)
    if isinstance(stored, Mapping):
        stored = next(iter(stored.values()), None)
    array = np.asarray(stored)
    if stored is None or array.dtype.kind not in "iuf" or not array.size or array.ndim > 1:
        return []
    shape = _without_batch(tuple(int(n) for n in np.atleast_1d(array)))
    return [shape] if int(np.prod(shape)) != 1 else []  # (1,) is what the nir package infers from neurons whose parameters are one number


def _check_rows(node: Node, arriving: Shape, entry: Shape) -> None:
    """Refuse an Input shape that begins with a batch axis, which would be taken for rows of one sample.

    Raises:
        FormatError: a matrix takes one of as many rows as the Input's first axis has.
    """
    sources = numbers(node, "weight").shape[-1]
    if len(entry) > 1 and len(arriving) == 2 and arriving[0] == entry[0] > 1 and arriving[1] == sources != int(np.prod(arriving)):
        raise FormatError(
            f"the node {node.name} ({node.kind}) takes {sources} values; {arriving} arrives, since the Input's shape {entry} begins with "
            f"{entry[0]}. If that is a batch, give the Input the shape of one sample, {entry[1:]}; if not, put a Flatten before the matrix"
        )


def _entry(graph: Graph, node: Node, heard_by: list[str]) -> Shape | None:
    """Return the shape of the input; if it declares none, the shape that the first node it feeds requires."""
    stored = node.fields.get("shape")
    if stored is None or np.asarray(stored).size == 0:
        return next((s for n in heard_by if (s := _asked(graph.nodes[n])) is not None), None)
    values = np.atleast_1d(numbers(node, "shape")).ravel().astype(np.float64)
    if (values != np.rint(values)).any() or values.min() < 1 or values.max() > LARGEST or values.size > 8:
        raise FormatError(f"the shape of the node {node.name} (Input) is {values[:8].tolist()}; it must be whole numbers from 1 on")
    return _without_batch(tuple(int(v) for v in values))


def _without_batch(shape: Shape) -> Shape:
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    return shape[1:] if len(shape) == 2 and shape[0] == 1 else shape


def _asked(node: Node) -> Shape | None:
    """Return the input shape that a node declares."""
    if node.kind in ("Affine", "Linear"):
        return (numbers(node, "weight").shape[-1],)
    if one_dimensional(node) or node.kind == "Conv2d":
        given = node.fields.get("input_shape")
        return None if given is None else _conv_source(node, None)
    return _sent(node, None) if node.kind in (*CELLS, "Scale", "Delay") else None


def _sent(node: Node, arriving: Shape | None) -> Shape | None:
    """Return a node's output shape, None while it is unknown."""
    kind = node.kind
    if kind in CELLS or kind in ("Scale", "Delay"):
        return _parameters(node, arriving)
    if kind in ("Affine", "Linear"):
        return _linear(node, arriving)
    if kind in ("Conv1d", "Conv2d"):
        source = _conv_source(node, arriving)
        return None if source is None else _conv_target(node, source)
    return None if arriving is None else _reshaped(node, arriving)


def _reshaped(node: Node, arriving: Shape) -> Shape:
    if node.kind in ("SumPool2d", "AvgPool2d"):
        return _pooled(node, arriving)
    if node.kind == "Flatten":
        return _flattened(node, arriving)
    if node.kind in ("Identity", "Output"):
        return arriving
    raise FormatError(f"the node {node.name} is of the type {node.kind[:40]!r}, which cannot be read; see docs/interchange.md")


def _field(node: Node) -> str | None:
    """Return the parameter whose shape is that of neurons, scales or delays; None for other nodes."""
    if node.kind not in CELLS and node.kind not in ("Scale", "Delay"):
        return None
    return SIZED.get(node.kind, "v_leak" if node.kind in INTEGRATORS else "v_threshold")


def _parameters(node: Node, arriving: Shape | None) -> Shape | None:
    """Return the shape of neurons, scales and delays: that of their input, or of their parameters."""
    own = _without_batch(numbers(node, _field(node) or "", infinite=True).shape)
    size = int(np.prod(own))
    if arriving is None:
        return own if size > 1 else None
    if size == int(np.prod(arriving)):
        _check(node, own, arriving)
    return own if size == int(np.prod(arriving)) and len(own) >= len(arriving) else arriving


def _linear(node: Node, arriving: Shape | None) -> Shape | None:
    weight = numbers(node, "weight")
    if weight.ndim != 2:
        raise FormatError(f"the weight of the node {node.name} ({node.kind}) has {weight.ndim} axes; matrices of 2 are read")
    targets, sources = weight.shape
    if arriving is None or int(np.prod(arriving)) == sources:
        return (targets,)
    if arriving[-1] == sources:  # each row of maps through the same matrix
        return (*arriving[:-1], targets)
    raise FormatError(f"the node {node.name} ({node.kind}) takes {sources} values; {arriving} arrive")


def one_dimensional(node: Node) -> bool:
    """Whether a node convolves along one axis."""
    return node.kind == "Conv1d"


def kernel_of(node: Node) -> Kernel:
    """Return the kernel of a Conv1d or Conv2d on a map; along one axis the map is one row.

    Raises:
        FormatError: an invalid kernel, stride, padding, dilation or number of groups.
    """
    one = one_dimensional(node)
    weight = numbers(node, "weight")
    if weight.ndim != (3 if one else 4):
        raise FormatError(f"the weight of the node {node.name} ({node.kind}) has {weight.ndim} axes; it must have {3 if one else 4}")
    count = 1 if one else 2
    stride, dilation = (whole(node, n, count, least=1, default=1) for n in ("stride", "dilation"))
    (groups,) = whole(node, "groups", 1, least=1, default=1)
    if len(weight) % groups:
        raise FormatError(f"the node {node.name} ({node.kind}) has {len(weight)} channels out, which {groups} groups cannot share")
    said, odd = text(node, "padding"), (0,) * count
    spans = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if said == "same":
        if stride != (1,) * count:
            raise FormatError(f"the node {node.name} ({node.kind}) pads 'same' with a stride of {stride}, which is not defined")
        padding, odd = tuple(s // 2 for s in spans), tuple(s % 2 for s in spans)
    elif said is not None and said != "valid":
        raise FormatError(f"the padding of the node {node.name} ({node.kind}) is {said[:20]!r}, neither same nor valid")
    else:
        padding = (0,) * count if said else whole(node, "padding", count, least=0, default=0)
    if one:
        return Kernel(weight[:, :, None], (1, stride[0]), (0, padding[0]), (1, dilation[0]), groups, (0, odd[0]))
    return Kernel(weight, _pair(stride), _pair(padding), _pair(dilation), groups, _pair(odd))


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]


def _conv_source(node: Node, arriving: Shape | None) -> Shape | None:
    """Return the input maps (channels, [rows,] columns) of a convolution."""
    weight, one = numbers(node, "weight"), one_dimensional(node)
    axes = 1 if one else 2
    if weight.ndim != axes + 2:
        raise FormatError(f"the weight of the node {node.name} ({node.kind}) has {weight.ndim} axes; it must have {axes + 2}")
    channels = weight.shape[1] * whole(node, "groups", 1, least=1, default=1)[0]
    given = node.fields.get("input_shape")
    sides = whole(node, "input_shape", axes, least=1) if given is not None and np.asarray(given).size else None
    if arriving is None:
        return None if sides is None else (channels, *sides)
    own = (channels, *sides) if sides is not None else None
    if own is not None and int(np.prod(own)) == int(np.prod(arriving)):
        _check(node, own, arriving)
        return own
    candidate = arriving if len(arriving) == axes + 1 else (channels, *arriving) if len(arriving) == axes and channels == 1 else None
    if candidate is None or candidate[0] != channels or own is not None:
        raise FormatError(f"the node {node.name} ({node.kind}) takes maps of {own or f'{channels} channels'}; {arriving} arrive")
    return candidate


def _conv_target(node: Node, source: Shape) -> Shape:
    rows, columns = (1, source[1]) if one_dimensional(node) else (source[1], source[2])
    kernel = kernel_of(node)
    sides: list[int] = []
    for i, side in enumerate((rows, columns)):
        span = kernel.dilation[i] * (kernel.weight.shape[2 + i] - 1) + 1
        sides.append((side + 2 * kernel.padding[i] + kernel.one_sided[i] - span) // kernel.stride[i] + 1)
    if min(sides) < 1:
        raise FormatError(f"the kernel of the node {node.name} ({node.kind}) does not fit its map of {source[1:]}")
    return (len(kernel.weight), *(sides[1:] if one_dimensional(node) else sides))


def pool_of(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return the window, stride and padding of a pool."""
    size = _pair(whole(node, "kernel_size", 2, least=1))
    stride = _pair(whole(node, "stride", 2, least=1)) if node.fields.get("stride") is not None else size
    padding = _pair(whole(node, "padding", 2, least=0, default=0))
    if padding[0] >= size[0] or padding[1] >= size[1]:
        raise FormatError(f"the node {node.name} ({node.kind}) pads {padding}, as much as its window {size}")
    return size, stride, padding


def _pooled(node: Node, arriving: Shape) -> Shape:
    if len(arriving) != 3:
        raise FormatError(f"the node {node.name} ({node.kind}) takes maps (channels, rows, columns); {arriving} arrive")
    size, stride, padding = pool_of(node)
    sides = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(arriving[1:], size, stride, padding, strict=True)]
    if min(sides) < 1:
        raise FormatError(f"the window of the node {node.name} ({node.kind}) does not fit its map of {arriving[1:]}")
    return (arriving[0], *sides)


def _flattened(node: Node, arriving: Shape) -> Shape:
    """Return the shape after a Flatten. Axes beyond the shape's own include a batch axis: everything is flattened then."""
    (start,), (end,) = (_axis(node, n, d) for n, d in (("start_dim", 1), ("end_dim", -1)))
    start, end = start + len(arriving) * (start < 0), end + len(arriving) * (end < 0)
    if not 0 <= start <= end < len(arriving):
        return (int(np.prod(arriving)),)
    return (*arriving[:start], int(np.prod(arriving[start : end + 1])), *arriving[end + 1 :])


def _axis(node: Node, name: str, default: int) -> tuple[int]:
    value = numbers(node, name, default=float(default)).ravel()
    if value.size != 1 or not -8 <= value[0] <= 8 or value[0] != np.rint(value[0]):
        raise FormatError(f"{name} of the node {node.name} (Flatten) is {value[:4].tolist()}; it must be an axis")
    return (int(value[0]),)
