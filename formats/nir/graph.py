"""A NIR graph as one flat list of nodes and edges: subgraphs resolved, names unique, every edge between existing nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError, nearest

__all__ = ["Graph", "Node", "flatten", "numbers", "text", "whole"]

MAX_NODES = 10_000
MAX_DEPTH = 32
MAX_NAME = 200
LARGEST = 1 << 24  # of a stride, kernel, side, ...

Edge = tuple[str, str]


@dataclass(frozen=True)
class Node:
    """A primitive: its name (`subgraph.node` below the top level), its NIR type and its fields as stored in the file."""

    name: str
    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Graph:
    """Nodes by name, edges in the file's order, and the graph's metadata. Input and Output of subgraphs are nodes of the kind Identity."""

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    metadata: Mapping[str, Any]

    def of_kind(self, kind: str) -> list[Node]:
        """Return the nodes of one NIR type."""
        return [n for n in self.nodes.values() if n.kind == kind]

    def into(self) -> dict[str, list[str]]:
        """Return, by node, the nodes that lead into it."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            found[target].append(source)
        return found

    def out_of(self) -> dict[str, list[str]]:
        """Return, by node, the nodes that it leads to."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            found[source].append(target)
        return found


def flatten(document: Mapping[str, Any]) -> Graph:
    """Return the graph of a NIR document, the form of `nir.NIRGraph.to_dict()`, with subgraphs resolved.

    Raises:
        FormatError: nodes without a type, edges to unknown nodes, duplicate edges, subgraphs without exactly one Input and Output.
    """
    if document.get("type") != "NIRGraph":
        raise FormatError(f"the top of the file is of the type {str(document.get('type'))[:40]!r}, not a NIRGraph")
    walk = _Walk()
    walk.graph(document, "", 0)
    metadata = document.get("metadata")
    graph = Graph(walk.nodes, tuple(walk.edges), metadata if isinstance(metadata, Mapping) else {})
    return _with_ends(graph)


class _Walk:
    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def graph(self, document: Mapping[str, Any], prefix: str, depth: int) -> None:
        """Add the nodes and edges of a graph, with `prefix` before their names."""
        if depth > MAX_DEPTH:
            raise FormatError(f"the subgraph {prefix[:80]!r} is nested deeper than {MAX_DEPTH}")
        members = document.get("nodes")
        if not isinstance(members, Mapping) or not members:
            raise FormatError(f"the graph {prefix or 'at the top'} has no nodes")
        ends: dict[str, tuple[str, str]] = {}
        for name, member in members.items():
            ends[str(name)] = self._member(str(name), member, prefix, depth)
        seen: set[Edge] = set()
        for source, target in _edges(document, prefix):
            if (source, target) in seen:
                raise FormatError(f"the edge {source} -> {target} stands there twice. Remove one, or scale the weights by two")
            seen.add((source, target))
            self.edges.append((self._end(source, ends, prefix, 1), self._end(target, ends, prefix, 0)))

    def _member(self, name: str, member: Any, prefix: str, depth: int) -> tuple[str, str]:
        """Add a node or subgraph; return the nodes where edges into it end and edges out of it start."""
        full = prefix + name
        if not isinstance(member, Mapping) or not isinstance(member.get("type"), str):
            raise FormatError(f"the node {full!r} has no type")
        if len(self.nodes) >= MAX_NODES or len(full) > MAX_NAME or not full.isprintable():
            raise FormatError(f"more than {MAX_NODES:,} nodes, or a name longer than {MAX_NAME} characters: {full[:40]!r}")
        kind = str(member["type"])
        if kind != "NIRGraph":
            if full in self.nodes:
                raise FormatError(f"two nodes are called {full!r}")
            inner = prefix != "" and kind in ("Input", "Output")
            self.nodes[full] = Node(full, "Identity" if inner else kind, member)
            return full, full
        self.graph(member, f"{full}.", depth + 1)
        return self._gate(member, full, "Input"), self._gate(member, full, "Output")

    def _gate(self, member: Mapping[str, Any], full: str, kind: str) -> str:
        found = [str(n) for n, m in member["nodes"].items() if m["type"] == kind]
        if len(found) != 1:
            raise FormatError(f"the subgraph {full} has {len(found)} nodes of the type {kind}; only subgraphs with one are read")
        return f"{full}.{found[0]}"

    def _end(self, name: str, ends: Mapping[str, tuple[str, str]], prefix: str, side: int) -> str:
        if name in ends:
            return ends[name][side]
        if prefix + name in self.nodes:  # straight to a node of a subgraph
            return prefix + name
        near = nearest(name, ends)
        hint = f" Did it mean {near[0]!r}?" if near else ""
        raise FormatError(f"an edge names the node {prefix + name!r}, which there is not.{hint}")


def _edges(document: Mapping[str, Any], prefix: str) -> Iterator[Edge]:
    edges = document.get("edges")
    if edges is None or len(edges) == 0:
        return
    for edge in edges:
        pair: list[Any] = list(edge) if isinstance(edge, list | tuple | np.ndarray) else []
        if len(pair) != 2:
            raise FormatError(f"an edge of the graph {prefix or 'at the top'} is not a pair of names")
        source, target = (p.decode("utf8", "replace") if isinstance(p, bytes) else str(p) for p in pair)
        yield source, target


def _with_ends(graph: Graph) -> Graph:
    """Add missing Input and Output nodes, as implied by a graph's only root and leaf."""
    nodes, edges = dict(graph.nodes), list(graph.edges)
    for kind, around, name in (("Input", graph.into(), "input"), ("Output", graph.out_of(), "output")):
        found = graph.of_kind(kind)
        if len(found) > 1:
            raise FormatError(
                f"it has {len(found)} nodes of the type {kind} ({', '.join(n.name for n in found[:5])}); one is read. Join them"
            )
        bare = [n for n, others in around.items() if not others]
        if not found and len(bare) != 1:
            raise FormatError(f"it has no {kind} node, and {len(bare)} nodes could be where one belongs. Add it")
        if not found:
            free = name
            while free in nodes:
                free += "_"
            nodes[free] = Node(free, kind)
            edges.append((free, bare[0]) if kind == "Input" else (bare[0], free))
    return Graph(nodes, tuple(edges), graph.metadata)


