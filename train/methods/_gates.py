"""Neuron gates of a convolutional network: their energies, and the weights that closed gates make useless."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ..connections import Connection
from ..flat import Flat
from ..layers import And, MaxPool, SpikingLayer, SpikingNetwork

__all__ = ["Gates", "weight_energies"]


def weight_energies(model: SpikingNetwork) -> list[float]:
    """Return e_w of each layer: the output positions at which a weight is used, H W / stride^2; 1 for a linear one."""
    return [math.prod(c.pooled_shape[1:]) / c.op.stride[0] ** 2 if isinstance(c.op, nn.Conv2d) else 1.0 for _, c in model.pruned_ops()]


def _fan_out(connection: Connection) -> float:
    """Synapses of one neuron of the source, away from the border: C_out k^2 / stride^2."""
    if isinstance(connection.op, nn.Conv2d):
        return connection.op.weight.shape[0] * connection.op.weight.shape[2:].numel() / connection.op.stride[0] ** 2
    return float(connection.shape[0])


class Gates:
    """The gates of a model as one vector, layer after layer.

    Args:
        model: gets the gates; None: there are none, as in a module of linear layers that is not a `SpikingNetwork`.
        flat: its weights.
        dense: connections whose weights are not pruned, and are never useless.

    Attributes:
        parameters: by layer; the model multiplies the layer's spikes by them.
        energies: e_n of each layer's neurons, the sum of C_out k^2 / stride^2 over the counted connections that they feed,
            including through pools.
    """

    def __init__(self, model: SpikingNetwork | None, flat: Flat, dense: Collection[str] = ()) -> None:
        self.parameters: Mapping[str, nn.Parameter] = {} if model is None else model.add_gates()
        self.flat, self.dense = flat, dense
        self.model = model
        counted = [] if model is None else [c for name, c in model.named_ops() if name not in model.uncounted]
        self.energies = [float(sum(_fan_out(c) for c in counted if name in _layers_of(model, c))) for name in self.parameters]
        self.size = sum(p.numel() for p in self.parameters.values())

    def parts(self) -> list[slice]:
        """Return each layer's place in the vector."""
        sizes = [p.numel() for p in self.parameters.values()]
        return [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]

    def gradient(self) -> Tensor:
        """Return dL/dgate, flat."""
        grads = [torch.zeros_like(p).view(-1) if p.grad is None else p.grad.reshape(-1) for p in self.parameters.values()]
        return torch.cat(grads)

    def put(self, values: Tensor) -> None:
        """Set the gates to the flat `values`."""
        for parameter, part in zip(self.parameters.values(), self.parts(), strict=True):
            parameter.detach().copy_(values[part].view(parameter.shape))

    def learn(self, yes: bool) -> None:
        """Set whether the gates have gradients."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(yes)
            parameter.grad = None

    def best_of_channels(self, scores: Tensor) -> dict[str, Tensor]:
        """Return the largest score of each channel (C,) by layer."""
        parts = zip(self.parameters.items(), self.parts(), strict=True)
        return {name: scores[part].view(parameter.shape[0], -1).amax(1) for (name, parameter), part in parts}

    def useless(self, scores: Tensor) -> Tensor:
        """Return which weights (M,) the gates make useless: a gate is open where its score is above 0.

        Those are the weights of a convolution into a channel whose gates are all closed, and out of a channel in which all of its sources
        keep every neuron from spiking; and those of a linear layer out of a neuron, or a pooled window, that all of its sources keep from
        spiking.
        """
        useless = self.flat.zeros(torch.bool)
        model = self.model
        if model is None:
            return useless
        able = self._able(model, scores)
        owners = {name: unit for unit, layer in model.named_layers() for name, c in model.named_ops() if c in layer.inputs}
        for layer, (name, connection) in zip(self.flat, model.pruned_ops(), strict=True):
            if name in self.dense:
                continue
            shaped = useless[layer.part].view(layer.weight.shape)
            target = able[owners[name]]
            if target is not None and len(target.shape) == 3:
                shaped[~target.flatten(1).any(1)] = True
            sources = [maps for maps in (able.get(source) for source in connection.sources) if maps is not None]
            if len(sources) == len(connection.sources):
                shaped[:, ~_felt(connection, torch.stack(sources).any(0))] = True
        return useless

    def _able(self, model: SpikingNetwork, scores: Tensor) -> dict[str, Tensor | None]:
        """Return, by unit, which neurons (in its shape) the gates let spike; None where no gate closes any."""
        able: dict[str, Tensor | None] = {}
        gates = dict(zip(self.parameters, self.parts(), strict=True))
        for name, unit in model.units():
            if isinstance(unit, SpikingLayer):
                able[name] = scores[gates[name]].view(unit.shape) > 0 if name in gates else None
            elif isinstance(unit, MaxPool):
                able[name] = _pooled(able[unit.sources[0]], unit)
            else:
                needed = [maps for maps in (able[source] for source in unit.positive) if maps is not None]
                able[name] = torch.stack(needed).all(0) if needed else None
        return able


def _pooled(able: Tensor | None, pool: MaxPool) -> Tensor | None:
    """Return which windows (C, H, W) have a neuron that may spike."""
    return None if able is None else max_pool2d(able.float()[None], pool.size, pool.stride, pool.padding)[0] > 0


def _felt(connection: Connection, able: Tensor) -> Tensor:
    """Return which inputs of the operation, channels (C,) or neurons (N,), can receive spikes."""
    maps = max_pool2d(able.float()[None], connection.pool)[0] > 0 if connection.pool > 1 else able
    return maps.flatten(1).any(1) if isinstance(connection.op, nn.Conv2d) else maps.flatten()


def _layers_of(model: SpikingNetwork | None, connection: Connection) -> set[str]:
    """Names of the layers whose spikes a connection receives, directly or through pools and ANDs."""
    units, found = {} if model is None else dict(model.units()), set[str]()
    waiting = list(connection.sources)
    while waiting:
        name = waiting.pop()
        unit = units.get(name)
        if isinstance(unit, MaxPool | And):
            waiting.extend(unit.sources)
        else:
            found.add(name)
    return found
