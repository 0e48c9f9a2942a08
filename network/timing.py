"""Local time and chip time: components that must be stepped together, depths, and the proof that all paths agree.

A population at depth d runs its local step t at the chip's step  t + d.  A connection takes one step and its delay, and the target's
step t receives what the source sent in its step  t - lag,  so for every projection

    depth(target) = depth(source) + 1 + delay - lag.

The module uses only names and edges, so that the network can build on it: an edge is anything with the fields of a projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ..errors import NetworkError

__all__ = ["Edge", "arrivals", "components", "depths"]


class Edge(Protocol):
    """The fields of a projection that concern time; `lag` in local steps, `delay` in chip steps."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def lag(self) -> int: ...
    @property
    def delay(self) -> int: ...


def components(names: Sequence[str], edges: Sequence[Edge]) -> list[list[str]]:
    """Return the populations as groups that lie on common cycles, sources before targets; most groups have one member.

    Groups and members are in the order of `names` wherever the edges leave a choice.
    """
    index = {name: i for i, name in enumerate(names)}
    ends = np.array([(index[e.source], index[e.target]) for e in edges], np.int64).reshape(-1, 2)
    graph = sp.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    labels: list[int] = connected_components(graph, connection="strong")[1].tolist()  # pyright: ignore[reportUnknownVariableType]
    groups: dict[int, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(label, []).append(name)
    needs: dict[int, set[int]] = {label: set() for label in groups}
    for source, target in ends.tolist():
        needs[labels[target]].add(labels[source])
    ordered: list[int] = []
    while len(ordered) < len(groups):
        ready = next(label for label in groups if label not in ordered and needs[label] <= {label, *ordered})
        ordered.append(ready)
    return [groups[label] for label in ordered]


def depths(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the smallest depths that give every projection the time it takes: the longest paths,  1 + delay - lag  per projection.

    The input, first of `names`, has depth 0; all others at least 1, so that no population runs ahead of the samples.

    Raises:
        NetworkError: a loop takes longer on the chip than its lags allow; a projection that closes it, its lag and the need are named.
    """
    depth = {name: int(i > 0) for i, name in enumerate(names)}
    reason: dict[str, Edge] = {}
    for _ in names:
        late = [e for e in edges if depth[e.source] + 1 + e.delay - e.lag > depth[e.target]]
        if not late:
            return depth
        for edge in edges:
            need = depth[edge.source] + 1 + edge.delay - edge.lag
            if need > depth[edge.target]:
                depth[edge.target], reason[edge.target] = need, edge
    late = [e for e in edges if depth[e.source] + 1 + e.delay - e.lag > depth[e.target]]
    if late:
        raise _too_slow(names, reason, late[0].source)
    return depth


def _too_slow(names: Sequence[str], reason: dict[str, Edge], start: str) -> NetworkError:
    """Name the loop for which no depths exist: after one round per population, tracing predecessors back leads into it."""
    for _ in names:
        start = reason[start].source
    loop = [reason[start]]
    while loop[-1].source != start:
        loop.append(reason[loop[-1].source])
    order = {name: i for i, name in enumerate(names)}
    closing = max(loop, key=lambda e: order[e.source] - order[e.target])
    excess = sum(1 + e.delay - e.lag for e in loop)
    around = loop[::-1]
    first = [e.name for e in around].index(closing.name) + 1
    way = " -> ".join([e.source for e in around[first:] + around[:first]] + [closing.target])
    return NetworkError(
        f"Projection {closing.name} closes the loop {way} with a lag of {closing.lag}. Every connection takes a step on the chip, so it "
        f"needs a lag of at least {closing.lag + excess}. Give it that, or shorten the loop."
    )


def arrivals(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the chip steps by which each population runs behind the input, found by following lags and delays along every projection.

    Populations that no path connects to the input, in either direction, start at 1.

    Raises:
        NetworkError: two paths disagree, or a population would run ahead of the input; the projection and what it needs are named.
    """
    around: dict[str, list[Edge]] = {name: [] for name in names}
    for edge in edges:
        around[edge.source].append(edge)
        around[edge.target].append(edge)
    arrival: dict[str, int] = {}
    for first, name in enumerate(names):
        if name not in arrival:
            found = _follow(name, around)
            shift = 1 - min(found.values()) if first else 0
            arrival |= {n: t + shift for n, t in found.items()}
    for edge in edges:
        need = arrival[edge.target] - arrival[edge.source] - 1 + edge.lag
        if edge.delay != need:
            raise NetworkError(
                f"Projection {edge.name} has a delay of {edge.delay}, but the other paths between {edge.source} and {edge.target} need "
                f"{need}: spikes of different time steps would meet. Balance the network's delays first (the pass `balance`)."
            )
    early = min(arrival, key=lambda n: arrival[n])
    if arrival[early] < 0:
        raise NetworkError(f"Population {early} would run {-arrival[early]} steps ahead of the input. Balance the network's delays first.")
    return arrival


def _follow(start: str, around: dict[str, list[Edge]]) -> dict[str, int]:
    arrival, waiting = {start: 0}, [start]
    while waiting:
        name = waiting.pop()
        for edge in around[name]:
            other = edge.target if edge.source == name else edge.source
            if other not in arrival:
                step = 1 + edge.delay - edge.lag
                arrival[other] = arrival[name] + (step if edge.source == name else -step)
                waiting.append(other)
    return arrival
