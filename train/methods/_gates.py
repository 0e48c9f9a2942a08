"""Neuron gates of a convolutional network: their energies, and the weights that a closed channel makes useless."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..layers import And, Connection, MaxPool, SpikingLayer, SpikingNetwork
from ._flat import Flat

__all__ = ["Gates", "weight_energies"]


def weight_energies(model: SpikingNetwork) -> list[float]:
    """Return e_w of each layer: the output positions at which a weight is used, H W / stride^2; 1 for a linear one."""
    return [float(c.positions.max()) / c.pool**2 if isinstance(c.op, nn.Conv2d) else 1.0 for _, c in model.named_ops()]


def _fan_out(connection: Connection) -> float:
    """Synapses of one neuron of the source, away from the border: C_out k^2 / stride^2."""
    if isinstance(connection.op, nn.Conv2d):
        return connection.op.weight.shape[0] * connection.op.weight.shape[2:].numel() / connection.op.stride[0] ** 2
    return float(connection.shape[0])


class Gates:
    """The gates of a model as one vector, layer after layer.

    Attributes:
        parameters: by layer; the model multiplies the layer's spikes by them.
        energies: e_n of each layer's neurons, the sum of C_out k^2 / stride^2 over the connections that they feed, through pools too.
    """

    def __init__(self, model: SpikingNetwork, flat: Flat) -> None:
        self.parameters: Mapping[str, nn.Parameter] = model.add_gates()
        self.flat = flat
        self.model = model
        self.energies = [sum(_fan_out(c) for _, c in model.named_ops() if name in self._layers_of(c)) for name in self.parameters]
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
        """Make flat `values` the gates."""
        for parameter, part in zip(self.parameters.values(), self.parts(), strict=True):
            parameter.detach().copy_(values[part].view(parameter.shape))

    def learn(self, yes: bool) -> None:
        """Say whether the gates shall have gradients."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(yes)
            parameter.grad = None

    def best_of_channels(self, scores: Tensor) -> dict[str, Tensor]:
        """Return the largest score of each channel (C,) by layer."""
        parts = zip(self.parameters.items(), self.parts(), strict=True)
        return {name: scores[part].view(parameter.shape[0], -1).amax(1) for (name, parameter), part in parts}

    def useless(self, scores: Tensor) -> Tensor:
        """Return which weights (M,) belong to channels whose gate is closed (score <= 0) everywhere.

        Those are the weights into such a channel, and those from an input channel of which every source is closed.
        """
        closed = self._closed(scores)
        owners = {name: unit for unit, layer in self.model.named_layers() for name, c in self.model.named_ops() if c in layer.inputs}
        useless = self.flat.zeros(torch.bool)
        for layer, (name, connection) in zip(self.flat, self.model.named_ops(), strict=True):
            shaped = useless[layer.part].view(layer.weight.shape)
            if owners[name] in closed:
                shaped[closed[owners[name]]] = True
            inputs = [closed[source] for source in connection.sources if source in closed]
            if len(inputs) == len(connection.sources) and len(inputs[0]) == layer.weight.shape[1]:
                shaped[:, torch.stack(inputs).all(0)] = True
        return useless

    def _closed(self, scores: Tensor) -> dict[str, Tensor]:
        """Return which channels (C,) of a layer, or of a pool or AND behind it, can never spike; layers without gate are left out."""
        closed = {name: best <= 0 for name, best in self.best_of_channels(scores).items()}
        for name, unit in self.model.units():
            needed = unit.positive if isinstance(unit, And) else unit.sources
            if not isinstance(unit, SpikingLayer) and any(source in closed for source in needed):
                closed[name] = torch.stack([closed[source] for source in needed if source in closed]).any(0)
        return closed

    def _layers_of(self, connection: Connection) -> set[str]:
        """Names of the layers whose spikes a connection takes, directly or through pools and ANDs."""
        units, found = dict(self.model.units()), set[str]()
        waiting = list(connection.sources)
        while waiting:
            name = waiting.pop()
            unit = units.get(name)
            if isinstance(unit, MaxPool | And):
                waiting.extend(unit.sources)
            else:
                found.add(name)
        return found
