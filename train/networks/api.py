"""What a file in this folder builds on: layers that know the shape of their input, and checks of options.

A network is a module with  Options, a frozen dataclass,  and  build(shape, classes, timesteps, options, *, temporal) -> SpikingNetwork.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from ...errors import UsageError
from ..connections import INPUT, Connection, Shape
from ..layers import And, MaxPool, SpikingLayer, SpikingNetwork, Unit

__all__ = [
    "INPUT",
    "And",
    "Connection",
    "Conv",
    "MaxPool",
    "Shape",
    "Shortcut",
    "SpikingLayer",
    "SpikingNetwork",
    "Stack",
    "Unit",
    "check_dropout",
    "check_factor",
    "check_sizes",
    "check_whole",
    "maps_of",
]

Names = Sequence[str]
Part = TypeVar("Part")


def maps_of(shape: Shape) -> Shape:
    """Return a sample's shape as maps (C, H, W); a two-dimensional shape has one channel.

    Raises:
        UsageError: it has no rows and columns.
    """
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) == 3:
        return shape
    raise UsageError(f"A convolutional network needs samples with rows and columns; these have the shape {shape}. Use --net fc.")


@dataclass(frozen=True)
class Conv:
    """A convolution with its normalisation: channels, kernel, stride; padded so that a stride of 1 keeps the map; `pool` averages first."""

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: int = 1


@dataclass(frozen=True)
class Shortcut:
    """The sum of the spikes of `sources` itself as an input current."""

    sources: Names


class Stack:
    """Collects the layers of a network.

    Args:
        net: the network's name, for messages.
        shape: (C, H, W) of a sample.
        timesteps, temporal: see `SpikingNetwork`.
        scale: the initial scale of every normalisation: the standard deviation of the neurons' initial input currents.
    """

    def __init__(self, net: str, shape: Shape, timesteps: int, *, temporal: bool, scale: float) -> None:
        self.net, self.shape = net, shape
        self.timesteps, self.temporal, self.scale = timesteps, temporal, scale
        self.units: dict[str, Unit] = {}

    def shape_of(self, name: str) -> Shape:
        """Return the shape of a unit, or of the input."""
        return self.shape if name == INPUT else self.units[name].shape

    def conv(self, name: str, sources: Names, form: Conv, *others: tuple[Names, Conv] | Shortcut, dropout: float = 0.0) -> str:
        """Add  LIF(norm(conv(sources)) + others);  return its name."""
        connections = [self._convolution(name, sources, form, dropout)]
        for other in others:
            if isinstance(other, Shortcut):
                connections.append(Connection(other.sources, self.shape_of(other.sources[0])))
            else:
                connections.append(self._convolution(name, *other, dropout))
        return self._layer(name, connections)

    def linear(self, name: str, sources: Names, neurons: int, *, gain: float, pool: int = 1, dropout: float = 0.0) -> str:
        """Add a linear layer on flattened maps, weights uniform in +-gain / sqrt(inputs); return its name."""
        return self._layer(name, [self._named(name, lambda: self._linear(sources, neurons, gain, pool, dropout))])

    def max_pool(self, name: str, source: str, size: int, *, stride: int | None = None, padding: int = 0) -> str:
        """Add a max pooling of spikes; return its name."""
        shape = self.shape_of(source)
        self.units[name] = self._named(name, lambda: MaxPool(source, shape, size, stride=stride, padding=padding))
        return name

    def gate(self, name: str, sources: Names, inverted: Names = ()) -> str:
        """Add the AND of spikes, some inverted; return its name."""
        self.units[name] = And(sources, self.shape_of(sources[0]), inverted)
        return name

    def network(self, classes: int, votes: int, *, dense: Names = (), uncounted: Names = ()) -> SpikingNetwork:
        """Return the network; the last unit is its output. For `dense` and `uncounted` see `SpikingNetwork`."""
        sizes = (self.shape, self.timesteps, classes)
        return SpikingNetwork(self.units, *sizes, votes=votes, temporal=self.temporal, dense=dense, uncounted=uncounted)

    def _layer(self, name: str, connections: Sequence[Connection]) -> str:
        first = INPUT in connections[0].sources
        self.units[name] = SpikingLayer(connections, self.timesteps if first and not self.temporal else None)
        return name

    def _convolution(self, name: str, sources: Names, form: Conv, dropout: float) -> Connection:
        shape = self.shape_of(sources[0])
        conv = nn.Conv2d(shape[0], form.channels, form.kernel, form.stride, form.kernel // 2, bias=False)
        norm = nn.BatchNorm2d(form.channels)
        nn.init.constant_(norm.weight, self.scale)
        return self._named(name, lambda: Connection(sources, shape, conv, norm, pool=form.pool, dropout=dropout))

    def _linear(self, sources: Names, neurons: int, gain: float, pool: int, dropout: float) -> Connection:
        shape = self.shape_of(sources[0])
        inputs = math.prod((shape[0], *(side // pool for side in shape[1:])))
        if not inputs:
            raise UsageError(f"Maps of shape {shape} are too small to be pooled by {pool}. Use larger samples.")
        linear = nn.Linear(inputs, neurons, bias=False)
        nn.init.uniform_(linear.weight, -gain / math.sqrt(inputs), gain / math.sqrt(inputs))
        return Connection(sources, shape, linear, pool=pool, dropout=dropout)

    def _named(self, name: str, make: Callable[[], Part]) -> Part:
        """Name the layer and the network that do not fit."""
        try:
            return make()
        except UsageError as error:
            raise UsageError(f"Samples of shape {self.shape} do not suit {self.net}: at the layer {name}: {error}") from error


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Check an option of a network.

    Raises:
        UsageError: it is not a whole number, or outside low..high; the message names it.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"net.{name} is {value!r}; it must be a whole number from {low} to {high}.")


def check_factor(name: str, value: object) -> None:
    """Check an option that is a factor of initial values.

    Raises:
        UsageError: it is not a number above 0, at most 1000; the message names it.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 < value <= 1000.0:
        raise UsageError(f"net.{name} is {value!r}; it must be a number with 0 < {name} <= 1000.")


def check_dropout(name: str, value: object) -> None:
    """Check an option that is the share of neurons that dropout silences.

    Raises:
        UsageError: it is not a number from 0 to below 1; the message names it.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value < 1.0:
        raise UsageError(f"net.{name} is {value!r}; it must be a number with 0 <= {name} < 1.")


def check_sizes(width: object, votes: object, dropout: object, scale: object) -> None:
    """Check the options that all convolutional networks have.

    Raises:
        UsageError: one is invalid; the message names it.
    """
    check_whole("width", width, 1, 1 << 12)
    check_whole("votes", votes, 1, 1 << 10)
    check_dropout("dropout", dropout)
    check_factor("scale", scale)
