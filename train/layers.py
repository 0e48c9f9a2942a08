"""Spiking networks as graphs: layers of LIF neurons, max pools and ANDs of spikes, and the connections between them.

    layer        s = LIF( b + sum of its connections ),  times a gate if it has one
    connection   a = norm( op( avg_pool( dropout( sum of the sources' spikes ) ) ) )
    max pool     s = OR of a window;    and    s = AND of the sources, some of them inverted

Spikes are (T, N, ...) everywhere. A static sample is processed by the first layers once for all T steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ..errors import UsageError
from .connections import INPUT, Connection, Shape
from .model import IntegerPart, Model
from .neurons import HALF, FusedLIFNode
from .quantise import IntegerArithmetic, integer_layer
from .standardise import Standardise
from .subject import chosen_layers

__all__ = ["And", "MaxPool", "SpikingLayer", "SpikingNetwork", "Unit"]


class SpikingLayer(nn.Module):
    """LIF neurons driven by the sum of their connections:  s = gate * LIF(b + a1 + a2 + ...).

    Args:
        connections: all of the same output shape; either all or none from the input.
        repeat: T for a layer with static input, which is computed once; None for spikes or temporal input.

    Attributes:
        bias: one number per channel (C,), or one per neuron in the layer's shape, added to the input of each step; None in training,
            where normalisation does that.
        gate: a factor for each neuron's spikes, of the layer's shape; None: the layer has no gates.
        integer: the chip's arithmetic, set in the integer stage of training.
    """

    def __init__(self, connections: Sequence[Connection], repeat: int | None = None) -> None:
        super().__init__()
        self.connections = nn.ModuleList(connections)
        self.neuron = FusedLIFNode(repeat=repeat)
        self.shape = connections[0].shape
        self.gate: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        self.integer: IntegerArithmetic | None = None
        self.standardised: tuple[Standardise, ...] = ()  # in integers, what the weights take up; no submodule, the network has it
        if any(c.shape != self.shape for c in connections):
            raise UsageError(f"Connections to the same layer give it the shapes {', '.join(str(c.shape) for c in connections)}.")
        if self.is_first and any(INPUT not in c.sources for c in connections):
            raise UsageError("A layer takes the input or spikes, not both. Put a layer between the input and this one.")

    @property
    def inputs(self) -> Sequence[Connection]:
        """The connections."""
        return cast("Sequence[Connection]", self.connections)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources."""
        return tuple(name for connection in self.inputs for name in connection.sources)

    @property
    def is_first(self) -> bool:
        """Whether the layer receives the sample itself."""
        return INPUT in self.sources

    @property
    def linear(self) -> nn.Linear:
        """The linear layer of the only connection.

        Raises:
            UsageError: there are several connections, or it is a convolution.
        """
        op = self.inputs[0].op
        if len(self.inputs) > 1 or not isinstance(op, nn.Linear):
            raise UsageError(f"The layer of shape {self.shape} is not a single linear layer.")
        return op

    def forward(self, spikes: Mapping[str, Tensor]) -> Tensor:
        """Return the spikes (T, N, *shape) as 0/1 (times the gate); in integer arithmetic once `integer` is set."""
        sums = [sum_of(spikes, connection.sources) for connection in self.inputs]
        if self.integer is not None:
            weight, bias = self.linear.weight, None
            if self.standardised:
                weight, bias = self.standardised[0].taken_up(self.inputs[0])
            return integer_layer(sums[0].flatten(2 if self.neuron.repeat is None else 1), weight, self.neuron, self.integer, bias)
        current = self.inputs[0](sums[0])
        for connection, s in zip(self.inputs[1:], sums[1:], strict=True):
            current = current + connection(s)
        if self.bias is not None:
            bias = self.bias
            current = current + (bias if bias.dim() > 1 else bias.view(-1, *[1] * (len(self.shape) - 1)))
        s = self.neuron(current)
        return s if self.gate is None else s * self.gate


def sum_of(spikes: Mapping[str, Tensor], sources: Sequence[str]) -> Tensor:
    """Return the sum of several layers' spikes."""
    total = spikes[sources[0]]
    for name in sources[1:]:
        total = total + spikes[name]
    return total


