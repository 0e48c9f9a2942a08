"""The order of nodes and layers: linear nodes after their sources, layers so that only delayed projections lead back."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from ...network.model import LIF, Connectivity, Population, Projection
from . import signals
from .graph import Graph
from .layer import Layer
from .signals import ONE

__all__ = ["linear_order", "ordered"]


def linear_order(graph: Graph, sources: set[str]) -> list[str]:
    """Return the nodes that are not `sources` in topological order.

    Raises:
        FormatError: a loop without neurons.
    """
    into, out_of = graph.into(), graph.out_of()
    missing = {name: sum(s not in sources for s in into[name]) for name in graph.nodes if name not in sources}
    ready = [name for name, count in missing.items() if not count][::-1]
    found: list[str] = []
    while ready:
        name = ready.pop()
        found.append(name)
        for target in out_of[name]:
            if target in missing:
                missing[target] -= 1
                if not missing[target]:
                    ready.append(target)
    if len(found) < len(missing):
        loop = next(name for name in missing if name not in set(found))
        raise FormatError(f"the node {loop} ({graph.nodes[loop].kind}) lies on or behind a loop that no neuron interrupts")
    return found


def ordered(
    entry: str,
    shape: tuple[int, ...],
    layers: Sequence[Layer],
    output: str,
    owner: Mapping[str, str],
    precision: type[np.floating[Any]] = np.float32,
) -> tuple[tuple[Population, ...], tuple[Projection, ...]]:
    """Return populations and projections, the input first and the output last.

    A projection on a loop without a Delay is one step late if it leads back (found by walking from the input
    in file order) or leaves the output; a Delay on a loop is the total delay. `owner`: by part of a layer, what stands for
    the layer, whose parts are all late or all not. `precision`: of weights and biases; networks use float32.
    """
    by_name = {layer.name: layer for layer in layers}
    edges = [(t.source, layer.name, t.lag) for layer in layers for t in layer.arriving.terms]
    found = _late(entry, output, [(owner.get(s, s), owner.get(t, t), lag) for s, t, lag in edges])
    late = {(s, t) for s, t, _ in edges if (owner.get(s, s), owner.get(t, t)) in found}
    names = [entry, *_sorted(list(by_name), output, [(s, t) for s, t, lag in edges if not lag and (s, t) not in late])]
    made = _Made(set(names), precision)
    for name in names[1:]:
        made.add(by_name[name], late)
    known = {p.name: p for p in made.populations}
    rest = [known[n] for n in names[1:]]
    ones = [p for p in made.populations if p.name not in set(names)]
    return (Population(entry, shape, None), *ones, *rest), tuple(made.projections)


def _late(entry: str, output: str, edges: list[tuple[str, str, int]]) -> set[tuple[str, str]]:
    """Return the pairs of layers whose direct projections lead back.

    A depth-first walk from the input finds them; it visits first the layers near the input and far from the output: otherwise a shortcut
    past some layers would make the later of them seem the earlier.
    """
    near, far = _hops(entry, [(s, t) for s, t, _ in edges]), _hops(output, [(t, s) for s, t, _ in edges])
    rank = {name: near.get(name, len(edges)) - far.get(name, len(edges)) for s, t, _ in edges for name in (s, t)}
    late = {(s, t) for s, t, lag in edges if s == output and not lag}
    onward: dict[str, list[str]] = {}
    for source, target, lag in edges:
        if not lag and (source, target) not in late:
            onward.setdefault(source, []).append(target)
    for others in onward.values():
        others.sort(key=lambda name: rank[name])
    done, open_ = set[str](), set[str]()
    for start in sorted(onward, key=lambda name: (name != entry, rank[name])):
        stack = [(start, iter(onward.get(start, ())))] if start not in done else []
        open_ |= {name for name, _ in stack}
        while stack:
            name, others = stack[-1]
            target = next(others, None)
            if target is None:
                stack.pop()
                open_.discard(name)
                done.add(name)
            elif target in open_:
                late.add((name, target))
            elif target not in done:
                open_.add(target)
                stack.append((target, iter(onward.get(target, ()))))
    return late


def _hops(start: str, edges: list[tuple[str, str]]) -> dict[str, int]:
    """Return, by name, the smallest number of edges from `start`."""
    onward: dict[str, list[str]] = {}
    for source, target in edges:
        onward.setdefault(source, []).append(target)
    found, waiting = {start: 0}, deque([start])
    while waiting:
        name = waiting.popleft()
        for target in onward.get(name, ()):
            if target not in found:
                found[target] = found[name] + 1
                waiting.append(target)
    return found


def _sorted(names: list[str], output: str, edges: list[tuple[str, str]]) -> list[str]:
    """Return names in topological order, keeping their given order where there is a choice, the output last."""
    index = {name: i if name != output else len(names) for i, name in enumerate(names)}
    onward: dict[str, list[str]] = {}
    missing = dict.fromkeys(names, 0)
    for source, target in edges:
        if source in index:
            onward.setdefault(source, []).append(target)
            missing[target] += 1
    ready = [(index[n], n) for n in names if not missing[n]]
    heapq.heapify(ready)
    found: list[str] = []
    while ready:
        name = heapq.heappop(ready)[1]
        found.append(name)
        for target in onward.get(name, ()):
            missing[target] -= 1
            if not missing[target]:
                heapq.heappush(ready, (index[target], target))
    return found


class _Made:
    """Populations and projections as they are built; shared maps stay shared."""

    def __init__(self, names: set[str], precision: type[np.floating[Any]] = np.float32) -> None:
        self.precision = precision
        self.names, self.populations = names, list[Population]()
        self.projections: list[Projection] = []
        self.taken = set[str]()
        self.shared: dict[tuple[int, tuple[int, ...]], tuple[Any, Connectivity]] = {}
        self.ones: str | None = None

    def add(self, layer: Layer, late: set[tuple[str, str]]) -> None:
        """Add a layer and its inputs."""
        shape, bias = _by_channel(layer.shape, layer.bias, self.precision)
        alive = None if layer.alive.all() else layer.alive
        self.populations.append(Population(layer.name, shape, layer.neuron, bias=bias, alive=alive))
        for term in layer.arriving.terms:
            synapses = self._single(term.link, layer.shape)
            if not synapses.weights:
                continue
            source = self._one(layer.name) if term.source == ONE else term.source
            lag = term.lag or int((term.source, layer.name) in late)
            self.projections.append(Projection(self._free(f"{source}_{layer.name}"), source, layer.name, synapses, lag=lag))

    def _single(self, link: Any, shape: tuple[int, ...]) -> Connectivity:
        """Return a map in the network's precision, the same object for the same map."""
        key = (id(link), shape)
        if key not in self.shared:
            made = signals.matrix_of(link, shape)
            with np.errstate(over="ignore"):
                data = made.data.astype(self.precision)
            if not np.isfinite(data).all():
                raise FormatError("weights times gains go beyond float32")
            self.shared[key] = (link, made.with_data(data))
        return self.shared[key][1]

    def _free(self, name: str) -> str:
        count, free = 1, name
        while free in self.taken:
            count += 1
            free = f"{name}_{count}"
        self.taken.add(free)
        return free

    def _one(self, layer: str) -> str:
        """Return the name of a neuron that spikes at every step, placed after the first layer that needs it."""
        if self.ones is None:
            self.ones = f"{layer}.bias"
            while self.ones in self.names:
                self.ones += "_"
            neuron = LIF(1.0, 1.0, 0.0, decay_input=False)
            self.populations.append(Population(self.ones, (1,), neuron, bias=np.full(1, 2.0, np.float32)))
        return self.ones


def _by_channel(
    shape: tuple[int, ...], bias: NDArray[np.float64], precision: type[np.floating[Any]]
) -> tuple[tuple[int, ...], NDArray[Any] | None]:
    """Return the shape and one bias per channel, or a flat shape and one per neuron where biases differ within a channel."""
    with np.errstate(over="ignore"):
        single = bias.astype(precision)
    if not np.isfinite(single).all():
        raise FormatError("biases times gains go beyond float32")
    if not single.any():
        return shape, None
    channels = single.reshape(shape[0], -1)
    if (channels == channels[:, :1]).all():
        return shape, channels[:, 0].copy()
    return (single.size,), single
