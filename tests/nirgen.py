"""NIR graphs at random, of numbers that float64 holds without rounding, and NIR's equations stepped by forward Euler, node by node.

Nothing here is shared with the reader: the evaluator keeps every node's value at every step, and knows which edges lead back because the
generator made them so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

nir: Any = import_module("nir")  # its own types say less than it takes
DT = 2.0**-10
Float = NDArray[np.float64]


@dataclass
class Sketch:
    """A graph in the making. `back`: edges that arrive a step late."""

    nodes: dict[str, Any] = field(default_factory=dict[str, Any])
    edges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    back: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    def add(self, name: str, node: Any, shape: tuple[int, ...], *sources: str) -> str:
        self.nodes[name], self.shapes[name] = node, shape
        self.edges += [(s, name) for s in sources]
        return name

    def graph(self) -> Any:
        return nir.NIRGraph(self.nodes, self.edges, type_check=False)


class Generator:
    """Draws graphs of two to four layers of neurons with chains of linear nodes between them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sketch = Sketch()
        self.count = 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}" if self.rng.random() < 0.7 else f"net.{kind}.{self.count}"

    def draw(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def weights(self, *shape: int) -> NDArray[np.float32]:
        return ((self.rng.integers(-4, 8, shape) * (self.rng.random(shape) < 0.7)) / 8).astype(np.float32)

    def parameter(self, shape: tuple[int, ...], *values: float, kind: str = "any") -> Float:
        """A parameter as frameworks write it: a number, one in an array, the same for all, or one for each neuron."""
        form = self.draw("scalar", "one", "same", "each") if kind == "any" else kind
        if form == "scalar":
            return np.array(self.draw(*values))
        if form == "one":
            return np.array([self.draw(*values)])
        return np.full(shape, self.draw(*values)) if form == "same" else self.rng.choice(values, shape)

    def neuron(self, shape: tuple[int, ...], source: str, *, kinds: tuple[str, ...] = ("LIF", "IF", "CubaLIF", "Threshold")) -> str:
        kind = self.draw(*kinds)
        name = self.name(kind.lower())
        whole = self.draw("same", "each", "same")
        p = lambda *values: np.broadcast_to(self.parameter(shape, *values, kind=whole), shape).copy()  # noqa: E731
        steps = self.parameter(shape, 1.0, 2.0, 4.0, kind=self.draw("same", "same", "each"))
        reset, v_threshold = p(0.0, -0.25), p(0.25, 0.75)
        reset, v_threshold = (reset, v_threshold) if whole == "same" else (reset, reset + p(0.5, 1.0))
        if kind == "LIF":
            r = self.draw(np.ones(shape), steps, p(0.5, 2.0))
            node: Any = nir.LIF(tau=steps * DT, r=r, v_leak=p(0.0, 0.125), v_threshold=v_threshold, v_reset=reset)
        elif kind == "IF":
            node = nir.IF(r=p(1.0, 0.5) / DT, v_threshold=v_threshold, v_reset=reset)
        elif kind == "CubaLIF":
            syn = self.parameter(shape, 1.0, 2.0, 4.0, kind="same")
            w_in = self.draw(syn, np.ones(shape))
            node = nir.CubaLIF(syn * DT, steps * DT, p(1.0, 2.0), p(0.0, 0.125), v_threshold, reset, w_in)
        else:
            node = nir.Threshold(self.parameter(shape, -0.25, 0.25, 0.5, 1.0))
        return self.sketch.add(name, node, shape, source)

    def linear(self, source: str, targets: int) -> str:
        inputs = int(np.prod(self.sketch.shapes[source]))
        weight = self.weights(targets, inputs)
        node = nir.Affine(weight, self.weights(targets)) if self.rng.random() < 0.5 else nir.Linear(weight)
        return self.sketch.add(self.name("fc"), node, (targets,), source)

    def flat(self, source: str) -> str:
        shape = self.sketch.shapes[source]
        if len(shape) == 1:
            return source
        node = nir.Flatten({"input": np.array(shape)}, start_dim=self.draw(0, -len(shape)), end_dim=-1)
        return self.sketch.add(self.name("flatten"), node, (int(np.prod(shape)),), source)

    def conv(self, source: str) -> str:
        channels, *sides = self.sketch.shapes[source]
        groups = channels if self.rng.random() < 0.3 else 1
        out = groups * self.draw(1, 2)
        axes = len(sides)
        kernel = [int(self.rng.integers(1, min(3, n) + 1)) for n in sides]
        dilation = [1 if k == 1 or (k - 1) * 2 + 1 > n else self.draw(1, 1, 2) for k, n in zip(kernel, sides, strict=True)]
        stride, padding = [self.draw(1, 2) for _ in sides], [self.draw(0, 1, 2) for _ in sides]
        if self.rng.random() < 0.6:
            stride, padding = stride[:1] * axes, padding[:1] * axes
        weight, bias = self.weights(out, channels // groups, *kernel), self.weights(out) * self.draw(0, 1)
        pad: Any = tuple(padding)
        if self.rng.random() < 0.2:
            stride, pad = [1] * axes, self.draw("same", "valid")
        given = tuple(sides) if self.rng.random() < 0.6 else None
        if axes == 1:
            node: Any = nir.Conv1d(
                given and given[0], weight, stride[0], pad if isinstance(pad, str) else pad[0], dilation[0], groups, bias
            )
        else:
            node = nir.Conv2d(given, weight, tuple(stride), pad, tuple(dilation), groups, bias)
        result = correlate(np.zeros((channels, *sides)), node)
        return self.sketch.add(self.name("conv"), node, result.shape, source)

    def pool(self, source: str) -> str:
        shape = self.sketch.shapes[source]
        size = self.draw(1, 2)
        kind = self.draw(nir.SumPool2d, nir.AvgPool2d)
        stride, padding = self.draw((size, size), (1, 2)), (0, 0) if size == 1 else self.draw((0, 0), (1, 0))
        node = kind(kernel_size=np.array([size, size]), stride=np.array(stride), padding=np.array(padding))
        return self.sketch.add(self.name("pool"), node, windows(np.zeros(shape), node).shape, source)

    def between(self, source: str) -> str:
        """Some linear nodes after neurons or the input."""
        shape = self.sketch.shapes[source]
        if self.rng.random() < 0.25:
            delay = self.parameter(shape, 0.0, 1.0, 2.0) * DT
            source = self.sketch.add(self.name("delay"), nir.Delay(delay), shape, source)
        if len(shape) == 3 and min(shape[1:]) >= 2 and self.rng.random() < 0.5:
            source = self.pool(source)
        if len(shape) > 1 and self.rng.random() < 0.6:
            source = self.conv(source)
            if len(shape) == 3 and min(self.sketch.shapes[source][1:]) >= 2 and self.rng.random() < 0.2:
                source = self.pool(source)
        else:
            source = self.linear(self.flat(source), int(self.rng.integers(2, 6)))
        shape = self.sketch.shapes[source]
        if self.rng.random() < 0.3:
            scale = self.parameter(shape, 0.5, 1.0, 2.0)
            source = self.sketch.add(self.name("scale"), nir.Scale(scale), shape, source)
        if self.rng.random() < 0.2:
            source = self.sketch.add(self.name("delay"), nir.Delay(self.parameter(shape, 0.0, 1.0) * DT), shape, source)
        return source

    def recurrent(self, cells: list[str]) -> None:
        """An edge from neurons back to their own or earlier ones, a step late, or as late as a delay on the loop says."""
        source, target = sorted(self.rng.integers(0, len(cells), 2).tolist())[::-1]
        a, b = cells[source], cells[target]
        inputs, targets = (int(np.prod(self.sketch.shapes[n])) for n in (a, b))
        through = self.flat(a)
        if self.rng.random() < 0.4 or any(isinstance(n, nir.Delay) for n in self.sketch.nodes.values()):
            late = self.draw(1.0, 2.0, 3.0)
            through = self.sketch.add(self.name("delay"), nir.Delay(np.full(inputs, late * DT)), (inputs,), through)
        elif through != a:
            self.sketch.back.add((a, through))
        name = self.sketch.add(self.name("back"), nir.Linear(self.weights(targets, inputs)), (targets,), through)
        if through == a:
            self.sketch.back.add((a, name))
        self.sketch.edges.append((name, b))

    def make(self) -> Sketch:
        shape = self.draw((6,), (2, 5), (2, 5, 4), (1, 4, 4))
        latest = self.sketch.add("input", nir.Input(np.array(shape)), shape)
        cells: list[str] = []
        for _ in range(int(self.rng.integers(1, 4))):
            through = self.between(latest)
            latest = self.neuron(self.sketch.shapes[through], through)
            told = len(self.sketch.shapes[latest]) == 1 or not isinstance(self.sketch.nodes[latest], nir.Threshold)
            if cells and told and self.rng.random() < 0.4:  # a branch past the latest layer
                size = int(np.prod(self.sketch.shapes[latest]))
                self.sketch.edges.append((self.linear(self.flat(cells[0]), size), latest))
            cells.append(latest)
        if self.rng.random() < 0.4:
            self.recurrent(cells)
        if self.rng.random() < 0.3:
            latest = self.flat(latest)
        self.sketch.add("output", nir.Output(np.array(self.sketch.shapes[latest])), self.sketch.shapes[latest], latest)
        return self.sketch


def correlate(x: Float, node: Any) -> Float:
    """What a Conv1d or Conv2d sends, by its definition."""
    weight: NDArray[Any] = node.weight
    axes = weight.ndim - 2
    stride, dilation = (np.broadcast_to(np.asarray(v), axes).tolist() for v in (node.stride, node.dilation))
    spans = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if isinstance(node.padding, str):
        around = [(s // 2, s - s // 2) if node.padding == "same" else (0, 0) for s in spans]
    else:
        around = [(int(p), int(p)) for p in np.broadcast_to(np.asarray(node.padding), axes)]
    padded = np.pad(x, [(0, 0), *around])
    sides = [(n - s - 1) // t + 1 for n, s, t in zip(padded.shape[1:], spans, stride, strict=True)]
    out = np.zeros((len(weight), *sides))
    each, inner = len(weight) // int(node.groups), weight.shape[1]
    for place in np.ndindex(*sides):
        start = [p * s for p, s in zip(place, stride, strict=True)]
        cut = padded[(slice(None), *(slice(a, a + s + 1, d) for a, s, d in zip(start, spans, dilation, strict=True)))]
        for o in range(len(weight)):
            first = o // each * inner
            out[(o, *place)] = (weight[o].astype(np.float64) * cut[first : first + inner]).sum()
    return out + np.asarray(node.bias, np.float64).reshape(-1, *[1] * axes)


def windows(x: Float, node: Any) -> Float:
    """What a SumPool2d or AvgPool2d sends."""
    (ky, kx), (sy, sx), (py, px) = (np.asarray(v).tolist() for v in (node.kernel_size, node.stride, node.padding))
    padded = np.pad(x, [(0, 0), (py, py), (px, px)])
    rows, columns = (padded.shape[1] - ky) // sy + 1, (padded.shape[2] - kx) // sx + 1
    out = np.zeros((len(x), rows, columns))
    for i, j in np.ndindex(rows, columns):
        out[:, i, j] = padded[:, i * sy : i * sy + ky, j * sx : j * sx + kx].sum(axis=(1, 2))
    return out / (ky * kx) if isinstance(node, nir.AvgPool2d) else out


def passed(node: Any, x: Float) -> Float:
    """What a node without state sends."""
    if isinstance(node, nir.Affine | nir.Linear):
        return node.weight.astype(np.float64) @ x.ravel() + getattr(node, "bias", 0.0)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return correlate(x, node)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return windows(x, node)
    if isinstance(node, nir.Scale):
        return x * node.scale
    return (x > node.threshold).astype(np.float64) if isinstance(node, nir.Threshold) else x


class Evaluator:
    """Steps a graph; `history` has every node's value by step."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.history: dict[str, list[Float]] = {name: [] for name in sketch.nodes}
        self.v: dict[str, Float] = {}
        self.i: dict[str, Float] = {}
        self.into = {name: [s for s, t in sketch.edges if t == name] for name in sketch.nodes}

    def run(self, steps: Float) -> dict[str, Float]:
        """Return, by node, its values (T, ...) for inputs (T, ...)."""
        for t, x in enumerate(steps):
            self.history["input"].append(x)
            for name in self.sketch.nodes:
                self.value(name, t)
        return {name: np.stack(values) for name, values in self.history.items()}

    def value(self, name: str, t: int) -> Float:
        shape = self.sketch.shapes[name]
        if t < 0:
            return np.zeros(shape)
        if len(self.history[name]) <= t:
            self.history[name].append(self.send(name, t).reshape(shape))
        return self.history[name][t]

    def arriving(self, name: str, t: int) -> Float:
        total: Any = 0.0
        for source in self.into[name]:
            sent = self.value(source, t - ((source, name) in self.sketch.back))
            total = total + (sent if np.ndim(total) == 0 else sent.reshape(np.shape(total)))
        return total

    def send(self, name: str, t: int) -> Float:
        node = self.sketch.nodes[name]
        if isinstance(node, nir.Delay):
            late = np.broadcast_to(np.rint(node.delay / DT).astype(int), self.sketch.shapes[name])
            parts = {d: self.arriving(name, t - d) if t >= d else np.zeros(late.shape) for d in np.unique(late).tolist()}
            return np.select([late == d for d in parts], [np.broadcast_to(p, late.shape) for p in parts.values()])
        x = self.arriving(name, t)
        return self.fire(name, node, x) if isinstance(node, nir.IF | nir.LIF | nir.CubaLIF) else passed(node, x)

    def fire(self, name: str, node: Any, x: Float) -> Float:
        v = self.v.get(name, np.zeros(x.shape) + node.v_reset)
        if isinstance(node, nir.IF):
            v = v + DT * node.r * x
        elif isinstance(node, nir.LIF):
            v = v + DT / node.tau * (node.v_leak - v + node.r * x)
        else:
            i = self.i.get(name, np.zeros(x.shape))
            i = i + DT / node.tau_syn * (node.w_in * x - i)
            v = v + DT / node.tau_mem * (node.v_leak - v + node.r * i)
            self.i[name] = i
        fired = v > node.v_threshold
        self.v[name] = np.where(fired, node.v_reset, v)
        return fired.astype(np.float64)
