"""VGGSNN: eight convolutions with average pools and one linear layer, for frames of events.

Deng et al., Temporal efficient training of spiking neural network via gradient re-weighting, ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..connections import INPUT
from ..layers import SpikingNetwork
from .api import Conv, Stack, check_sizes, maps_of

SCALE = 2.0  # initial scale of the normalisations: at torch's 1 so few neurons fire that deep networks learn slowly (docs/networks.md)
GAIN = 7.5  # of the linear layer's initial weights: averages over windows vary less than spikes
PLAN = ((1, 2), (4, 4), (8, 8), (8, 8))  # channels of the convolutions between the pools, in units of the width


@dataclass(frozen=True)
class Options:
    """The sizes.

    Args:
        width: channels of the first convolution; later ones have 2, 4 and 8 times as many. The published network has 64.
        votes: output neurons per class; published: 1.
        dropout: before the linear layer; published: none.
        scale: initial scale of the normalisations; published: 1.
    """

    width: int = 64
    votes: int = 1
    dropout: float = 0.0
    scale: float = SCALE

    def __post_init__(self) -> None:
        check_sizes(self.width, self.votes, self.dropout, self.scale)


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  64 - 128 - pool - 256 - 256 - pool - 512 - 512 - pool - 512 - 512 - pool - fc,  pools being averages of 2x2.

    Raises:
        UsageError: samples too small for its pools; the message names the layer.
    """
    stack = Stack("vggsnn", maps_of(shape), timesteps, temporal=temporal, scale=options.scale)
    name, number = INPUT, 0
    for group in PLAN:
        for i, factor in enumerate(group):
            number += 1
            pool = 2 if i == 0 and name != INPUT else 1
            name = stack.conv(f"conv{number}", [name], Conv(factor * options.width, pool=pool))
    stack.linear("output", [name], classes * options.votes, gain=GAIN, pool=2, dropout=options.dropout)
    return stack.network(classes, options.votes)