# --- fields -----------------------------------------------------------------------------------------------------------


def numbers(node: Node, name: str, *, default: float | None = None, infinite: bool = False) -> NDArray[Any]:
    """Return a field of real numbers in its stored type.

    Args:
        default: value of a missing field; None: the field is required.
        infinite: whether +infinity is allowed.

    Raises:
        FormatError: it is missing, or holds something else.
    """
    value = node.fields.get(name)
    if value is None:
        if default is None:
            raise FormatError(f"the node {node.name} ({node.kind}) has no {name}")
        return np.asarray(default, np.float64)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or not array.size:
        raise FormatError(f"{name} of the node {node.name} ({node.kind}) is {array.dtype} of shape {array.shape}, not numbers")
    if array.dtype.kind == "f" and not (np.isfinite(array) | (infinite & (array == np.inf))).all():
        raise FormatError(f"{name} of the node {node.name} ({node.kind}) holds values that are not finite numbers")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def whole(node: Node, name: str, count: int, *, least: int, default: int | None = None) -> tuple[int, ...]:
    """Return a field of `count` integers, none below `least`; a single number stands for all.

    Raises:
        FormatError: it is missing, or holds something else.
    """
    values = np.atleast_1d(numbers(node, name, default=default)).ravel().astype(np.float64)  # half precision cannot represent LARGEST
    if values.size not in (1, count) or (values != np.rint(values)).any() or values.min() < least or values.max() > LARGEST:
        raise FormatError(
            f"{name} of the node {node.name} ({node.kind}) is {values[:4].tolist()}; it must be {count} whole numbers >= {least}"
        )
    return tuple(int(v) for v in (values if values.size == count else np.repeat(values, count)))


def text(node: Node, name: str) -> str | None:
    """Return a text field, or None."""
    value = node.fields.get(name)
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    return value if isinstance(value, str) else None
