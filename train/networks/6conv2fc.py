"""6Conv2FC: six convolutions and two linear layers, the network of Grad R and UPR on CIFAR-10.

Chen et al., Pruning of deep spiking neural networks through gradient rewiring, IJCAI 2021; its authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..connections import INPUT
from ..layers import SpikingNetwork
from .api import Conv, Stack, check_dropout, check_factor, check_sizes, maps_of

SCALE = 2.0  # initial scale of the normalisations: at torch's 1 so few neurons fire that deep networks learn slowly (docs/networks.md)
GAIN = 4.0  # of the linear layers' initial weights


@dataclass(frozen=True)
class Options:
    """The sizes.

    Args:
        width: channels of each convolution; the first linear layer has 8 times as many neurons. The published network has 256.
        votes: output neurons per class; published: 10.
        dropout: before the first linear layer; published: 0.5.
        dropout_output: before the output; published: none (STDS: 0.5).
        scale: initial scale of the normalisations; published: 1.
        gain: of the linear layers' uniform initial weights, relative to torch's own; published: 1.
    """

    width: int = 256
    votes: int = 10
    dropout: float = 0.5
    dropout_output: float = 0.0
    scale: float = SCALE
    gain: float = GAIN

    def __post_init__(self) -> None:
        check_sizes(self.width, self.votes, self.dropout, self.scale)
        check_dropout("dropout_output", self.dropout_output)
        check_factor("gain", self.gain)


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  3 [conv] - max pool - 3 [conv] - max pool - dropout - fc 8 width - fc classes * votes.

    Raises:
        UsageError: samples too small for its pools; the message names the layer.
    """
    stack = Stack("6conv2fc", maps_of(shape), timesteps, temporal=temporal, scale=options.scale)
    name = INPUT
    for pool, layers in ((1, (1, 2, 3)), (2, (4, 5, 6))):
        for i in layers:
            name = stack.conv(f"conv{i}", [name], Conv(options.width))
        name = stack.max_pool(f"pool{pool}", name, 2)
    name = stack.linear("fc1", [name], 8 * options.width, gain=options.gain, dropout=options.dropout)
    stack.linear("output", [name], classes * options.votes, gain=options.gain, dropout=options.dropout_output)
    return stack.network(classes, options.votes)