class MaxPool(nn.Module):
    """The OR of the spikes in each window, which is their maximum; on a chip a memoryless threshold unit with threshold 1.

    Args:
        source: name of a layer of shape `source_shape` (C, H, W).
        size, stride, padding: of the windows; stride None: size.

    Raises:
        UsageError: no window fits.
    """

    def __init__(self, source: str, source_shape: Shape, size: int, *, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        self.sources, self.source_shape = (source,), tuple(source_shape)
        self.size, self.stride, self.padding = size, stride or size, padding
        sides = ((side + 2 * padding - size) // self.stride + 1 for side in source_shape[1:])
        self.shape: Shape = (source_shape[0], *sides)
        if len(self.shape) != 3 or min(self.shape) < 1 or source == INPUT:
            raise UsageError(f"Max pooling by {size} does not fit {source} of shape {source_shape}. Use larger samples or fewer pools.")

    def forward(self, spikes: Mapping[str, Tensor]) -> Tensor:
        """Return the spikes (T, N, *shape)."""
        s = spikes[self.sources[0]]
        return max_pool2d(s.flatten(0, 1), self.size, self.stride, self.padding).unflatten(0, s.shape[:2])


class And(nn.Module):
    """The AND of layers of the same shape, some inverted:  s = prod(s_i) prod(1 - s_j); on a chip  sum s_i - sum s_j >= number of s_i.

    Args:
        sources: names of layers that must spike.
        inverted: names of layers that must not.
        shape: of each of them.
    """

    def __init__(self, sources: Sequence[str], shape: Shape, inverted: Sequence[str] = ()) -> None:
        super().__init__()
        self.positive, self.inverted, self.shape = tuple(sources), tuple(inverted), tuple(shape)
        if not self.positive or INPUT in self.sources:
            raise UsageError("An AND needs at least one layer that spikes, and takes no input.")

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources."""
        return (*self.positive, *self.inverted)

    def forward(self, spikes: Mapping[str, Tensor]) -> Tensor:
        """Return the spikes (T, N, *shape)."""
        s = spikes[self.positive[0]]
        for name in self.positive[1:]:
            s = s * spikes[name]
        for name in self.inverted:
            s = s * (1 - spikes[name])
        return s


Unit = SpikingLayer | MaxPool | And


class SpikingNetwork(Model):
    """Layers, pools and ANDs in topological order.

    Args:
        units: by name; the last is the output, a flat layer of classes * votes neurons.
        shape: of a sample, or of a frame of a temporal one, as the first layers receive it.
        timesteps: T.
        classes: labels are 0..classes - 1.
        votes: output neurons per class, adjacent to each other, which are averaged.
        temporal: whether samples carry their own T frames.
        dense: connections that UPR does not prune, by the names of `named_ops`.
        uncounted: connections that UPR's connectivity leaves out, see `reachable`.

    Attributes:
        exempt, unpruned: connections with weights that no method prunes; the former are not counted in the sparsity either.
        standardise: takes the mean off the samples and divides them by their standard deviation; None: they enter as they are.

    Raises:
        UsageError: a source that does not precede its target or has the wrong shape, or an output of the wrong size.
    """

    def __init__(
        self,
        units: Mapping[str, Unit],
        shape: Shape,
        timesteps: int,
        classes: int,
        *,
        votes: int = 1,
        temporal: bool = False,
        dense: Sequence[str] = (),
        uncounted: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(dict(units))
        self.shape, self.timesteps, self.classes = tuple(shape), timesteps, classes
        self.votes, self.temporal = votes, temporal
        self.dense, self.uncounted = tuple(dense), tuple(uncounted)
        self.standardise: Standardise | None = None
        self.exempt, self.unpruned = tuple[str, ...](), tuple[str, ...]()
        _check_network(self)

    def units(self) -> Iterator[tuple[str, Unit]]:
        """Yield layers, pools and ANDs with their names, starting at the input."""
        yield from cast("Iterator[tuple[str, Unit]]", iter(self.layers.items()))

    def named_layers(self) -> Iterator[tuple[str, SpikingLayer]]:
        """Yield the layers with their names, starting at the input."""
        for name, unit in self.units():
            if isinstance(unit, SpikingLayer):
                yield name, unit

    def named_ops(self) -> Iterator[tuple[str, Connection]]:
        """Yield the connections with weights; names are the layer's, with _2, _3 for the second and third."""
        for name, layer in self.named_layers():
            weighted = [c for c in layer.inputs if c.op is not None]
            for i, connection in enumerate(weighted):
                yield (name if i == 0 else f"{name}_{i + 1}"), connection

    @property
    def is_integer(self) -> bool:
        """Whether the layers run the chip's integer arithmetic."""
        return any(layer.integer is not None for _, layer in self.named_layers())

    @property
    def last(self) -> str:
        """The name of the output layer."""
        return list(self.layers)[-1]

    @property
    def largest(self) -> int:
        """The number of neurons in the largest layer."""
        return max((math.prod(layer.shape) for _, layer in self.named_layers()), default=1)

    def counts(self, output: Tensor) -> Tensor:
        """Return the spikes of each class (N, classes), as whole numbers."""
        return (output.to(torch.float64) * self.votes).round().sum(0)

    def integer_parts(self) -> dict[str, IntegerPart]:
        """Return the layers with their weights, which must be linear."""
        return {name: self._part(layer) for name, layer in self.named_layers()}

    def _part(self, layer: SpikingLayer) -> IntegerPart:
        weight, bias = layer.linear.weight, None
        if layer.is_first and self.standardise is not None:
            weight, bias = self.standardise.taken_up(layer.inputs[0])
        return IntegerPart(weight.detach(), None if bias is None else bias.detach(), layer.neuron, layer.is_first)

    def use_integers(self, arithmetic: Mapping[str, IntegerArithmetic] | None) -> None:
        """Run integer arithmetic from now on, or floats."""
        for name, layer in self.named_layers():
            layer.integer = arithmetic[name] if arithmetic else None
            taken = layer.is_first and layer.integer is not None and self.standardise is not None
            layer.standardised = (self.standardise,) if taken and self.standardise is not None else ()

    def copied(self) -> SpikingNetwork:
        """Return a copy in float64, in evaluation mode."""
        return copy.deepcopy(self).double().eval()

    @property
    def supports_integers(self) -> bool:
        """Whether the network can be trained in integers: a chain of linear layers without biases, dropout or pools."""
        return all(isinstance(unit, SpikingLayer) and _is_plain(unit) for _, unit in self.units())

    def kinds(self) -> dict[str, str]:
        """Return the kind of each connection with weights, "conv" or "linear", in the order of `named_ops`."""
        return {name: "linear" if isinstance(connection.op, nn.Linear) else "conv" for name, connection in self.named_ops()}

    def leave_out(self, exempt: Iterable[str], unpruned: Iterable[str]) -> None:
        """Let methods leave connections as they are, see `exempt` and `unpruned`; names as in `subject.chosen_layers`.

        Raises:
            UsageError: an unknown name, a connection named for both, or none left to prune.
        """
        kinds = self.kinds()
        first, second = (
            chosen_layers(names, kinds, list(kinds), f"layer in net.{what}") for what, names in (("exempt", exempt), ("unpruned", unpruned))
        )
        if twice := sorted(first & second):
            raise UsageError(f"net.exempt and net.unpruned both name {twice[0]}, and the sparsity counts it or does not. Name it in one.")
        if not set(kinds) - first - second:
            raise UsageError(f"net.exempt and net.unpruned name all layers ({', '.join(kinds)}): none is left to prune. Name fewer.")
        self.exempt, self.unpruned = (tuple(name for name in kinds if name in names) for names in (first, second))

    def pruned_ops(self) -> Iterator[tuple[str, Connection]]:
        """Yield the connections of `named_ops` that methods may prune."""
        for name, connection in self.named_ops():
            if name not in self.exempt and name not in self.unpruned:
                yield name, connection

    def weights(self) -> dict[str, nn.Parameter]:
        """Return every weight that pruning may remove: (out, in, kernel height, width) of convolutions, (out, in) of linear layers."""
        return {name: _weight(connection) for name, connection in self.pruned_ops()}

    def positions(self) -> dict[str, Tensor]:
        """Return how many synapses a weight represents when unrolled: int64, broadcastable to the weight of the same name."""
        return {name: connection.positions for name, connection in self.pruned_ops()}

    def counted(self) -> dict[str, nn.Parameter]:
        """Return the weights that are not pruned and count in the sparsity."""
        return {name: _weight(connection) for name, connection in self.named_ops() if name in self.unpruned}

    def normalised(self) -> dict[str, tuple[nn.Module, nn.Module]]:
        """Return the layers among `weights` with batch normalisation, in training, each with it."""
        pairs = {name: (c.op, c.norm) for name, c in self.pruned_ops()}
        return {name: (op, norm) for name, (op, norm) in pairs.items() if op is not None and norm is not None and norm.training}

    def others(self) -> dict[str, nn.Parameter]:
        """Return the other trainable parameters, besides weights and gates, by name: scale and shift of normalisations, biases."""
        owned = {id(p) for p in (*self.weights().values(), *self.gates().values())}
        return {name: p for name, p in self.named_parameters() if id(p) not in owned}

    def gates(self) -> dict[str, nn.Parameter]:
        """Return the existing gates by layer."""
        return {name: layer.gate for name, layer in self.named_layers() if layer.gate is not None}

    def gated(self) -> list[str]:
        """Return the layers that UPR gates: all with a convolution except those that receive the sample itself."""
        return [name for name, layer in self.named_layers() if len(layer.shape) == 3 and not layer.is_first]

    def add_gates(self, names: Iterable[str] | None = None) -> dict[str, nn.Parameter]:
        """Give layers a gate of their shape, initially open, unless they have one; return the gates of these layers.

        Args:
            names: of layers; None: those of `gated`.
        """
        layers = dict(self.named_layers())
        found: dict[str, nn.Parameter] = {}
        for name in self.gated() if names is None else names:
            layer, weight = layers[name], next(self.parameters())
            if layer.gate is None:
                layer.gate = nn.Parameter(torch.ones(layer.shape, dtype=weight.dtype, device=weight.device))
            found[name] = layer.gate
        return found

    def populations(self, x: Tensor) -> dict[str, Tensor]:
        """Return the spikes (T, N, ...) of every population, from a reset state; see `forward` for `x`."""
        functional.reset_net(self)
        spikes = {INPUT: self._arranged(x)}
        for name, unit in self.units():
            spikes[name] = unit(spikes)
        del spikes[INPUT]
        return spikes

    def forward(self, x: Tensor) -> Tensor:
        """Return the output spikes (T, N, classes), averaged over the output neurons per class; at least float32, also under autocast.

        Args:
            x: (N, ...), or (N, T, ...) for temporal samples: real values; the integers themselves once the layers are integer.
        """
        *_, last = self.populations(x).values()
        last = last.float() if last.dtype in HALF else last
        return last if self.votes == 1 else last.unflatten(2, (self.classes, self.votes)).mean(3)

    def _arranged(self, x: Tensor) -> Tensor:
        """Reshape samples to (N, *shape), or (T, N, *shape), and standardise them if asked to."""
        x = x.reshape(*x.shape[:2], *self.shape).transpose(0, 1) if self.temporal else x.reshape(len(x), *self.shape)
        return x if self.standardise is None or self.is_integer else self.standardise(x)


def _weight(connection: Connection) -> nn.Parameter:
    return cast(nn.Parameter, cast(nn.Linear, connection.op).weight)


def _is_plain(layer: SpikingLayer) -> bool:
    first = layer.inputs[0]
    linear = isinstance(first.op, nn.Linear) and cast(object, first.op.bias) is None and len(first.sources) == 1
    return len(layer.inputs) == 1 and linear and first.pool == 1 and not first.dropout and layer.gate is None and layer.bias is None


def _check_network(network: SpikingNetwork) -> None:
    shapes: dict[str, Shape] = {INPUT: network.shape}
    names = [name for name, _ in network.named_ops()]
    if INPUT in network.layers or len(set(names)) < len(names):
        raise UsageError(f"Layers and their connections have the names {', '.join(names)}; they must be distinct, and none {INPUT!r}.")
    for name, unit in network.units():
        wanted = {s: c.source_shape for c in unit.inputs for s in c.sources} if isinstance(unit, SpikingLayer) else {}
        for source in unit.sources:
            need = wanted.get(source, getattr(unit, "source_shape", unit.shape))
            if shapes.get(source) != need:
                raise UsageError(f"The layer {name} takes spikes of shape {need} from {source!r}, whose shape is {shapes.get(source)}.")
        if isinstance(unit, SpikingLayer) and unit.neuron.repeat != (network.timesteps if unit.is_first and not network.temporal else None):
            raise UsageError(f"The layer {name} repeats its input {unit.neuron.repeat} times in a network of {network.timesteps} steps.")
        shapes[name] = unit.shape
    last = next(reversed(shapes.values()))
    if last != (network.classes * network.votes,) or network.votes < 1:
        raise UsageError(f"The output has the shape {last}, not {network.classes} classes times {network.votes} votes.")
