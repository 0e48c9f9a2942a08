"""A layer of synapses and LIF neurons, in float and in the chip's integers; a feed-forward stack of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from .neurons import FusedLIFNode
from .quantise import IntegerArithmetic, integer_layer


class SpikingLayer(nn.Module):
    """Synapses without bias onto LIF neurons:  s = LIF(W x).

    Args:
        inputs, outputs: neurons on either side.
        repeat: T for a layer with static input (N, inputs), whose product is computed once; None for spikes (T, N, inputs).
    """

    def __init__(self, inputs: int, outputs: int, repeat: int | None) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.neuron = FusedLIFNode(repeat=repeat)
        self.integer: IntegerArithmetic | None = None

    @property
    def is_first(self) -> bool:
        """Whether the layer takes the sample itself."""
        return self.neuron.repeat is not None

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes (T, N, outputs) as 0/1; in integer arithmetic once `integer` is set, x then being integers."""
        if self.integer is not None:
            return integer_layer(x, self.linear.weight, self.neuron, self.integer)
        return self.neuron(self.linear(x))


class SpikingNetwork(nn.Module):
    """Spiking layers in a row. The first takes the flattened sample."""

    def __init__(self, layers: Mapping[str, SpikingLayer], timesteps: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(dict(layers))
        self.timesteps = timesteps

    def named_layers(self) -> Iterator[tuple[str, SpikingLayer]]:
        """Yield the layers with their names, from the input on."""
        for name, layer in self.layers.items():
            if isinstance(layer, SpikingLayer):
                yield name, layer

    @property
    def is_integer(self) -> bool:
        """Whether the layers run the chip's integer arithmetic."""
        return any(layer.integer is not None for _, layer in self.named_layers())

    def weights(self) -> dict[str, Tensor]:
        """Return each layer's weights (outputs, inputs)."""
        return {name: layer.linear.weight for name, layer in self.named_layers()}

    def populations(self, x: Tensor) -> dict[str, Tensor]:
        """Return the spikes (T, N, neurons) of every population, from a reset state."""
        functional.reset_net(self)
        s = torch.flatten(x, 1)
        spikes: dict[str, Tensor] = {}
        for name, layer in self.named_layers():
            s = spikes[name] = layer(s)
        return spikes

    def forward(self, x: Tensor) -> Tensor:
        """Return the output spikes (T, N, classes).

        Args:
            x: (N, ...): real values; the integers themselves once the layers are integer.
        """
        *_, last = self.populations(x).values()
        return last
