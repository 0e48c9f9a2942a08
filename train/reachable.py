"""Connectivity by what a spike can cross, as UPR's authors count it ("Conn.", Shi et al., ICLR 2024; their code).

Convolutions are unrolled. A synapse counts if its weight is not zero, its target is not masked, and its source is neither masked nor
unreachable: a neuron is reachable if at least one synapse that counts ends at it, an input always is. Biases make no neuron reachable.

- A sum of layers' spikes before a convolution is a synapse from each of them.
- A synapse from an average over a window counts as one, shared equally among the window's neurons.
- A max pool is reachable if one neuron of its window is; an AND, if all sources that must spike are. Neither these nor shortcuts into the
  membrane, which have no weights, count as synapses themselves.

Nothing is unrolled: the number of synapses that arrive at each neuron is the convolution of the map of reachable sources, 0 or 1, with
the mask of the weights. All numbers are integers that float64 represents exactly, so the count is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, linear, max_pool2d

from .connections import INPUT, Connection
from .layers import And, MaxPool, SpikingLayer, SpikingNetwork, sum_of

__all__ = ["connectivity", "reachable_synapses", "unpruned_synapses", "unrolled_connectivity"]


def connectivity(model: SpikingNetwork) -> float:
    """Return the share (0..1) of possible synapses that count, without the connections in `model.uncounted` and `exempt`."""
    counts = reachable_synapses(model).values()
    return sum(counted for counted, _ in counts) / sum(possible for _, possible in counts)


def unrolled_connectivity(model: SpikingNetwork) -> float:
    """Return the share (0..1) of unrolled synapses whose weight is not zero, of those that count, ignoring masks and reachability."""
    positions, weights, dense = model.positions(), model.weights(), unpruned_synapses(model)
    alive = sum(int(((w != 0) * positions[name].to(w.device)).sum()) for name, w in weights.items()) + dense
    return alive / (sum(int(positions[name].expand(w.shape).sum()) for name, w in weights.items()) + dense)


def unpruned_synapses(model: SpikingNetwork) -> int:
    """Count the unrolled synapses of connections that are not pruned, but counted."""
    ops = ((name, connection) for name, connection in model.named_ops() if name in model.unpruned)
    return sum(int(connection.positions.expand(model.counted()[name].shape).sum()) for name, connection in ops)


def reachable_synapses(model: SpikingNetwork) -> dict[str, tuple[float, float]]:
    """Return, by connection, the number of synapses that count and of possible ones, without those in `model.uncounted` and `exempt`."""
    reach: dict[str, Tensor] = {INPUT: torch.ones(model.shape, dtype=torch.float64, device=next(model.parameters()).device)}
    counts: dict[str, tuple[Tensor, float]] = {}
    names = {id(connection): name for name, connection in model.named_ops()}
    with torch.no_grad():
        for unit_name, unit in model.units():
            if isinstance(unit, SpikingLayer):
                arriving = [_arriving(connection, sum_of(reach, connection.sources)) for connection in unit.inputs]
                open_ = torch.ones_like(arriving[0]) if unit.gate is None else (unit.gate != 0).double()
                for connection, synapses in zip(unit.inputs, arriving, strict=True):
                    if connection.op is not None:
                        area = connection.pool**2
                        counts[names[id(connection)]] = ((synapses * open_).sum() / area, _possible(connection) / area)
                reach[unit_name] = (torch.stack(arriving).sum(0) > 0) * open_
            else:
                reach[unit_name] = _passed_on(unit, reach)
    apart = {*model.uncounted, *model.exempt}
    return {name: (float(counted), possible) for name, (counted, possible) in counts.items() if name not in apart}


def _arriving(connection: Connection, sources: Tensor) -> Tensor:
    """Return how many synapses arrive at each neuron; `sources` counts the reachable source neurons; averages are sums here."""
    x = avg_pool2d(sources[None], connection.pool, divisor_override=1)[0] if connection.pool > 1 else sources
    if connection.op is None:
        return x
    mask = (connection.op.weight != 0).double()
    if isinstance(connection.op, torch.nn.Linear):
        return linear(x.flatten(), mask).round()
    return conv2d(x[None], mask, stride=connection.op.stride, padding=connection.op.padding)[0].round()


def _possible(connection: Connection) -> float:
    """Return the number of synapses of a connection with all its weights alive; averaged windows are counted neuron by neuron."""
    weight = connection.op.weight if connection.op is not None else torch.empty(0)
    return float(connection.positions.expand(weight.shape).sum()) * len(connection.sources)


def _passed_on(unit: MaxPool | And, reach: Mapping[str, Tensor]) -> Tensor:
    """Return which neurons (C, H, W) of a unit without weights are reachable, as 0 or 1."""
    if isinstance(unit, MaxPool):
        return max_pool2d(reach[unit.sources[0]][None], unit.size, unit.stride, unit.padding)[0]
    return torch.stack([reach[name] for name in unit.positive]).amin(0)
