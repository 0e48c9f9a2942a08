"""ResNet19: residual blocks whose shortcut enters the membrane, and two linear layers.

Zheng et al., Going deeper with directly-trained larger spiking neural networks, AAAI 2021 (tdBN).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..connections import INPUT
from ..layers import SpikingNetwork
from .api import Conv, Shortcut, Stack, check_sizes, maps_of

SCALE = 2.0  # initial scale of the normalisations: at torch's 1 so few neurons fire that deep networks learn slowly (docs/networks.md)
GAIN, POOLED_GAIN = 8.0, 14.0  # of the linear layers' initial weights; averages over whole maps vary little
DENSE = ("conv1",)  # not pruned in the code of UPR's authors
STAGES = ((1, 3), (2, 3), (4, 2))  # channels in units of the width, and blocks


@dataclass(frozen=True)
class Options:
    """The sizes.

    Args:
        width: channels of the first stage; the others have 2 and 4 times as many, the first linear layer 2. Published: 128.
        votes: output neurons per class; published: 1.
        dropout: before the first linear layer; published: none.
        scale: initial scale of the normalisations; published: 1.
    """

    width: int = 128
    votes: int = 1
    dropout: float = 0.0
    scale: float = SCALE

    def __post_init__(self) -> None:
        check_sizes(self.width, self.votes, self.dropout, self.scale)


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  conv 128 - 3 blocks of 128 - 3 of 256 - 2 of 512 - average of the map - fc 256 - fc classes.

    A block is  LIF(norm(conv(LIF(norm(conv(s))))) + shortcut);  the shortcut is s itself or, where the shape changes, norm(conv 1x1 (s)).

    Raises:
        UsageError: samples too small for its strides; the message names the layer.
    """
    stack = Stack("resnet19", maps_of(shape), timesteps, temporal=temporal, scale=options.scale)
    name = stack.conv("conv1", [INPUT], Conv(options.width))
    for stage, (factor, blocks) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            form = Conv(factor * options.width, stride=2 if stage > 1 and block == 1 else 1)
            name = _block(stack, f"stage{stage}_block{block}", name, form)
    side = min(stack.shape_of(name)[1:])
    name = stack.linear("fc1", [name], 2 * options.width, gain=POOLED_GAIN, pool=side, dropout=options.dropout)
    stack.linear("output", [name], classes * options.votes, gain=GAIN)
    return stack.network(classes, options.votes, dense=DENSE)


def _block(stack: Stack, prefix: str, source: str, form: Conv) -> str:
    inner = stack.conv(f"{prefix}a", [source], form)
    same = form.stride == 1 and stack.shape_of(source)[0] == form.channels
    shortcut = Shortcut([source]) if same else ([source], Conv(form.channels, kernel=1, stride=form.stride))
    return stack.conv(f"{prefix}b", [inner], Conv(form.channels), shortcut)
