"""A fully connected network: the samples as a static current, hidden layers of LIF neurons, one LIF neuron per class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from ..connections import INPUT, Connection
from ..layers import SpikingLayer, SpikingNetwork
from .api import check_factor, check_whole

GAIN = 3.0  # of the uniform initial weights, relative to torch's own: at 1 hardly any neuron reaches its threshold initially


@dataclass(frozen=True)
class Options:
    """The sizes.

    Args:
        hidden: neurons of each hidden layer.
        votes: output neurons per class.
        gain: of the uniform initial weights, relative to torch's own; published: 1.
    """

    hidden: tuple[int, ...] = (800,)
    votes: int = 1
    gain: float = GAIN

    def __post_init__(self) -> None:
        for size in self.hidden:
            check_whole("hidden", size, 1, 1 << 20)
        check_whole("votes", self.votes, 1, 1 << 10)
        check_factor("gain", self.gain)


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  inputs - hidden[0] - ... - classes,  no biases; layers are called hidden1, hidden2, ..., output.

    Args:
        shape: that of a sample, or of a frame of a temporal one; flattened here.
        classes: classes; the output has `votes` neurons for each.
        timesteps: T; the current of static samples is computed once for all T steps.
        options: the sizes.
        temporal: whether samples carry their own frames.
    """
    sizes = (math.prod(shape), *options.hidden, classes * options.votes)
    names = [*(f"hidden{i + 1}" for i in range(len(options.hidden))), "output"]
    linears = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
    layers: dict[str, SpikingLayer] = {}
    for i, (name, linear) in enumerate(zip(names, linears, strict=True)):
        bound = options.gain / math.sqrt(linear.in_features)
        nn.init.uniform_(linear.weight, -bound, bound)
        source = names[i - 1] if i else INPUT
        repeat = timesteps if i == 0 and not temporal else None
        layers[name] = SpikingLayer([Connection((source,), (sizes[i],), linear)], repeat)
    return SpikingNetwork(layers, (sizes[0],), timesteps, classes, votes=options.votes, temporal=temporal)
