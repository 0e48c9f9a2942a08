"""From a flat NIR graph to a network: signals between layers, neurons in discrete time, feedback delayed by a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError, FormatError, NetworkError, UsageError
from ...network.axes import advice, fits
from ...network.model import LIF, InputSpec, Network, Synapses, Threshold
from . import order, signals
from .graph import Graph, Node, numbers
from .layer import Layer
from .neurons import INTEGRATORS, NEURONS, Reset, SpikeWhen, Stepped, bar, filtered, spread, stepped
from .shapes import kernel_of, one_dimensional, pool_of, shapes
from .signals import ONE, Signal, Term

__all__ = ["Steps", "build"]

MAX_PARTS = 64  # of a layer with several time constants
LONGEST = 4096  # steps of a delay, as of a network's samples
MAX_DENSE = 1 << 28  # entries of a matrix written out from one that applies to every row of a map
LARGEST_WHOLE = 127  # of the weights of a memoryless threshold unit
PASSES_ON = ("Flatten", "Identity")  # nodes that leave values unchanged


@dataclass(frozen=True)
class Steps:
    """How continuous time becomes steps: `dt` in seconds; whether neurons spike above their threshold or when they reach it.

    `readout`: the threshold given to non-spiking outputs; None: they are refused. `reset`: what a spike does to the potential.
    """

    dt: float
    spike_when: SpikeWhen = "above"
    readout: float | None = None
    reset: Reset = "zero"


def build(graph: Graph, steps: Steps, timesteps: int, entry: InputSpec, provenance: Mapping[str, str], votes: int = 1) -> Network:
    """Return the network of a graph.

    Raises:
        FormatError: nodes that do not fit together, loops without neurons, or unsupported primitives; each is named.
        NetworkError: what no chip can run faithfully: non-spiking outputs, time constants below one step.
        UsageError: a readout for an output that spikes.
        DoesNotFitError: chains of maps too large to multiply out.
    """
    reader = _Builder(graph, steps)
    layers, output = reader.layers()
    populations, projections = order.ordered(reader.entry, reader.shapes[reader.entry], layers, output, reader.owner)
    return Network(populations, projections, timesteps, entry, provenance=provenance, votes=votes)


class _Builder:
    def __init__(self, graph: Graph, steps: Steps) -> None:
        self.graph, self.steps = _reaching(graph), steps
        self.shapes, self.into = shapes(self.graph), self.graph.into()
        self.entry, self.end = self.graph.of_kind("Input")[0].name, self.graph.of_kind("Output")[0].name
        self.signals: dict[str, Signal] = {}
        self.stepped: dict[str, Stepped] = {}
        self.owner: dict[str, str] = {}  # of the parts of a split layer

    def layers(self) -> tuple[list[Layer], str]:
        """Return every layer, in file order, and the name of the output."""
        cells = [n for n in self.graph.nodes.values() if n.kind in (*NEURONS, "Threshold")]
        self.signals = {n.name: self._sent(n) for n in cells}
        self.signals[self.entry] = signals.of_source(self.entry, self.shapes[self.entry])
        for name in order.linear_order(self.graph, set(self.signals)):
            self.signals[name] = self._passed(self.graph.nodes[name])
        made = [layer for n in cells for layer in self._layers_of(n)]
        return self._with_output(made, self.signals[self.end])

    def _sent(self, node: Node) -> Signal:
        """Return the spikes of a layer of neurons; a layer with several time constants is split into parts."""
        shape = self.shapes[node.name]
        if node.kind == "Threshold":
            return signals.of_source(node.name, shape)
        made = self.stepped[node.name] = self._stepped(node)
        if len(made.neurons) == 1:
            return signals.of_source(node.name, shape)
        if len(made.neurons) > MAX_PARTS:
            raise NetworkError(
                f"the neurons of the node {node.name} have {len(made.neurons):,} different time constants; a layer is split into up to "
                f"{MAX_PARTS} parts with one each. Train one time constant per layer"
            )
        parts = {self._part(node.name, i): np.flatnonzero(made.group == i) for i in range(len(made.neurons))}
        self.owner |= dict.fromkeys(parts, f"{node.name}/")
        return signals.joined(parts, shape)

    def _stepped(self, node: Node) -> Stepped:
        steps = self.steps
        return stepped(node, self.shapes[node.name], steps.dt, steps.spike_when, steps.readout, steps.reset)

    def _part(self, name: str, number: int) -> str:
        part = f"{name}.{number}"
        while part in self.graph.nodes:
            part += "_"
        return part

    def _arriving(self, node: Node) -> Signal:
        """Return the sum of a node's inputs."""
        sources = self.into[node.name]
        if not sources:
            raise FormatError(f"no edge leads to the node {node.name} ({node.kind})")
        parts = [self.signals[s] for s in sources]
        for source, part in zip(sources, parts, strict=True):
            if not fits(part.shape, parts[0].shape):
                sent = f"{sources[0]} sends {parts[0].shape} and {source} sends {part.shape}"
                way_out = advice(part.shape, parts[0].shape)
                raise FormatError(f"{sent}, and both lead to {node.name} ({node.kind}).{way_out}")
        return signals.added(parts, parts[0].shape)

    def _passed(self, node: Node) -> Signal:
        """Return the output of a linear node."""
        x, shape, where = self._arriving(node), self.shapes[node.name], f"the node {node.name} ({node.kind})"
        if node.kind in ("Affine", "Linear"):
            return self._linear(node, x, shape, where)
        if node.kind in ("Conv1d", "Conv2d"):
            return self._convolved(node, x, shape, where)
        if node.kind in ("SumPool2d", "AvgPool2d"):
            size, stride, padding = pool_of(node)
            return signals.pooled(x, size, stride, padding, 1.0 / (size[0] * size[1]) if node.kind == "AvgPool2d" else 1.0, where)
        x = replace(x, shape=shape)
        if node.kind == "Scale":
            return signals.scaled(x, spread(node, numbers(node, "scale"), shape, "scale").astype(np.float64), where)
        if node.kind == "Delay":
            return signals.delayed(x, self._delays(node, shape), where)
        return self._filtered(node, x, where) if node.kind in INTEGRATORS else x

    def _filtered(self, node: Node, x: Signal, where: str) -> Signal:
        """Return an LI's output, a decaying current; unused if the LI is the network's output, which gets neurons instead."""
        if x.size != int(np.prod(x.shape)) or node.kind != "LI" or any(t.tau != 1.0 for t in x.terms):
            if self._is_readout(node.name):
                return signals.of_source(node.name, x.shape)
            raise NetworkError(
                f"{where} does not spike and comes before other neurons. An LI there is their synaptic current; two of them, one behind "
                f"another, a CubaLI or an I cannot be represented by neurons of a chip. Train with one LI before each layer of neurons"
            )
        tau, gain, rest = filtered(node, x.shape, self.steps.dt)
        if (tau != tau[0]).any():
            if self._is_readout(node.name):
                return signals.of_source(node.name, x.shape)
            raise NetworkError(
                f"{where} filters the input of neurons with {np.unique(tau).size:,} different time constants, {tau.min():g}..{tau.max():g} "
                f"steps; a layer of neurons has one synaptic current of one time constant. Train one tau for all of {node.name}"
            )
        if x.bias.any():
            x = signals.added([replace(x, bias=np.zeros(x.size)), signals.constant(x.bias, x.shape)], x.shape)
        sent = signals.scaled(x, gain, where)
        return replace(sent, terms=tuple(replace(t, tau=float(tau[0])) for t in sent.terms), bias=rest)

    def _is_readout(self, name: str) -> bool:
        """Whether a node leads only to the Output, through nodes that leave values unchanged."""
        onward = self.graph.out_of()
        while len(onward[name]) == 1 and onward[name] != [self.end] and self.graph.nodes[onward[name][0]].kind in PASSES_ON:
            name = onward[name][0]
        return onward[name] == [self.end] and len(self.into[self.end]) == 1

    def _linear(self, node: Node, x: Signal, shape: tuple[int, ...], where: str) -> Signal:
        weight = numbers(node, "weight")
        rows = x.size // weight.shape[1]
        bias = spread(node, numbers(node, "bias"), shape if rows > 1 else (weight.shape[0],), "bias") if node.kind == "Affine" else None
        if rows > 1:
            if weight.size * rows**2 > MAX_DENSE:
                raise DoesNotFitError(f"{where} takes {rows:,} rows through one matrix of {weight.shape}, too many to write out")
            weight = np.kron(np.eye(rows), weight)
        sent = signals.dense(x, weight, shape, where)
        return sent if bias is None else replace(sent, bias=sent.bias + bias)

    def _convolved(self, node: Node, x: Signal, shape: tuple[int, ...], where: str) -> Signal:
        kernel = kernel_of(node)
        channels = kernel.weight.shape[1] * kernel.groups
        area = x.size // channels
        source = (channels, 1, area) if one_dimensional(node) else self._maps(node, x, channels, area)
        sent = signals.convolved(replace(x, shape=source), kernel, where)
        bias = spread(node, numbers(node, "bias", default=0.0), (len(kernel.weight),), "bias")
        return replace(sent, shape=shape, bias=sent.bias + np.repeat(bias, sent.size // bias.size))

    def _maps(self, node: Node, x: Signal, channels: int, area: int) -> tuple[int, int, int]:
        given = node.fields.get("input_shape")
        if given is not None and np.asarray(given).size:
            height, width = (int(n) for n in np.broadcast_to(np.asarray(given).ravel(), 2))
            return channels, height, width
        return channels, x.shape[-2], area // x.shape[-2]

    def _delays(self, node: Node, shape: tuple[int, ...]) -> NDArray[np.int64]:
        seconds = spread(node, numbers(node, "delay"), shape, "delay").astype(np.float64)
        late = np.rint(seconds / self.steps.dt)
        if late.min() < 0 or late.max() > LONGEST or (np.abs(seconds / self.steps.dt - late) > 1e-3).any():
            raise NetworkError(
                f"the node {node.name} delays by {seconds.min():g} to {seconds.max():g} s; a delay must be 0..{LONGEST} whole steps of "
                f"{self.steps.dt:g} s. Use another --dt"
            )
        return late.astype(np.int64)

    # --- layers -------------------------------------------------------------------------------------------------------

    def _layers_of(self, node: Node) -> list[Layer]:
        shape, arriving = self.shapes[node.name], self._arriving(node)
        if not fits(arriving.shape, shape):
            raise FormatError(f"the node {node.name} ({node.kind}) is of the shape {shape}; {arriving.shape} arrive")
        arriving = replace(arriving, shape=shape)
        if node.kind == "Threshold":
            return [self._gate(node, shape, arriving)]
        made, where = self.stepped[node.name], f"the node {node.name}"
        x = signals.scaled(arriving, made.gain, where)
        if len(made.neurons) == 1:
            return [self._layer(node.name, node.name, made.neurons[0], x, made.drive, made.alive)]
        layers: list[Layer] = []
        for i, neuron in enumerate(made.neurons):
            part = np.flatnonzero(made.group == i)
            rows, name = signals.rows_of(x, part, where), self._part(node.name, i)
            layers.append(self._layer(name, node.name, neuron, rows, made.drive[part], made.alive[part]))
        return layers

    def _gate(self, node: Node, shape: tuple[int, ...], x: Signal) -> Layer:
        """Return a Threshold: a memoryless threshold unit if its inputs are integers, else neurons without memory."""
        level = spread(node, numbers(node, "threshold", infinite=True), shape, "threshold").astype(np.float64)
        alive = np.isfinite(level)
        top = float(level[alive].max(initial=-np.inf))
        top = top if top > 0.0 else 1.0
        bias = x.bias + np.where(alive, top - np.where(alive, level, 0.0), 0.0)
        whole = all(_is_whole(signals.matrix_of(t.link, shape).data) and t.source not in (ONE, self.entry) for t in x.terms)
        reached = bar(top, self.steps.spike_when)
        if whole and all(t.tau == 1.0 for t in x.terms):
            return Layer(node.name, shape, Threshold(reached), x, bias, alive)
        neuron = self._with_current(node.name, LIF(1.0, reached, 0.0, decay_input=False), x)
        return Layer(node.name, shape, neuron, x, bias, alive)

    def _layer(self, name: str, node: str, neuron: LIF, x: Signal, drive: NDArray[np.float64], alive: NDArray[np.bool_]) -> Layer:
        """Return neurons on the signal x.

        If the neurons have a decaying current, the constant enters it as a separate source, since that current takes time to rise.
        """
        held = self._with_current(node, neuron, x)
        if self.steps.reset == "subtract-late" and np.isfinite(held.tau):
            x = with_late_reset(name, held, x)
        if neuron.tau_syn != 1.0 and x.bias.any():
            x = signals.added([replace(x, bias=np.zeros(x.size)), signals.constant(x.bias, x.shape)], x.shape)
        return Layer(name, x.shape, held, x, x.bias + drive, alive)

    def _with_current(self, node: str, neuron: LIF, x: Signal) -> LIF:
        """Return neurons with a synaptic current in place of the LI before them."""
        taus = {t.tau for t in x.terms}
        if taus <= {1.0}:
            return neuron
        if len(taus) > 1 or neuron.tau_syn != 1.0:
            what = (
                "has a synaptic current of its own"
                if neuron.tau_syn != 1.0
                else "also receives input from others, or from others with another filter"
            )
            raise NetworkError(
                f"an LI filters the input of the node {node}, and {node} {what}; a layer of neurons has one synaptic current. Train with "
                f"the same LI on all of its inputs, or with none"
            )
        return replace(neuron, tau_syn=taus.pop())

    def _with_output(self, layers: list[Layer], sent: Signal) -> tuple[list[Layer], str]:
        """Return the layers and the name of the Output's source; a linear output gets neurons if a readout was requested."""
        readout = self._readout()
        if readout is not None:
            return self._read_out(layers, readout)
        spiking = self._spiking_output(sent)
        if spiking is not None and self.steps.readout is not None:
            raise UsageError(
                f"readout is a threshold for an Output that receives numbers; the Output {self.end} receives the spikes of {spiking}. "
                f"Leave it out."
            )
        if spiking is not None:
            return [*layers, *([_joined(spiking, sent)] if len(sent.terms) > 1 else [])], spiking
        if self.steps.readout is None:
            raise NetworkError(
                f"the Output {self.end} receives numbers, not the spikes of one layer of neurons, and a chip counts spikes. Let a layer of "
                f"neurons lead straight to it, or put neurons with a threshold there with --set readout=1.0, which changes the network"
            )
        soft, reached = self.steps.reset != "zero", bar(self.steps.readout, self.steps.spike_when)
        neuron = self._with_current(self.end, LIF(np.inf, reached, 0.0, decay_input=False, soft_reset=soft), sent)
        shape = (sent.size,)
        return [*layers, Layer(self.end, shape, neuron, replace(sent, shape=shape), sent.bias, np.ones(sent.size, np.bool_))], self.end

    def _spiking_output(self, sent: Signal) -> str | None:
        """Return the layer, split or whole, whose unchanged spikes reach the Output; None if something else does."""
        if sent.bias.any():
            return None
        last = sent.terms[0] if len(sent.terms) == 1 else None
        if last is not None:
            plain = last.link is None and not last.lag and last.tau == 1.0
            cells = self.stepped.keys() | {n.name for n in self.graph.of_kind("Threshold")}
            return last.source if plain and last.source in cells else None
        return next((name for name in self.stepped if sent.terms == self.signals[name].terms), None)

    def _readout(self) -> Node | None:
        """Return the integrator that alone leads to the Output, through nodes that leave values unchanged, if any."""
        sources = self.into[self.end]
        while len(sources) == 1 and self.graph.nodes[sources[0]].kind in PASSES_ON:
            sources = self.into[sources[0]]
        found = [self.graph.nodes[s] for s in sources]
        return found[0] if len(found) == 1 and found[0].kind in INTEGRATORS else None

    def _read_out(self, layers: list[Layer], node: Node) -> tuple[list[Layer], str]:
        """Return the layers with the integrator at the Output replaced by neurons: the same equation, with a threshold."""
        if self.steps.readout is None:
            raise NetworkError(
                f"the node {node.name} ({node.kind}) does not spike, and a chip sends and counts spikes. Train "
                f"with neurons that spike, or give it a threshold above rest with --set readout=1.0, which changes the network"
            )
        sent, made = self._sent(node), self._layers_of(node)
        return [*layers, *made, *([] if len(made) == 1 else [_joined(node.name, sent)])], node.name


def _joined(name: str, parts: Signal) -> Layer:
    """Return memoryless threshold units, one for each neuron of a split layer, that merge the spikes of its parts."""
    return Layer(name, parts.shape, Threshold(1.0), parts, parts.bias, np.ones(parts.size, np.bool_))


def with_late_reset(name: str, neuron: LIF, x: Signal) -> Signal:
    """Return the input of neurons whose threshold is subtracted a step after the spike, unaffected by that step's leak.

        v <- b v + x - c s(t - 1),    b = 1 - 1/tau,    c = v_threshold - v_reset

    A soft reset subtracts c before the leak, so b c of it is left after; the rest, c / tau, becomes self-inhibition of each neuron. What
    passes through a synaptic current would decay over the steps that follow; a second connection, a step later, takes back what is left.
    """
    amount = (neuron.v_threshold - neuron.v_reset) / (1.0 if neuron.decay_input else neuron.tau)
    parts = [(-amount, 1)] + ([] if neuron.tau_syn == 1.0 else [(amount * (1.0 - 1.0 / neuron.tau_syn), 2)])
    places = np.arange(x.size + 1), np.arange(x.size, dtype=np.int32)
    own = [Term(name, Synapses(*places, np.full(x.size, weight), (x.size, x.size)), lag) for weight, lag in parts]
    return replace(x, terms=(*x.terms, *own))


def _is_whole(data: NDArray[Any]) -> bool:
    return bool((data == np.rint(data)).all() and np.abs(data).max(initial=0.0) <= LARGEST_WHOLE)


def _reaching(graph: Graph) -> Graph:
    """Return the graph without nodes that have no path to the Output, such as probes and secondary readouts."""
    into = graph.into()
    kept, waiting = set[str](), [n.name for n in graph.of_kind("Output")]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += into[name]
    entry = graph.of_kind("Input")[0].name
    if entry not in kept:
        raise FormatError(f"no way leads from the Input {entry} to the Output")
    nodes = {name: node for name, node in graph.nodes.items() if name in kept}
    return Graph(nodes, tuple(e for e in graph.edges if e[0] in kept and e[1] in kept), graph.metadata)
