"""ResNet19: residual blocks whose shortcut enters the membrane or joins spikes, and two linear layers.

Zheng et al., Going deeper with directly-trained larger spiking neural networks, AAAI 2021 (tdBN). UPR's network of this
name (Shi et al., ICLR 2024, their code) has a first convolution of 64 channels (`stem`), and joins spikes (`shortcut="spikes"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import unknown_name
from ..connections import INPUT
from ..layers import SpikingNetwork
from .api import Conv, Shortcut, Stack, check_sizes, check_whole, maps_of

Join = Literal["membrane", "spikes"]

SCALE = 2.0  # initial scale of the normalisations: at torch's 1 so few neurons fire that deep networks learn slowly (docs/networks.md)
GAIN, POOLED_GAIN = 8.0, 14.0  # of the linear layers' initial weights; averages over whole maps vary little
DENSE = ("conv1",)  # not pruned in the code of UPR's authors
STAGES = ((1, 3), (2, 3), (4, 2))  # channels in units of the width, and blocks


@dataclass(frozen=True)
class Options:
    """The sizes.

    Args:
        width: channels of the first stage; the others have 2 and 4 times as many, the first linear layer 2. Published: 128.
        stem: channels of the first convolution; None: `width`, as in tdBN; UPR: 64. Where they differ, the first block's shortcut has a
            convolution.
        shortcut: "membrane": it enters the membrane of the block's last neurons (tdBN); "spikes": the block's output is the sum of its
            own spikes and the shortcut's, which go through neurons of their own where the shape changes (UPR).
        votes: output neurons per class; published: 1; UPR: 10 for 10 classes.
        dropout: before the first linear layer; published: none.
        scale: initial scale of the normalisations; published: 1.
    """

    width: int = 128
    stem: int | None = None
    shortcut: Join = "membrane"
    votes: int = 1
    dropout: float = 0.0
    scale: float = SCALE

    def __post_init__(self) -> None:
        check_sizes(self.width, self.votes, self.dropout, self.scale)
        if self.stem is not None:
            check_whole("stem", self.stem, 1, 1 << 12)
        if self.shortcut not in get_args(Join):
            raise unknown_name("net.shortcut", str(self.shortcut), get_args(Join))


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  conv 128 - 3 blocks of 128 - 3 of 256 - 2 of 512 - average of the map - fc 256 - fc classes.

    A block is  LIF(norm(conv(LIF(norm(conv(s))))) + shortcut);  the shortcut is s itself or, where the shape changes, norm(conv 1x1 (s)).
    With shortcut="spikes" it is  LIF(norm(conv(LIF(norm(conv(s)))))) + shortcut,  the shortcut being s or LIF(norm(conv 1x1 (s))).

    Raises:
        UsageError: samples too small for its strides; the message names the layer.
    """
    stack = Stack("resnet19", maps_of(shape), timesteps, temporal=temporal, scale=options.scale)
    sources = [stack.conv("conv1", [INPUT], Conv(options.stem or options.width))]
    block_of = _block if options.shortcut == "membrane" else _spike_block
    for stage, (factor, blocks) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            form = Conv(factor * options.width, stride=2 if stage > 1 and block == 1 else 1)
            sources = block_of(stack, f"stage{stage}_block{block}", sources, form)
    side = min(stack.shape_of(sources[0])[1:])
    name = stack.linear("fc1", sources, 2 * options.width, gain=POOLED_GAIN, pool=side, dropout=options.dropout)
    stack.linear("output", [name], classes * options.votes, gain=GAIN)
    return stack.network(classes, options.votes, dense=DENSE)


def _block(stack: Stack, prefix: str, sources: list[str], form: Conv) -> list[str]:
    """Add a block whose shortcut enters the membrane; return its only output."""
    inner = stack.conv(f"{prefix}a", sources, form)
    shortcut = Shortcut(sources) if _same(stack, sources, form) else (sources, Conv(form.channels, kernel=1, stride=form.stride))
    return [stack.conv(f"{prefix}b", [inner], Conv(form.channels), shortcut)]


def _spike_block(stack: Stack, prefix: str, sources: list[str], form: Conv) -> list[str]:
    """Add a block that adds spikes; return the layers whose spikes, summed, are its output."""
    inner = stack.conv(f"{prefix}a", sources, form)
    branch = stack.conv(f"{prefix}b", [inner], Conv(form.channels))
    if not _same(stack, sources, form):
        sources = [stack.conv(f"{prefix}c", sources, Conv(form.channels, kernel=1, stride=form.stride))]
    return [*sources, branch]


def _same(stack: Stack, sources: list[str], form: Conv) -> bool:
    return form.stride == 1 and stack.shape_of(sources[0])[0] == form.channels
