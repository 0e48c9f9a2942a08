"""A training step of a sparse network that computes only the neurons that take part.

A neuron at which no live synapse ends never spikes, and one that has no way to the output changes nothing: neither passes a gradient. Where
the live synapses stay the same, as with the method fixed, a step therefore runs a network without these neurons. Its weights are rows and
columns of the model's, from which autograd carries the gradients back. Sums are shorter than the whole network's by terms of zero, so
currents and gradients agree with it to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn
from torch.func import functional_call

from .layers import SpikingNetwork
from .model import Model

__all__ = ["narrowed"]


def narrowed(model: Model) -> Callable[[Tensor], Tensor]:
    """Return what computes the output of `model`, of which the live synapses may not change after the first call.

    Networks other than chains of linear layers without biases are returned as they are.
    """
    return Narrow(model) if isinstance(model, SpikingNetwork) and model.supports_integers else model


class Narrow:
    """A chain of linear layers without the neurons that take no part, which are looked up at the first call.

    Args:
        model: the whole network, whose current weights are used at each call.
    """

    def __init__(self, model: SpikingNetwork) -> None:
        self.model = model
        self.small: SpikingNetwork | None = None
        self.rows: dict[str, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output spikes (T, N, classes) of samples; see `SpikingNetwork.forward`."""
        if self.model.is_integer:
            return self.model(x)
        if self.small is None:
            self.rows = _taking_part(self.model)
            self.small = _without(self.model, self.rows)
        parameters: dict[str, Tensor] = {}
        columns: Tensor | None = None
        for (name, layer), rows in zip(self.model.named_layers(), self.rows.values(), strict=True):
            weight = layer.linear.weight.index_select(0, rows)
            parameters[_parameter(name)] = weight if columns is None else weight.index_select(1, columns)
            columns = rows
        return functional_call(self.small, parameters, (x,))


def _parameter(layer: str) -> str:
    return f"layers.{layer}.connections.0.op.weight"


def _taking_part(model: SpikingNetwork) -> dict[str, Tensor]:
    """Return, by layer, the neurons that a spike reaches and that have a way to the output, at least one; of the output all: int64."""
    layers = list(model.named_layers())
    weights = [layer.linear.weight.detach() != 0 for _, layer in layers]
    reached: list[Tensor] = []
    for (_, layer), weight in zip(layers, weights, strict=True):
        crossed = weight & reached[-1] if reached else weight
        silent_without_input = layer.neuron.v_threshold > 0
        reached.append(crossed.any(1) if silent_without_input else torch.ones_like(crossed[:, 0]))
    part = torch.ones_like(reached[-1])
    found = [part]
    for weight, here in zip(weights[:0:-1], reached[-2::-1], strict=True):
        part = (weight & part[:, None]).any(0) & here
        if not bool(part.any()):
            part[0] = True
        found.append(part)
    return {name: mask.nonzero().view(-1) for (name, _), mask in zip(layers, reversed(found), strict=True)}


def _without(model: SpikingNetwork, rows: dict[str, Tensor]) -> SpikingNetwork:
    """Return a network of these neurons, on the same device; its weights are given at each call."""
    functional.reset_net(model)  # the potentials of the last batch are part of a graph, which cannot be copied
    small = copy.deepcopy(model)
    before: int | None = None
    for name, layer in small.named_layers():
        linear, connection, count = layer.linear, layer.inputs[0], len(rows[name])
        inputs = linear.in_features if before is None else before
        with torch.random.fork_rng(devices=[]):  # its initial weights are never used
            connection.op = nn.Linear(inputs, count, bias=False, dtype=linear.weight.dtype, device=linear.weight.device)
        if before is not None:
            connection.source_shape = (before,)
        layer.shape = (count,)
        before = count
    return small
